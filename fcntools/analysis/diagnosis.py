"""What a mean IoU hides: its spread over images, the size of objects, and a metric that went wrong.

Everything follows from the confusion matrices of single images, int64 [images, C, C], rows truth.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Scores of test sets drawn again, with replacement, from the images of one test set.

    Sets drawn with one seed from equally many images hold the same images, so two networks may be
    compared draw by draw.

    Attributes:
        iou: float64 [draws, C] in 0..1; NaN where a class is in neither truth nor prediction.
        mean_iou: float64 [draws] in 0..1, the mean over the classes that are.
    """

    iou: np.ndarray
    mean_iou: np.ndarray


def bootstrap(matrices: np.ndarray, draws: int = 1000, seed: int = 0) -> Bootstrap:
    """Score test sets drawn from the images of a test set.

    Images, not pixels, are drawn: the pixels of an image fail together.

    Args:
        matrices: int64 [N, C, C], one an image.
        draws: how many sets of N images to draw.
        seed: of the draws.

    Returns:
        The scores of every draw.

    Raises:
        ValueError: there is no image.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13 (percentiles).
    """
    count = len(matrices)
    if count == 0:
        raise ValueError("a test set without images has no spread")
    often = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws)
    hits, true, predicted = (often @ part for part in _parts(matrices))  # each [draws, C]
    iou = _ratio(hits, true + predicted - hits)
    return Bootstrap(iou, _mean_of_known(iou))


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Return the middle part of the draws of a score.

    Args:
        draws: float [draws, ...], NaN where a draw has no score.
        level: share of the draws inside.

    Returns:
        (low, high), each of the shape of one draw; NaN where no draw has a score.
    """
    scores = draws.reshape(len(draws), -1)
    known = ~np.isnan(scores).all(axis=0)
    found = np.full((2, scores.shape[1]), np.nan)
    ends = [(1 - level) / 2, (1 + level) / 2]
    found[:, known] = np.nanquantile(scores[:, known], ends, axis=0)
    low, high = found.reshape(2, *draws.shape[1:])
    return low, high


def size_edges(matrices: np.ndarray, bins: int, leave_out: Sequence[int] = ()) -> np.ndarray:
    """Return edges of object size between which lie equally many objects.

    An object here is all that an image has of one class, its size the labelled pixels.

    Args:
        matrices: int64 [N, C, C], one an image.
        bins: how many sizes to tell apart.
        leave_out: classes that are no objects, such as the background.

    Returns:
        float64 [bins + 1], pixels; a bin holds its lower edge, the last one also its upper.
    """
    size, _ = _objects(matrices, leave_out)
    return np.quantile(size, np.linspace(0, 1, bins + 1))


@dataclass(frozen=True, eq=False)
class BySize:
    """How well objects of different size are found.

    Attributes:
        iou: float64 [bins] in 0..1, mean over the objects of a bin; NaN for an empty one.
        size: float64 [bins], median size of the objects, pixels; NaN for an empty one.
        count: int64 [bins], objects.
    """

    iou: np.ndarray
    size: np.ndarray
    count: np.ndarray


def iou_by_size(matrices: np.ndarray, edges: np.ndarray, leave_out: Sequence[int] = ()) -> BySize:
    """Average the IoU of objects of about one size.

    Pixels of a class in an image that has nothing of it belong to no object: they count against a
    network in the mean IoU, but not here.

    Args:
        matrices: int64 [N, C, C], one an image.
        edges: float [bins + 1], pixels, rising, as from `size_edges`.
        leave_out: classes that are no objects.

    Returns:
        Mean IoU, median size and number of the objects of every bin.
    """
    size, iou = _objects(matrices, leave_out)
    place = np.searchsorted(edges[1:-1], size, side="right")
    inside = [
        (place == b) & (edges[0] <= size) & (size <= edges[-1]) for b in range(len(edges) - 1)
    ]
    return BySize(
        iou=np.array([iou[i].mean() if i.any() else np.nan for i in inside]),
        size=np.array([np.median(size[i]) if i.any() else np.nan for i in inside]),
        count=np.array([i.sum() for i in inside]),
    )


def mean_iou_2017(
    matrices: np.ndarray, *, forgets: bool = True, divides_by_all: bool = True, void: bool = False
) -> float:
    """Compute mean IoU with the faults of the student project of 2017, each alone or both.

    Its third fault was to look at the first batch only: hand over the matrices of a few images.
    What it predicted on void pixels counted too, which only matrices with void can show.

    Args:
        matrices: int64 [N, C, C], one an image; with `void` [N, C + 1, C + 1].
        forgets: predicted pixels of a class count only in images whose truth has the class, so a
            false alarm elsewhere costs nothing: the score is never lower than the right one.
        divides_by_all: the sum over classes is divided by C + 1, since void was a class, and absent
            classes are not left out: the score is never higher.
        void: the matrices count void as one more class, the last.

    Returns:
        The score in 0..1; without any fault, the mean IoU of `metrics.scores`.

    Source: DeepSegment/FCN-GoogLeNet, colorize.py lines 117-123, inception_FCN.py lines 255-256.
    """
    hits, true, predicted = _parts(matrices)  # each [N, C]
    if forgets:
        predicted = np.where(true > 0, predicted, 0)
    hits, true, predicted = (part.sum(axis=0) for part in (hits, true, predicted))
    iou = _ratio(hits, true + predicted - hits)
    if divides_by_all:
        return float(np.nansum(iou) / (len(iou) + (not void)))
    return float(_mean_of_known(iou[None])[0])


def subset_means(matrices: np.ndarray, count: int, draws: int = 500, seed: int = 0) -> np.ndarray:
    """Score small test sets: what mean IoU could have come out on fewer images.

    Args:
        matrices: int64 [N, C, C], one an image.
        count: images in a set, 1..N, each at most once.
        draws: how many sets.
        seed: of the choice.

    Returns:
        float64 [draws], mean IoU in 0..1; NaN where a set has no labelled pixel.
    """
    random = np.random.default_rng(seed)
    chosen = np.stack([random.permutation(len(matrices))[:count] for _ in range(draws)])
    hits, true, predicted = (part[chosen].sum(axis=1) for part in _parts(matrices))  # [draws, C]
    return _mean_of_known(_ratio(hits, true + predicted - hits))


def last_word(answers: Sequence[np.ndarray]) -> np.ndarray:
    """Find the step after which each pixel's answer did not change any more.

    Args:
        answers: uint8 [H, W] each, as an answer grew step by step; the last is the final one.

    Returns:
        int64 [H, W], 0..len(answers)-1: the first step from which on the answer is the final one.
    """
    last = np.zeros(answers[0].shape, np.int64)
    for step, (before, now) in enumerate(itertools.pairwise(answers), 1):
        last[before != now] = step
    return last


def _parts(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels of each class found, true and predicted, int64 [N, C] each."""
    hits = np.diagonal(matrices, axis1=1, axis2=2)
    return hits, matrices.sum(axis=2), matrices.sum(axis=1)


def _objects(matrices: np.ndarray, leave_out: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return size and IoU of every object: what an image has of one class."""
    hits, true, predicted = (np.delete(part, leave_out, axis=1) for part in _parts(matrices))
    there = true > 0
    return true[there], (hits / np.maximum(true + predicted - hits, 1))[there]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the means over the last axis without NaN; NaN where nothing else is there."""
    return _ratio(np.nansum(values, axis=-1), (~np.isnan(values)).sum(axis=-1))
