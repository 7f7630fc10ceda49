"""The metrics of semantic segmentation, all computed from one confusion matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_LONG = 8  # pixels of a run, on average, from which on it pays to count runs


def confusion_matrix(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, void: int = 255
) -> np.ndarray:
    """Count how often each class was predicted where another was true.

    Matrices of several images add up to the matrix of all of them.

    Args:
        truth: integers, any shape, 0..C-1 or void.
        prediction: integers, the shape of truth, 0..C-1; where truth is void, anything.
        num_classes: C.
        void: the value of pixels that do not count; none of 0..C-1.

    Returns:
        int64 [C, C]: row = true class, column = predicted class, unit pixels.

    Raises:
        ValueError: shapes differ, or a value that counts is no class; the message names the value.
        TypeError: an array does not hold integers.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    _check(truth, prediction, num_classes, void)
    truth, prediction = truth.ravel(), prediction.ravel()
    # Regions are far fewer than pixels: count each run of one pair of classes once, times its
    # length. float64, in which bincount adds weights, holds every number of pixels.
    change = (truth[1:] != truth[:-1]) | (prediction[1:] != prediction[:-1])
    length = None
    if np.count_nonzero(change) < truth.size / _LONG:
        last = np.append(np.flatnonzero(change), truth.size - 1)
        truth, prediction, length = truth[last], prediction[last], np.diff(last, prepend=-1)
    counted = truth != void
    truth, prediction = truth[counted], prediction[counted]
    for name, values in (("truth", truth), ("prediction", prediction)):
        wrong = (values < 0) | (values >= num_classes)
        if wrong.any():
            also = f" and not void ({void})" if name == "truth" else " where truth is not void"
            raise ValueError(
                f"{name} holds {values[wrong][0]}, which is no class (0..{num_classes - 1}){also}"
            )
    cells = truth.astype(np.int64) * num_classes + prediction.astype(
        np.int64
    )  # one number a pair of classes
    matrix = np.bincount(cells, length if length is None else length[counted], num_classes**2)
    return matrix.astype(np.int64).reshape(num_classes, num_classes)


def confusion_matrices(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, void: int = 255
) -> np.ndarray:
    """Count every image of a batch for itself.

    Args:
        truth: integers [N, ...], as for `confusion_matrix`.
        prediction: integers, the shape of truth.
        num_classes: C.
        void: the value of pixels that do not count.

    Returns:
        int64 [N, C, C].

    Raises:
        ValueError: as `confusion_matrix`.
        TypeError: as `confusion_matrix`.
    """
    pairs = zip(truth, prediction, strict=True)
    matrices = [confusion_matrix(*pair, num_classes, void) for pair in pairs]
    return np.array(matrices, np.int64).reshape(-1, num_classes, num_classes)


def _check(truth: np.ndarray, prediction: np.ndarray, num_classes: int, void: int) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {prediction.shape}")
    for name, array in (("truth", truth), ("prediction", prediction)):
        if array.dtype.kind not in "iu":
            raise TypeError(f"{name} holds {array.dtype}; class indices are integers")
    if num_classes < 1 or 0 <= void < num_classes:
        raise ValueError(f"void = {void} must lie outside the classes 0..{num_classes - 1}")


@dataclass(frozen=True, eq=False)
class Scores:
    """The four metrics of Long et al. and their parts, all shares in 0..1.

    Attributes:
        pixel_accuracy: share of the pixels given their true class.
        mean_accuracy: mean of `accuracy` over the classes that occur in the truth.
        mean_iou: mean of `iou` over the classes that occur in truth or prediction.
        frequency_weighted_iou: mean of `iou`, weighted with the true pixels of each class.
        iou: float64 [C], intersection over union; NaN for a class in neither truth nor prediction.
        accuracy: float64 [C], share of a class's true pixels found; NaN for one not in the truth.
        num_absent: how many classes are in neither truth nor prediction.
        num_pixels: how many pixels counted, void ones not among them.
    """

    pixel_accuracy: float
    mean_accuracy: float
    mean_iou: float
    frequency_weighted_iou: float
    iou: np.ndarray
    accuracy: np.ndarray
    num_absent: int
    num_pixels: int

    def to_dict(self) -> dict[str, Any]:
        """Return all values under their names, ready for JSON: arrays as lists, NaN as None."""
        values = {n: v.tolist() if hasattr(v, "tolist") else v for n, v in vars(self).items()}
        return {
            name: [_or_none(v) for v in value] if isinstance(value, list) else _or_none(value)
            for name, value in values.items()
        }


def scores(matrix: np.ndarray) -> Scores:
    """Compute the metrics from a confusion matrix.

    Args:
        matrix: counts [C, C], integers >= 0, row = true class, column = predicted class.

    Returns:
        The scores. What has nothing to count is NaN and left out of every mean: a class absent from
        truth and prediction; a class absent from the truth in mean accuracy; all, without a pixel.

    Raises:
        ValueError: the matrix is not square or holds a negative count.

    Source: Long, Shelhamer, Darrell 2015, section 5, "Metrics" (n_ij there = matrix[i, j] here).
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any():
        raise ValueError(f"a confusion matrix is square, counts >= 0; got shape {matrix.shape}")
    hits = matrix.diagonal()
    true = matrix.sum(axis=1)
    union = true + matrix.sum(axis=0) - hits
    total = int(true.sum())
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


def _or_none(value: float) -> float | None:
    return None if value != value else value  # NaN alone differs from itself
