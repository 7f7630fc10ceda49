"""Sharpen a prediction along the image's edges: a fully connected conditional random field.

Every pixel is tied to every other; a tie is stronger the nearer two pixels are, and the nearer
their colours. Mean field: each pixel's probabilities are drawn towards those of the pixels it is
tied to, again and again. Nothing is trained, and no label means "unknown": class 0 is a class.

Source: Krähenbühl and Koltun 2011, https://arxiv.org/abs/1210.5644; the numbers as in
DeepSegment/FCN-GoogLeNet post_crf.py, the order of operations as in the library it calls, which
lets a pixel speak for itself, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fcntools.inference.smoothing import by_place, by_place_and_colour


@dataclass(frozen=True)
class CRF:
    """How strong the ties are and how far they reach.

    Attributes:
        iterations: of mean field.
        place_sigma: reach of the ties by place alone, pixels.
        place_weight: their strength.
        pair_sigma: reach of the ties by place and colour, pixels.
        colour_sigma: reach of those in colour, levels of 0..255.
        pair_weight: their strength.
        floor: the least probability that the network is believed to mean.
    """

    iterations: int = 10
    place_sigma: float = 10.0
    place_weight: float = 3.0
    pair_sigma: float = 50.0
    colour_sigma: float = 20.0
    pair_weight: float = 10.0
    floor: float = 1e-5


SEED = CRF()  # the numbers of 2017


def refine(probabilities: np.ndarray, image: np.ndarray, crf: CRF = SEED) -> np.ndarray:
    """Bring probabilities into line with the image.

    Args:
        probabilities: float [H, W, C], they add up to 1.
        image: uint8 [H, W, 3].
        crf: the ties.

    Returns:
        float32 [H, W, C], they add up to 1.
    """
    height, width, count = probabilities.shape
    evidence = np.log(np.clip(probabilities, crf.floor, 1.0), dtype=np.float32).reshape(-1, count)
    ties = [
        (crf.place_weight, by_place(height, width, crf.place_sigma)),
        (crf.pair_weight, by_place_and_colour(image, crf.pair_sigma, crf.colour_sigma)),
    ]
    # Divided by the root of both ends' sums, so that the ties stay symmetric.
    ones = np.ones((height * width, 1), np.float32)
    ties = [(weight, apply, 1 / np.sqrt(apply(ones))) for weight, apply in ties]
    belief = _softmax(evidence)
    for _ in range(crf.iterations):
        drawn = evidence
        for weight, apply, norm in ties:
            drawn = drawn + weight * norm * apply(norm * belief)
        belief = _softmax(drawn)
    return belief.reshape(height, width, count)


def _softmax(scores: np.ndarray) -> np.ndarray:
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    odds /= (odds @ np.ones(odds.shape[1], odds.dtype))[:, None]
    return odds
