"""What a mean IoU hides: spread over images, sizes of objects, borders, confidence, old faults.

Most of it follows from the confusion matrices of single images, int64 [N, C, C], rows truth.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial import KDTree

from fcnlib.labels import VOID
from fcnlib.metrics import confusion_matrix


class Bootstrap(NamedTuple):
    """Scores in 0..1 of test sets drawn again, with replacement, from the images of one."""

    iou: np.ndarray  # float64 [draws, C]; NaN where a class is in neither truth nor prediction
    mean_iou: np.ndarray  # float64 [draws], the mean over the classes that are


def bootstrap(matrices: np.ndarray, draws: int = 1000, seed: int = 0) -> Bootstrap:
    """Return scores of test sets drawn from a test set's images: pixels of one fail together.

    One seed draws the same images, so two networks may be compared draw by draw.

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


def interval(draws: np.ndarray, level: float = 0.95) -> np.ndarray:
    """Return low and high, the ends of the middle share `level` of the draws of a score.

    The draws are [draws, ...], NaN where one has no score; the ends are NaN where no draw has.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        return np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)


def size_edges(matrices: np.ndarray, bins: int, leave_out: Sequence[int] = ()) -> np.ndarray:
    """Return edges of object size, float64 [bins + 1] in pixels, with equally many objects between.

    An object is all that an image has of one class.

    Args:
        matrices: int64 [N, C, C], one an image.
        bins: number of sizes; each holds its lower edge, the last one also its upper.
        leave_out: classes that are no objects, such as the background.
    """
    size, _ = _objects(matrices, leave_out)
    return np.quantile(size, np.linspace(0, 1, bins + 1))


def iou_by_size(matrices: np.ndarray, edges: np.ndarray, leave_out=()) -> pd.DataFrame:
    """Return by size of objects their mean "iou", median "pixels" and number, "objects".

    False alarms in an image that has nothing of a class do not count here.

    Args:
        matrices: int64 [N, C, C], one an image.
        edges: float [bins + 1], pixels, rising, as from `size_edges`.
        leave_out: classes that are no objects.
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
        forgets: a false alarm in an image without the class costs nothing.
        divides_by_all: the sum over classes, absent ones too, is divided by C + 1: void was one.
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
    """Return the step, int64 [H, W], from which on the prediction of each pixel is the last."""
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
    """Return (mean probability, share of right pixels) of the bins; NaN for an empty one."""
    pixels = np.where(counts[:, 0] > 0, counts[:, 0], np.nan)
    return counts[:, 1] / pixels, counts[:, 2] / pixels


def calibration_error(counts: np.ndarray) -> float:
    """Return the mean distance of the shares of right pixels from the probabilities, 0..1.

    It is weighted by pixels; NaN where nothing was counted.
    """
    pixels, confidence, right = counts.T
    error = np.abs(confidence - right).sum()
    return float(error / pixels.sum()) if pixels.sum() else float("nan")


def border_distance(truth: np.ndarray, reach: int) -> np.ndarray:
    """Return how far each pixel is from one of another value, diagonal steps counting as one.

    It is uint8 [H, W] like the truth: 1 beside another value, 2 behind that, ..., reach + 1 for all
    that is farther than `reach`, 1..254. Void counts as another value.
    """
    edge = ndimage.minimum_filter(truth, 3) != ndimage.maximum_filter(truth, 3)
    if not edge.any():
        return np.full(truth.shape, reach + 1, np.uint8)
    distance = 1 + ndimage.distance_transform_cdt(~edge, "chessboard")
    return np.minimum(distance, reach + 1).astype(np.uint8)


def ring_matrices(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, reach: int
) -> np.ndarray:
    """Return a confusion matrix for every distance from a border, int64 [reach + 1, C, C].

    Entry d counts the pixels of `border_distance` d + 1. The sum of the first w is the matrix of
    the labelled pixels at most w from a border; their share of wrong ones is the trimap error.

    Args:
        truth: uint8 [H, W], 0..C-1 or 255 for void, which does not count.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C.
        reach: the greatest distance measured, pixels.

    Source: in the manner of Krähenbühl and Koltun 2011, https://arxiv.org/abs/1210.5644.
    """
    distance = border_distance(truth, reach)
    rings = [distance == d for d in range(1, reach + 2)]
    return np.stack([confusion_matrix(truth[r], prediction[r], num_classes) for r in rings])


def error_rates(matrices: np.ndarray) -> np.ndarray:
    """Return the shares of wrong pixels of matrices [..., C, C], 0..1; NaN for an empty one."""
    total = matrices.sum(axis=(-2, -1))
    wrong = total - matrices.diagonal(axis1=-2, axis2=-1).sum(axis=-1)
    return np.divide(wrong, total, out=np.full(total.shape, np.nan), where=total > 0)


def boundary_f1(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, share: float = 0.0075
) -> float:
    """Return how well the outlines of the classes lie on the true ones: the mean of their F1.

    An outline is the pixels of a class beside a labelled pixel of another one; precision and recall
    are the shares of the predicted and of the true one within reach of each other. F1 is 0 for a
    class that has an outline in one of both alone, and left out for one without any.

    Args:
        truth: uint8 [H, W], 0..C-1 or 255 for void.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C.
        share: reach as a share of the image's diagonal.

    Source: Csurka, Larlus, Perronnin 2013; 0.75 % and the mean over the classes in the truth after
        Badrinarayanan et al. 2017, section 4, whose script also counts those only predicted.
    """
    reach = share * np.hypot(*truth.shape)
    maps = truth, np.where(truth == VOID, VOID, prediction)
    edges = [_edges(labels, num_classes) for labels in maps]
    f1 = []
    for c in np.unique(truth[truth < num_classes]):
        true, drawn = (np.argwhere(e & (m == c)) for e, m in zip(edges, maps, strict=True))
        recalled, precise = _near(true, drawn, reach), _near(drawn, true, reach)
        # F1 of precision p / drawn and recall r / true, without dividing by an empty outline
        whole = precise * len(true) + recalled * len(drawn)
        if len(true) or len(drawn):
            f1.append(2 * precise * recalled / whole if whole else 0.0)
    return float(np.mean(f1)) if f1 else float("nan")


def _edges(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Mark the labelled pixels beside a labelled pixel of another class, not diagonally."""
    known, cross = labels < num_classes, ndimage.generate_binary_structure(2, 1)
    low = ndimage.minimum_filter(np.where(known, labels, 255), footprint=cross, mode="nearest")
    high = ndimage.maximum_filter(np.where(known, labels, 0), footprint=cross, mode="nearest")
    return known & (low != high)


def _near(points: np.ndarray, others: np.ndarray, reach: float) -> int:
    """Count the points, int [n, 2], at most `reach` from one of the others."""
    return int((KDTree(others).query(points)[0] <= reach).sum()) if len(others) else 0


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
