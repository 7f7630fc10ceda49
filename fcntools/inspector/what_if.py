"""Look into a trained network: run it once on an image, then fuse its score maps again and again.

A slider that weighs a skip needs no network: the score maps of one run are kept, and `network.fuse`
adds them up with other weights in milliseconds.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcnlib import geometry
from fcnlib.blocks import BACKBONES
from fcnlib.labels import VOID, LabelSet
from fcnlib.network import FCN, fuse
from fcnlib.preprocessing import preprocess
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import upsample


@dataclass(frozen=True, eq=False)
class ScoreMaps:
    """What a network says about one image, before fusion.

    Attributes:
        image: uint8 [H, W, 3].
        truth: uint8 [H, W], 0..C-1 or 255; None where it is not known.
        scores: {stride: float32 [h, w, C]}, coarse to fine, as `FCN.score_maps` gives them.
        kernels: {stride: float32 [k, k, C, C]} of the learned upsampling.
        parts: {stride: float32 [h, w, C]}: each score map brought to the finest stride alone.
            Fusion is linear, so these add up to the fused scores.
        backbone: name of the network's backbone.
    """

    image: np.ndarray
    truth: np.ndarray | None
    scores: dict[int, np.ndarray]
    kernels: dict[int, np.ndarray]
    parts: dict[int, np.ndarray]
    backbone: str = "inception_v3"

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides that are fused, coarse to fine."""
        return tuple(self.scores)

    @property
    def first(self) -> float:
        """The pixel of the first sample point of `parts`, both axes."""
        return (min(self.scores) - 1) / 2 if BACKBONES[self.backbone].half_pixel_centers else 0.0

    @functools.cached_property
    def own(self) -> np.ndarray:
        """The network's own answer, uint8 [H, W]."""
        return answer(self)


def read(network: FCN, image: np.ndarray, truth: np.ndarray | None = None) -> ScoreMaps:
    """Run a network once on an image.

    Args:
        network: a trained one.
        image: uint8 [H, W, 3].
        truth: uint8 [H, W] where it is known.

    Returns:
        Everything that fusing again needs.
    """
    scores, kernels = network.score_maps(preprocess(tf.constant(image)[None]))
    parts = {s: network.fuse(scores, kernels, {t: float(t == s) for t in scores}) for s in scores}
    return ScoreMaps(
        image,
        truth,
        scores={s: m[0].numpy() for s, m in scores.items()},
        kernels={s: k.numpy() for s, k in kernels.items()},
        parts={s: m[0].numpy() for s, m in parts.items()},
        backbone=network.backbone,
    )


def fused(
    maps: ScoreMaps, weights: Mapping[int, float] | None = None, down_to: int | None = None
) -> np.ndarray:
    """Fuse score maps and bring them to pixels.

    Args:
        maps: from `read`.
        weights: {stride: factor on its score map}; 1 where absent. With all at 1 the result is the
            network's own, bit for bit.
        down_to: leave out the skips finer than this stride.

    Returns:
        Logits, float32 [H, W, C].
    """
    scores = {s: m[None] for s, m in maps.scores.items()}
    classes = maps.parts[min(maps.parts)].shape[-1]
    if down_to and all(m.shape[-1] == classes for m in scores.values()):
        scores = {s: m for s, m in scores.items() if s >= down_to}
    elif down_to:  # features are scored at the finest stride only: mute what is finer
        weights = {s: (weights or {}).get(s, 1.0) * (s >= down_to) for s in scores}
    height, width = maps.image.shape[:2]
    half_pixel_centers = BACKBONES[maps.backbone].half_pixel_centers
    coarse = fuse(scores, maps.kernels, weights, half_pixel_centers)
    return upsample(coarse, min(scores), half_pixel_centers)[0, :height, :width].numpy()


def answer(
    maps: ScoreMaps, weights: Mapping[int, float] | None = None, down_to: int | None = None
) -> np.ndarray:
    """Choose the class of every pixel.

    Args:
        maps: from `read`.
        weights: as in `fused`.
        down_to: as in `fused`.

    Returns:
        uint8 [H, W], 0..C-1.
    """
    return tf.argmax(fused(maps, weights, down_to), axis=-1).numpy().astype(np.uint8)


def probe(
    maps: ScoreMaps, weights: Mapping[int, float], row: int, column: int
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Take the scores of one pixel apart.

    Args:
        maps: from `read`.
        weights: {stride: factor}; 1 where absent.
        row: of the pixel, 0..H-1.
        column: of the pixel, 0..W-1.

    Returns:
        ({stride: float32 [C], what a skip adds to the logit of every class}, float32 [C], softmax
        of their sum). They add up to the pixel's logits but for rounding.
    """
    at = [max(place - maps.first, 0) / min(maps.strides) for place in (row, column)]
    added = {s: _between(p, *at) * np.float32(weights.get(s, 1)) for s, p in maps.parts.items()}
    logits = sum(added.values())
    odds = np.exp(logits - logits.max())
    return added, odds / odds.sum()


def _between(values: np.ndarray, row: float, column: float) -> np.ndarray:
    """Interpolate [h, w, C] bilinearly at a place that need not be whole."""
    top, left = int(row), int(column)
    down, right = np.float32(row - top), np.float32(column - left)
    bottom, beyond = min(top + 1, values.shape[0] - 1), min(left + 1, values.shape[1] - 1)
    above = values[top, left] * (1 - right) + values[top, beyond] * right
    below = values[bottom, left] * (1 - right) + values[bottom, beyond] * right
    return above * (1 - down) + below * down


def receptive_fields(
    maps: ScoreMaps, row: int, column: int
) -> dict[int, tuple[int, int, int, int]]:
    """Find what the unit nearest to a pixel can see, for every stride.

    Args:
        maps: from `read`.
        row: of the pixel.
        column: of the pixel.

    Returns:
        {stride: (top, left, bottom, right)}, first and last pixel, beyond the image's border where
        the field is.
    """
    made, boxes = BACKBONES[maps.backbone], {}
    for stride in maps.strides:
        ends = []
        for axis, (place, side) in enumerate(zip((row, column), maps.image.shape, strict=False)):
            size = geometry.grid_size(side, made.half_pixel_centers)
            field = geometry.fields(made.table, size, "SAME", axis)[made.skips[stride]]
            centre = field.start + round((place - field.start) / stride) * stride
            ends.append((round(centre - field.reach), round(centre + field.reach)))
        boxes[stride] = (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
    return boxes


def landmark(maps: ScoreMaps) -> tuple[int, int, int]:
    """Choose a class and a pixel to look at first: the second largest class, and a pixel of it.

    Args:
        maps: from `read`; its truth counts, or its answer where the truth is not known.

    Returns:
        (class, row, column); of the largest class where there is but one.
    """
    known = maps.own if maps.truth is None else maps.truth
    counts = np.bincount(known.ravel(), minlength=256)[:VOID]
    ranked = np.argsort(-counts, kind="stable")
    chosen = int(ranked[1] if counts[ranked[1]] else ranked[0])
    places = np.argwhere(known == chosen)
    row, column = places[len(places) // 2] if len(places) else (0, 0)
    return chosen, int(row), int(column)


@dataclass(frozen=True, eq=False)
class View:
    """What to show of an image's score maps.

    Attributes:
        maps: the image and what a network says of it.
        labels: names and colours of the classes.
        class_index: whose score maps to show.
        weights: {stride: factor on its score map}, every stride of the network.
        row: of the pixel to take apart.
        column: of that pixel.
    """

    maps: ScoreMaps
    labels: LabelSet
    class_index: int
    weights: Mapping[int, float]
    row: int
    column: int
