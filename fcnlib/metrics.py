"""The metrics of semantic segmentation, all computed from one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fcnlib.labels import VOID

_LONG = 8  # pixels of a run, on average, from which on it pays to count runs


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count how often each class was predicted where another was true.

    Matrices of several images add up to the matrix of all of them.

    Args:
        truth: integers, any shape, 0..C-1 or 255 for void, which does not count.
        prediction: integers, the shape of truth, 0..C-1; where truth is void, anything.
        num_classes: C, 255 at most.

    Returns:
        int64 [C, C]: row = true class, column = predicted class, unit pixels.

    Raises:
        ValueError: shapes differ, or a value that counts is no class; the message names the value.
        TypeError: an array does not hold integers.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}")
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} holds {array.dtype}; class indices are integers")
    truth, prediction = truth.ravel(), prediction.ravel()
    # Regions are far fewer than pixels: count each run of one pair of classes once, times its
    # length. float64, in which bincount adds weights, holds every number of pixels.
    change = (truth[1:] != truth[:-1]) | (prediction[1:] != prediction[:-1])
    length = None
    if np.count_nonzero(change) < truth.size / _LONG:
        last = np.append(np.flatnonzero(change), truth.size - 1)
        truth, prediction, length = truth[last], prediction[last], np.diff(last, prepend=-1)
    counted = truth != VOID
    truth, prediction = truth[counted], prediction[counted]
    for name, values in (("truth", truth), ("prediction", prediction)):
        if len(wrong := values[(values < 0) | (values >= num_classes)]):
            raise ValueError(f"{name} holds {wrong[0]}, which is no class (0..{num_classes - 1})")
    rows, columns = truth.astype(np.int64), prediction.astype(np.int64)
    cells = rows * num_classes + columns  # one number a pair of classes
    matrix = np.bincount(cells, length if length is None else length[counted], num_classes**2)
    return matrix.astype(np.int64).reshape(num_classes, num_classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """The four metrics of Long et al. and their parts, all shares in 0..1.

    `iou` is NaN for a class in neither truth nor prediction, `accuracy` for one not in the truth;
    the means leave such classes out.
    """

    pixel_accuracy: float  # share of the pixels given their true class
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float  # `iou` weighted with the true pixels of each class
    iou: np.ndarray  # float64 [C], intersection over union
    accuracy: np.ndarray  # float64 [C], share of a class's true pixels found
    num_absent: int  # classes in neither truth nor prediction
    num_pixels: int  # void ones not among them

    def to_dict(self) -> dict[str, Any]:
        """Return all values under their names, ready for JSON: arrays as lists, NaN as None."""
        return {k: np.where(np.isnan(v), None, v).tolist() for k, v in vars(self).items()}


def scores(matrix: np.ndarray) -> Scores:
    """Compute the metrics from a confusion matrix [C, C] of counts, rows truth.

    What counts nothing is NaN, and every mean leaves it out.

    Raises:
        ValueError: the matrix is not square or holds a negative count.

    Source: Long, Shelhamer, Darrell 2015, section 5, "Metrics" (n_ij there = matrix[i, j] here).
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any():
        raise ValueError(f"a confusion matrix is square, counts >= 0; got shape {matrix.shape}")
    hits, true = matrix.diagonal(), matrix.sum(axis=1)  # n_ii and t_i of the paper, [C]
    union, total = true + matrix.sum(axis=0) - hits, int(true.sum())
    iou, accuracy = _ratio(hits, union), _ratio(hits, true)
    return Scores(
        pixel_accuracy=float(_ratio(hits.sum(), total)),
        mean_accuracy=_mean(accuracy),
        mean_iou=_mean(iou),
        frequency_weighted_iou=float(_ratio(np.nansum(true * iou), total)),
        iou=iou,
        accuracy=accuracy,
        num_absent=int((union == 0).sum()),
        num_pixels=total,
    )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    nothing = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=nothing, where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
