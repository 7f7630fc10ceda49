"""Experiments of the notebooks on trained networks: shifted predictions, muted skips, borders."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fcnlib import metrics
from fcnlib.builders import load_fcn
from fcnlib.config import ROOT, Config
from fcnlib.datasets import Dataset
from fcnlib.evaluation import Evaluation, evaluate, predictor
from fcnlib.input_pipeline import ImageStore, eval_batches
from fcnlib.labels import VOID
from fcnlib.network import FCN
from fcnlib.runtime import files
from fcnlib.runtime.compat import tf
from fcntools.inference.folding import fold

Pair = tuple[np.ndarray, np.ndarray]  # truth and prediction of an image


def predictions(predict, batches) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index, truth, prediction), both uint8 [H, W], of every image as it arrives."""
    for batch in batches:
        predicted = predict(batch["image"]).numpy()
        yield from zip(batch["index"].numpy(), batch["label"].numpy(), predicted, strict=True)


def answers(config: Config, dataset: Dataset, folder: Path) -> Iterator[Pair]:
    """Yield (truth, prediction), uint8 [H, W], of the images of the evaluation split, each once.

    Args:
        config: gives the split and the batch size.
        dataset: opened.
        folder: of the trained network.
    """
    predict, store = predictor(fold(load_fcn(folder)[0])), _store(config, dataset)
    with store.reporting():
        batches = eval_batches(store, config.train.eval_batch_size)
        yield from (pair for _, *pair in predictions(predict, batches))


def _store(config: Config, dataset: Dataset) -> ImageStore:
    records = dataset.records(config.data.eval_split, config.data.eval_limit)
    return ImageStore(records, dataset.labels)


def void_matrices(config: Config, dataset: Dataset, folder: Path) -> np.ndarray:
    """Return a split's matrices with void as one more class, the last, as 2017's metric needs it.

    Args:
        config: gives the evaluation split.
        dataset: opened.
        folder: of the trained network; only one trained with a void class ever answers void.
    """
    void, store = dataset.labels.num_classes, _store(config, dataset)
    predict = predictor(fold(load_fcn(folder)[0]), outputs=void + 1)

    def labelled(batch):
        return batch | {"label": np.where(batch["label"] == VOID, void, batch["label"])}

    with store.reporting():
        batches = map(labelled, eval_batches(store, config.train.eval_batch_size))
        return evaluate(predict, batches, store.names, void + 1).matrices


def percent_row(name: str, scores: metrics.Scores) -> dict[str, str | float]:
    """Return the four metrics of what has this name, in percent, as a row of a table."""
    return {
        "network": name,
        "mean IoU (%)": 100 * scores.mean_iou,
        "pixel accuracy (%)": 100 * scores.pixel_accuracy,
        "mean accuracy (%)": 100 * scores.mean_accuracy,
        "freq. weighted IoU (%)": 100 * scores.frequency_weighted_iou,
    }


def majority_matrix(matrix: np.ndarray) -> np.ndarray:
    """Return the confusion matrix of predicting the most frequent class everywhere.

    It is made from that of any predictions for the same images, int64 [C, C], rows truth.
    """
    floor, true = np.zeros_like(matrix), matrix.sum(axis=1)
    floor[:, true.argmax()] = true
    return floor


def shifted_mean_iou(pairs: Iterable[Pair], num_classes: int, shifts: Sequence[int]) -> np.ndarray:
    """Return the mean IoU, float64 [len(shifts)], of predictions too far right and down.

    The pixels that a shift uncovers repeat the first row and column, so that as many pixels count.

    Args:
        pairs: (truth, prediction) of every image.
        num_classes: C.
        shifts: pixels, each 0 or more.
    """
    matrices = np.zeros((len(shifts), num_classes, num_classes), np.int64)
    for truth, predicted in pairs:
        height, width = truth.shape
        for i, shift in enumerate(shifts):
            padded = np.pad(predicted, ((shift, 0), (shift, 0)), mode="edge")[:height, :width]
            matrices[i] += metrics.confusion_matrix(truth, padded, num_classes)
    return np.array([metrics.scores(matrix).mean_iou for matrix in matrices])


def weigh_skips(
    config: Config, dataset: Dataset, network: FCN, trials: Mapping[str, Mapping[int, float]]
) -> dict[str, Evaluation]:
    """Return by trial how a network scores whose maps are multiplied before they are added.

    Args:
        config: gives the evaluation split.
        dataset: opened.
        network: trained.
        trials: {name: {stride: factor on its score map}}; 1 where absent, 0 switches a skip off.
    """
    images = tf.TensorSpec([None, None, None, 3])
    numbers, folded = tf.TensorSpec([len(network.strides)]), fold(network)

    @tf.function(autograph=False, input_signature=[images, numbers])
    def predict(images, factors):
        height, width = tf.unstack(tf.shape(images)[1:3])
        weights = dict(zip(network.strides, tf.unstack(factors), strict=True))
        fused = network.fuse(*folded.score_maps(images), weights)
        return tf.cast(tf.argmax(network.to_pixels(fused, height, width), axis=-1), tf.uint8)

    store, scored = _store(config, dataset), {}
    for name, factors in trials.items():
        values = tf.constant([factors.get(stride, 1.0) for stride in network.strides])
        trial = functools.partial(predict, factors=values)
        batches = eval_batches(store, config.train.eval_batch_size)
        with store.reporting():
            scored[name] = evaluate(trial, batches, store.names, dataset.labels.num_classes)
    return scored


def study(dataset: str, results: Path = ROOT / "results") -> dict[str, dict[str, Any]]:
    """Return the committed study of a data set over several seeds, if there is one.

    It is DATASET/summary.json as {network: its row, with mean_iou, mean_iou_spread, seeds}.
    """
    rows = files.read_json(results / dataset / "summary.json") or []
    return {row["network"]: row for row in rows}


def published() -> pd.DataFrame:
    """Return the numbers of the field from `published.toml`, a row a network.

    Its metrics are in percent; what was not published is NaN.
    """
    tree = tomllib.loads(Path(__file__).with_name("published.toml").read_text(encoding="utf-8"))
    metrics = ["mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"]
    shared = ["data", "split", "images", "protocol", "source"]
    lines = [row | table for table in tree["table"] for row in table["rows"]]
    return pd.DataFrame(lines)[["network", *metrics, "parameters", *shared]]


def comparable(data: str, split: str, images: int) -> pd.DataFrame:
    """Return the rows of `published` that were measured on the same images as ours.

    Args:
        data: name of the data set.
        split: that was scored.
        images: how many of them.
    """
    return published().query("data == @data and split == @split and images == @images")
