"""Calibration: of the pixels predicted with a probability of 80 %, 80 in 100 should be right.

Source: Guo, Pleiss, Sun and Weinberger 2017, https://arxiv.org/abs/1706.04599, section 2.
"""

from __future__ import annotations

import numpy as np

from fcnlib.labels import VOID


def count_confidence(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> np.ndarray:
    """Count pixels by the probability of their predicted class.

    Args:
        probabilities: float [H, W, C], they add up to 1.
        truth: uint8 [H, W], 0..C-1 or 255 for void, which does not count.
        bins: parts of 0..1 of one width; the last holds 1, too.

    Returns:
        float64 [bins, 3]: pixels, sum of their probabilities, pixels that are right. The counts of
        several images add up.
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
