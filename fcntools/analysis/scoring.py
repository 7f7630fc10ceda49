"""Score a trained network by the rules of its benchmark, read in one way or another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib.backbone import preprocess, unpreprocess
from fcnlib.builders import require_classes
from fcnlib.config import Config
from fcnlib.datasets import Record, read_image
from fcnlib.evaluation import predictor
from fcnlib.experiment import insert_ending, scored_as
from fcnlib.image_store import ImageStore
from fcnlib.input_pipeline import eval_batches
from fcnlib.labels import LabelSet
from fcnlib.runtime import files, run_record
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import locked
from fcntools.analysis import protocols, variants  # noqa: F401  (loads networks of 2017)
from fcntools.analysis.experiments import predictions
from fcntools.inference.engines import fold, load_alike
from fcntools.inference.segmenter import Segmenter
from fcntools.synthetic import prepare


@dataclass(frozen=True)
class Reading:
    """How answers are read off a trained network.

    `stride` is the one at which the sum of score maps is cut off, 0 for the network's own; `flip`
    averages with the mirrored image; `scales` are sizes of the image to average over, `others`
    checkpoints or folders of networks of the same classes.
    """

    stride: int = 0
    flip: bool = False
    scales: tuple[float, ...] = (1.0,)
    others: tuple[Path, ...] = ()

    @property
    def name(self) -> str:
        """The reading in a file name: "" for a plain one, else such as "-8s-flip-0.75-1".

        Others are there as their number and a digest of where they lie.
        """
        words = [f"{self.stride}s"] * bool(self.stride) + ["flip"] * self.flip
        words += [f"{scale:g}" for scale in self.scales] if self.scales != (1.0,) else []
        if self.others:
            digest = hashlib.sha256("\n".join(map(run_record.relative, self.others)).encode())
            words += [f"with-{len(self.others)}-{digest.hexdigest()[:8]}"]
        return "".join(f"-{word}" for word in words)

    def predictor(self, folder: Path, labels: LabelSet) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a function of images float32 [N, H, W, 3] in [-1, 1] to classes uint8 [N, H, W].

        Args:
            folder: of the trained network.
            labels: of what shall be labelled.

        Raises:
            InputError: there is no such stride or scale in it, it is none of ours, or it or another
                has other classes.
        """
        networks, meta = load_alike(folder, *self.others, stride=self.stride)
        require_classes(folder, meta, labels)
        if not self.flip and self.scales == (1.0,) and not self.others:
            return predictor(fold(networks[0]))
        segmenter = Segmenter(*networks, flip=self.flip, scales=self.scales)

        def predict(images: tf.Tensor) -> tf.Tensor:
            pixels = unpreprocess(images).numpy()
            return tf.constant(np.stack([segmenter.label(image) for image in pixels]))

        return predict


_PLAIN = Reading()


def benchmark(
    config: Config, folder: Path, competition: str = "comp6", reading: Reading = _PLAIN
) -> dict[str, float]:
    """Score a trained network by the rules of its data set's benchmark.

    Args:
        config: gives the data set, its split and the batch size.
        folder: of the trained network; gets benchmark.json, with the reading and, as
            `experiment.scored_as` says, another split in its name, and for PASCAL VOC the answers
            as palette PNGs in `protocols.voc_results`.
        competition: of PASCAL VOC, "comp5" or "comp6".
        reading: how to read it.

    Returns:
        {figure: value}, shares in 0..1; empty for a split whose masks PASCAL VOC's server keeps.

    Raises:
        InputError: the data set is no benchmark, the split has neither masks nor a server, the
            network cannot be read so or was trained for other classes, or another process writes
            into the folder.
    """
    with locked(folder):
        return _benchmark(config, folder, competition, reading)


def _benchmark(
    config: Config, folder: Path, competition: str, reading: Reading
) -> dict[str, float]:
    dataset, split = prepare(config), config.data.eval_split
    chosen = dataset.records(split, config.data.eval_limit)
    ending, identity = scored_as(config, dataset, folder)
    results = protocols.voc_results(folder, split, competition)
    board = protocols.Board(dataset.name, dataset.labels, results)
    predict = reading.predictor(folder, dataset.labels)
    if not any(record.label_path for record in chosen):
        _only_answer(board, predict, chosen)
        return {}
    store = ImageStore(chosen, dataset.labels, limit=0, split=split)  # each is looked at once
    with store.reporting():
        for index, truth, predicted in predictions(
            predict, eval_batches(store, config.train.eval_batch_size)
        ):
            board.add(store.names[index], truth, predicted)
    figures = board.figures()
    about: dict[str, Any] = {"benchmark": dataset.name, **identity}
    about |= {"stride": reading.stride, "flip": reading.flip, "scales": list(reading.scales)}
    about |= {"others": [run_record.relative(other) for other in reading.others]}
    about |= {"mean IoU, 95 % of test sets": board.interval()}
    about |= {"iou": dict(zip(dataset.labels.classes, board.iou(), strict=True))}
    path = insert_ending(folder / f"benchmark{reading.name}.json", ending)
    files.write_json(path, about | figures)
    return figures


def _only_answer(board: protocols.Board, predict: Callable, chosen: list[Record]) -> None:
    for record in chosen:
        image = preprocess(read_image(record.image_path)[None])
        board.add(record.name, None, predict(tf.constant(image)).numpy()[0])
