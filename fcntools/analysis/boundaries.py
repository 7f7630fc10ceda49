"""Scores near the borders between classes: the trimap evaluation, and boundary F1.

A band of width w holds the labelled pixels at most w pixels from a pixel of another value; void
counts as another value. Its share of wrong pixels is the trimap error, its mean IoU the trimap IoU.

Source: in the manner of Krähenbühl and Koltun 2011, https://arxiv.org/abs/1210.5644.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from fcnlib.labels import VOID
from fcnlib.metrics import confusion_matrix


def border_distance(truth: np.ndarray, reach: int) -> np.ndarray:
    """Measure how far each pixel is from one of another value, diagonal steps counting as one.

    Returns:
        uint8 [H, W] like the truth: 1 beside another value, 2 behind that, ..., reach + 1 for all
        that is farther than `reach`, 1..254.
    """
    edge = ndimage.minimum_filter(truth, 3) != ndimage.maximum_filter(truth, 3)
    if not edge.any():
        return np.full(truth.shape, reach + 1, np.uint8)
    distance = 1 + ndimage.distance_transform_cdt(~edge, "chessboard")
    return np.minimum(distance, reach + 1).astype(np.uint8)


def ring_matrices(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, reach: int
) -> np.ndarray:
    """Count a confusion matrix for every distance from a border.

    The matrix of the band of width w is the sum of the first w.

    Args:
        truth: uint8 [H, W], 0..C-1 or 255 for void, which does not count.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C.
        reach: the greatest distance measured, pixels.

    Returns:
        int64 [reach + 1, C, C]: rows truth; entry d counts the pixels of `border_distance` d + 1.
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
    """Score how well the outlines of the classes lie on the true ones.

    An outline is the pixels of a class beside a labelled pixel of another one. For every class,
    precision is the share of its predicted outline within reach of its true one, recall the share
    of the true one within reach of the predicted one.

    Args:
        truth: uint8 [H, W], 0..C-1 or 255 for void.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C.
        share: reach as a share of the image's diagonal.

    Returns:
        The mean of the F1 of the classes present in the truth, 0..1: 0 for one that has an outline
        in truth or prediction alone; one without any is left out. NaN where no class has any.

    Source: Csurka, Larlus, Perronnin 2013, "What is a good evaluation measure for semantic
        segmentation?"; 0.75 % and the mean over "each class that is present in the ground truth"
        after Badrinarayanan et al. 2017, section 4, whose script also counts classes that are only
        predicted, and pairs outline pixels one to one.
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
    if not len(points) or not len(others):
        return 0
    return int((KDTree(others).query(points)[0] <= reach).sum())
