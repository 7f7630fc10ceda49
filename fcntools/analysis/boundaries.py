"""Counts by the distance from the borders between classes: the "trimap" evaluation.

A band of width w holds the labelled pixels at most w pixels from a pixel of another value. Void
strips along objects count as another value, so the band begins where the labels do. Its share of
wrong pixels is the trimap error, its mean IoU the trimap IoU.

Source: in the manner of Krähenbühl and Koltun 2011, https://arxiv.org/abs/1210.5644.
"""

from __future__ import annotations

import numpy as np


def border_distance(truth: np.ndarray, reach: int) -> np.ndarray:
    """Measure how far each pixel is from one of another value, diagonal steps counting as one.

    Args:
        truth: uint8 [H, W], class indices and void.
        reach: the farthest to look, pixels, at least 1 and below 255.

    Returns:
        uint8 [H, W]: 1 beside another value, 2 behind that, ..., reach + 1 for all that is farther.
    """
    distance = np.full(truth.shape, reach + 1, np.uint8)
    low = high = truth
    for step in range(1, reach + 1):
        low, high = _spread(low, np.minimum), _spread(high, np.maximum)
        # A window holds two values exactly when its least and its greatest differ.
        np.minimum(distance, np.where(low != high, step, reach + 1), out=distance, casting="unsafe")
    return distance


def _spread(values: np.ndarray, choose: np.ufunc) -> np.ndarray:
    wide = values.copy()
    choose(wide[1:], values[:-1], out=wide[1:])
    choose(wide[:-1], values[1:], out=wide[:-1])
    square = wide.copy()
    choose(square[:, 1:], wide[:, :-1], out=square[:, 1:])
    choose(square[:, :-1], wide[:, 1:], out=square[:, :-1])
    return square


def ring_matrices(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, reach: int, void: int = 255
) -> np.ndarray:
    """Count a confusion matrix for every distance from a border.

    The matrix of the band of width w is the sum of the first w; of everything, the sum of all. From
    it follow the trimap error (`error_rates`) and the trimap IoU (`metrics.scores`).

    Args:
        truth: uint8 [H, W], 0..C-1 or void.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C.
        reach: the greatest distance told apart, pixels.
        void: the value of pixels that do not count.

    Returns:
        int64 [reach + 1, C, C]: rows truth; entry d counts the pixels at distance d + 1, the last
        one all that are farther than reach.
    """
    ring = border_distance(truth, reach)[truth != void].astype(np.int64) - 1
    true, predicted = truth[truth != void], prediction[truth != void]
    cells = (ring * num_classes + true) * num_classes + predicted
    shape = (reach + 1, num_classes, num_classes)
    return np.bincount(cells, minlength=np.prod(shape)).reshape(shape)


def error_rates(matrices: np.ndarray) -> np.ndarray:
    """Return the share of wrong pixels of each confusion matrix.

    Args:
        matrices: int [..., C, C], rows truth.

    Returns:
        float64 [...], 0..1; NaN where a matrix counts nothing.
    """
    total = matrices.sum(axis=(-2, -1))
    wrong = total - matrices.diagonal(axis1=-2, axis2=-1).sum(axis=-1)
    return np.divide(wrong, total, out=np.full(total.shape, np.nan), where=total > 0)


def boundary_f1(
    truth: np.ndarray, prediction: np.ndarray, num_classes: int, share: float = 0.0075
) -> float:
    """Score how well the outlines of the classes lie on the true ones.

    An outline is the pixels of a class beside a labelled pixel of another one; the frame of the
    image is none, and void is no class. For every class, precision is the share of its predicted
    outline within reach of its true one, recall the share of the true one within reach of the
    predicted one.

    Args:
        truth: uint8 [H, W], 0..C-1 or 255 for void.
        prediction: uint8 [H, W], 0..C-1.
        num_classes: C, at most 64.
        share: reach as a share of the image's diagonal.

    Returns:
        The mean of the F1 of the classes present in the truth, 0..1: 0 for one that has an outline
        in truth or prediction alone; one without any outline is left out. A class that is only
        predicted is not in the mean, but costs the precision of those beside it. NaN where no class
        has an outline.

    Source: Csurka, Larlus, Perronnin 2013, "What is a good evaluation measure for semantic
        segmentation?"; 0.75 % and the mean over "each class that is present in the ground truth"
        after Badrinarayanan et al. 2017, section 4. Their script (SegNet-Tutorial,
        computeBFmeasure.m) also counts classes that are only predicted, and pairs outline pixels
        one to one.
    """
    reach = share * np.hypot(*truth.shape)
    predicted = np.where(truth == 255, 255, prediction).astype(np.uint8)
    one, other = _outlines(truth, num_classes), _outlines(predicted, num_classes)
    hits = one & _dilated(other, reach), other & _dilated(one, reach)
    found = [
        [np.count_nonzero(bits >> np.uint64(c) & np.uint64(1)) for c in range(num_classes)]
        for bits in (one, other, *hits)
    ]
    true, drawn, recalled, precise = np.array(found, float)
    # F1 of precision p / drawn and recall r / true, without dividing by an empty outline
    parts = 2 * precise * recalled, precise * true + recalled * drawn
    f1 = np.divide(*parts, out=np.zeros(num_classes), where=parts[1] > 0)
    present = np.bincount(truth.ravel(), minlength=num_classes)[:num_classes] > 0
    known = present & ((true > 0) | (drawn > 0))
    return float(f1[known].mean()) if known.any() else float("nan")


def _outlines(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return uint64 [H, W]: bit c is set where the outline of class c runs."""
    edge = np.zeros(labels.shape, bool)
    known = labels < num_classes
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        differ = (labels[one] != labels[other]) & known[one] & known[other]
        edge[one] |= differ
        edge[other] |= differ
    bits = np.uint64(1) << np.where(known, labels, 0).astype(np.uint64)
    return np.where(edge, bits, np.uint64(0))


def _dilated(bits: np.ndarray, reach: float) -> np.ndarray:
    """Spread set bits to all pixels at most `reach` away, every class at once."""
    far = int(reach)
    height, width = bits.shape
    padded = np.pad(bits, far)
    spread = np.zeros_like(bits)
    for dy in range(-far, far + 1):
        for dx in range(-far, far + 1):
            if dx * dx + dy * dy <= reach * reach:
                spread |= padded[far + dy : far + dy + height, far + dx : far + dx + width]
    return spread
