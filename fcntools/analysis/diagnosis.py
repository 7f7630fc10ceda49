"""What a mean IoU hides: spread over images, sizes of objects, confidence, a metric gone wrong.

Most of it follows from the confusion matrices of single images, int64 [N, C, C], rows truth.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from fcnlib.labels import VOID


class Bootstrap(NamedTuple):
    """Scores in 0..1 of test sets drawn again, with replacement, from the images of one."""

    iou: np.ndarray  # float64 [draws, C]; NaN where a class is in neither truth nor prediction
    mean_iou: np.ndarray  # float64 [draws], the mean over the classes that are


def bootstrap(matrices: np.ndarray, draws: int = 1000, seed: int = 0) -> Bootstrap:
    """Return scores of test sets drawn from a test set's images: pixels of one fail together.

    From equally many images one seed draws the same ones, so two networks may be compared draw by
    draw.

    Args:
        matrices: int64 [N, C, C], one an image.
        draws: how many sets of N images to draw.
        seed: of the draws.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles).
    """
    count = len(matrices)
    often = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    iou = _iou(*(often @ part for part in _parts(matrices)))  # [draws, C]
    return Bootstrap(iou, _mean_of_known(iou))


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return (low, high), the ends of the middle share `level` of the draws of a score.

    The draws are [draws, ...], NaN where one has no score; the ends are NaN where no draw has.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def size_edges(matrices: np.ndarray, bins: int, leave_out: Sequence[int] = ()) -> np.ndarray:
    """Return edges of object size, float64 [bins + 1] in pixels, with equally many objects between.

    An object here is all that an image has of one class, its size the labelled pixels.

    Args:
        matrices: int64 [N, C, C], one an image.
        bins: number of sizes; each holds its lower edge, the last one also its upper.
        leave_out: classes that are no objects, such as the background.
    """
    size, _ = _objects(matrices, leave_out)
    return np.quantile(size, np.linspace(0, 1, bins + 1))


def iou_by_size(
    matrices: np.ndarray, edges: np.ndarray, leave_out: Sequence[int] = ()
) -> pd.DataFrame:
    """Average the IoU of objects of about one size.

    Pixels of a class in an image that has nothing of it belong to no object: they count against a
    network in the mean IoU, but not here.

    Args:
        matrices: int64 [N, C, C], one an image.
        edges: float [bins + 1], pixels, rising, as from `size_edges`.
        leave_out: classes that are no objects.

    Returns:
        A row a bin: "iou", mean in 0..1, and "pixels", median size, NaN for an empty bin;
        "objects", their number.
    """
    size, iou = _objects(matrices, leave_out)
    place = np.searchsorted(edges[1:-1], size, side="right")
    place[(size < edges[0]) | (edges[-1] < size)] = -1  # in no bin
    inside = [place == b for b in range(len(edges) - 1)]
    table = {
        "iou": [iou[i].mean() if i.any() else np.nan for i in inside],
        "pixels": [np.median(size[i]) if i.any() else np.nan for i in inside],
        "objects": [i.sum() for i in inside],
    }
    return pd.DataFrame(table)


def mean_iou_2017(
    matrices: np.ndarray, *, forgets: bool = True, divides_by_all: bool = True, void: bool = False
) -> float:
    """Return mean IoU, 0..1, with the faults of the student project of 2017, each or both.

    Its third fault was to score the first batch only: pass the matrices of a few images.

    Args:
        matrices: int64 [N, C, C], one an image; with `void` [N, C + 1, C + 1].
        forgets: predicted pixels of a class count only in images whose truth has the class, so a
            false alarm elsewhere costs nothing: the score is never lower than the right one.
        divides_by_all: the sum over classes is divided by C + 1, since void was a class, and absent
            classes are not left out: the score is never higher.
        void: the matrices count void as one more class, the last; what was predicted there counts.

    Source: DeepSegment/FCN-GoogLeNet, colorize.py lines 117-123, inception_FCN.py lines 255-256.
    """
    hits, true, predicted = _parts(matrices)  # [N, C]
    if forgets:
        predicted = np.where(true > 0, predicted, 0)
    iou = _iou(*(part.sum(axis=0) for part in (hits, true, predicted)))
    if divides_by_all:
        return float(np.nansum(iou) / (len(iou) + (not void)))
    return float(_mean_of_known(iou))


def subset_means(matrices: np.ndarray, count: int) -> np.ndarray:
    """Return the mean IoU, 0..1, of 500 test sets of `count` of the images, each at most once."""
    random = np.random.default_rng(0)
    chosen = np.stack([random.permutation(len(matrices))[:count] for _ in range(500)])
    return _mean_of_known(_iou(*(part[chosen].sum(axis=1) for part in _parts(matrices))))


def deciding_step(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Return the step from which on the prediction of each pixel is the final one, int64 [H, W].

    The predictions are uint8 [H, W] each, after every step; the last is final.
    """
    last = np.zeros(predictions[0].shape, np.int64)
    for step, (before, now) in enumerate(itertools.pairwise(predictions), 1):
        last[before != now] = step
    return last


def count_confidence(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> np.ndarray:
    """Count pixels by the probability of their predicted class: of 80 %, 80 in 100 should be right.

    Args:
        probabilities: float [H, W, C], they add up to 1.
        truth: uint8 [H, W], 0..C-1 or 255 for void, which does not count.
        bins: parts of 0..1 of one width; the last holds 1, too.

    Returns:
        float64 [bins, 3]: pixels, sum of their probabilities, pixels that are right. The counts of
        several images add up.

    Source: Guo, Pleiss, Sun and Weinberger 2017, https://arxiv.org/abs/1706.04599, section 2.
    """
    known = truth != VOID
    confidence = probabilities.max(axis=-1)[known].astype(np.float64)
    right = probabilities.argmax(axis=-1)[known] == truth[known]
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    columns = (None, confidence, right)
    return np.stack([np.bincount(place, w, minlength=bins) for w in columns], axis=1)


def reliability(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (mean probability, share of right pixels) of the bins of `count_confidence`.

    Both are float64 [bins]; NaN for an empty bin.
    """
    pixels = np.where(counts[:, 0] > 0, counts[:, 0], np.nan)
    return counts[:, 1] / pixels, counts[:, 2] / pixels


def calibration_error(counts: np.ndarray) -> float:
    """Return the expected calibration error of the counts of `count_confidence`, 0..1.

    It is the mean distance of the shares of right pixels from the probabilities, weighted by
    pixels; NaN where nothing was counted.
    """
    pixels, confidence, right = counts.T
    error = np.abs(confidence - right).sum()
    return float(error / pixels.sum()) if pixels.sum() else float("nan")


def _parts(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels of each class hit, true and predicted, int64 [N, C] each."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    return hits, matrices.sum(axis=2), matrices.sum(axis=1)


def _objects(matrices: np.ndarray, leave_out: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return size and IoU of every object: what an image has of one class."""
    hits, true, predicted = (np.delete(part, leave_out, axis=1) for part in _parts(matrices))
    there = true > 0
    return true[there], _iou(hits, true, predicted)[there]


def _iou(hits: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    union = true + predicted - hits
    return np.divide(hits, union, out=np.full(union.shape, np.nan), where=union > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the means over the last axis without NaN; NaN where nothing else is there."""
    count = (~np.isnan(values)).sum(axis=-1)
    total = np.nansum(values, axis=-1)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
