"""Does a probability mean what it says? Of the pixels called at 80 %, 80 in 100 should be right.

Source: Guo, Pleiss, Sun and Weinberger 2017, https://arxiv.org/abs/1706.04599, section 2.
"""

from __future__ import annotations

import numpy as np

from fcnlib.labels import VOID


def count_confidence(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> np.ndarray:
    """Count pixels by the probability of the class that they are given.

    Args:
        probabilities: float [H, W, C], they add up to 1.
        truth: uint8 [H, W], 0..C-1 or 255 for void, which does not count.
        bins: parts of 0..1 of one width; the last holds 1, too.

    Returns:
        float64 [bins, 3]: pixels, sum of their probabilities, pixels that are right. The counts of
        several images add up.
    """
    known = truth != VOID
    sure = probabilities.max(axis=-1)[known].astype(np.float64)
    right = probabilities.argmax(axis=-1)[known] == truth[known]
    place = np.minimum((sure * bins).astype(int), bins - 1)
    parts = (None, sure, right)
    return np.stack([np.bincount(place, w, minlength=bins) for w in parts], axis=1)


def reliability(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compare what was said with what came true, bin by bin.

    Args:
        counts: from `count_confidence`.

    Returns:
        (mean probability, share of right pixels), float64 [bins] each; NaN for an empty bin.
    """
    pixels, said, right = counts.T
    empty = np.full(len(counts), np.nan)
    said = np.divide(said, pixels, out=empty.copy(), where=pixels > 0)
    return said, np.divide(right, pixels, out=empty, where=pixels > 0)


def calibration_error(counts: np.ndarray) -> float:
    """Average how far the shares of right pixels are from the probabilities, weighted by pixels.

    Args:
        counts: from `count_confidence`.

    Returns:
        The expected calibration error, 0..1; NaN where nothing was counted.
    """
    pixels, said, right = counts.T
    return float(np.abs(said - right).sum() / pixels.sum()) if pixels.sum() else float("nan")
