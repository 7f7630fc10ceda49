"""Label images of any size: whole or in overlapped tiles; flips, scales, networks averaged.

A tile sees as far beyond its core as the network's units do, and begins on the 32-pixel grid of the
image at its scale, so the prediction inside the core equals that of the whole image. The CRF sees
only the tile and 128 pixels around it, for want of memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fcnlib import geometry
from fcnlib.builders import load_fcn
from fcnlib.errors import InputError
from fcnlib.geometry import GRID
from fcnlib.network import FCN
from fcnlib.preprocessing import preprocess
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import pad_to_grid, upsample
from fcntools.inference.crf import refine
from fcntools.inference.folding import Folded

TILE = 1024  # pixels a side of a tile's core; with margins some 2 GB of a full-width network
_CRF_ROOM = 128  # pixels beyond a tile's core that the random field may look at


class Box(NamedTuple):
    """Pixels `top` to `bottom`, `left` to `right`, the last of each not included."""

    top: int
    left: int
    bottom: int
    right: int

    def grown(self, margin: int, size: tuple[int, int]) -> Box:
        """Return the box with a margin, in pixels, as far as the image's height and width allow.

        At the top and left it has up to 31 more, so that it begins on the grid.
        """
        top, left = (max(at - margin, 0) // GRID * GRID for at in (self.top, self.left))
        return Box(top, left, min(self.bottom + margin, size[0]), min(self.right + margin, size[1]))

    def scaled(self, down: float, across: float) -> Box:
        """Return the same place in an image resized by these factors, to whole pixels outwards."""
        top, left = math.floor(self.top * down), math.floor(self.left * across)
        return Box(top, left, math.ceil(self.bottom * down), math.ceil(self.right * across))

    def within(self, other: Box) -> Box:
        """Return the same pixels, counted from another box's corner."""
        return Box(*(at - start for at, start in zip(self, other[:2] * 2, strict=True)))

    def cut(self, array: np.ndarray) -> np.ndarray:
        """Return these pixels of an array [H, W, ...]."""
        return array[self.top : self.bottom, self.left : self.right]


def tiles(size: tuple[int, int], side: int) -> list[Box]:
    """Return the cores of an image of this height and width, row by row, `side` pixels a side."""
    corners = itertools.product(range(0, size[0], side), range(0, size[1], side))
    return [Box(y, x, min(y + side, size[0]), min(x + side, size[1])) for y, x in corners]


def reach(network: FCN) -> int:
    """Return how far from a pixel a network can look, in pixels."""
    grid = geometry.grid_size(GRID, network.half_pixel_centers)
    field = geometry.fields(network.spec.table, grid, "SAME")[network.skips[32]]
    # The answer between two sample points is made of both; each step of upsampling adds its own.
    return math.ceil(field.reach) + 2 * GRID + network.stride


def load_alike(path: Path, *others: Path, stride: int = 0) -> tuple[list[FCN], dict[str, Any]]:
    """Return trained networks of the same classes, to be averaged, and the meta of the first.

    Args:
        path: as of `load_fcn`.
        *others: more of them.
        stride: as of `load_fcn`, for each.

    Raises:
        InputError: one has other classes than the first.
    """
    networks, metas = zip(*(load_fcn(one, stride) for one in (path, *others)), strict=True)
    for other, meta in zip(others, metas[1:], strict=True):
        if meta["classes"] != metas[0]["classes"]:
            raise InputError(f"{other}: its classes are not those of {path}; no average of both")
    return list(networks), metas[0]


class Segmenter:
    """A trained network, or several averaged, that labels images of any size."""

    def __init__(
        self,
        network: FCN,
        *others: FCN,
        flip: bool = False,
        scales: tuple[float, ...] = (1.0,),
        crf: bool = False,
        tile: int = TILE,
        engine: str = "tensorflow",
    ):
        """Choose how to label.

        Args:
            network: a trained one.
            *others: more of the same classes (`load_alike`), whose probabilities are averaged.
            flip: average the probabilities with those of the mirrored image.
            scales: sizes of the image to average over, factors of its side.
            crf: refine the probabilities by `crf.refine`.
            tile: pixels a side of a tile's core; rounded up to a multiple of 32.
            engine: what computes, one of `folding.ENGINES`.

        Raises:
            InputError: a scale or the tile is not positive, or there is no scale.
        """
        networks = network, *others
        if not scales or not all(0 < scale < math.inf for scale in scales) or tile <= 0:
            raise InputError(f"scales {scales} and tile {tile} must be positive numbers")
        self._flip, self._scales, self._crf = flip, scales, crf
        self._networks = [Folded(network, engine) for network in networks]
        self.side = math.ceil(tile / GRID) * GRID
        self._margin = max(reach(network) for network in networks)
        image, box = tf.TensorSpec([None, None, 3]), tf.TensorSpec([4], tf.int32)
        self._run = tf.function(self._probabilities, [image, box], autograph=False)

    def label(
        self, image: np.ndarray, done: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """Return the class of every pixel, uint8 [H, W], of an image uint8 [H, W, 3].

        `done` is called with 1 after each tile.
        """
        answer = np.empty(image.shape[:2], np.uint8)
        for core in tiles(answer.shape, self.side):
            room = core.grown(_CRF_ROOM if self._crf else 0, answer.shape)
            found = self.probabilities(image, room)
            if self._crf:
                found = refine(found, room.cut(image))
            core.cut(answer)[:] = core.within(room).cut(found).argmax(axis=-1)
            done(1)
        return answer

    def probabilities(self, image: np.ndarray, box: Box | None = None) -> np.ndarray:
        """Return the probabilities of the classes, averaged over networks, scales and flips.

        They are float32 [h, w, C] of the part in the box, by default of the whole image.
        """
        box = box or Box(0, 0, *image.shape[:2])
        total = sum(self._at_scale(image, box, scale) for scale in self._scales)
        return (total / len(self._scales)).numpy()

    def _at_scale(self, image: np.ndarray, box: Box, scale: float) -> tf.Tensor:
        height, width = image.shape[:2]
        size = max(round(scale * height), 1), max(round(scale * width), 1)
        down, across = size[0] / height, size[1] / width
        wanted = box.scaled(down, across).grown(int(scale != 1), size)
        seen = wanted.grown(self._margin, size)
        around = math.ceil(1 / min(down, across)) + 1 if scale != 1 else 0
        source = seen.scaled(1 / down, 1 / across).grown(around, (height, width))
        pixels = preprocess(tf.constant(source.cut(image)))
        pixels = _resample(pixels, source, seen, down, across, antialias=True)
        found = self._run(pixels, tf.constant(wanted.within(seen)))
        return _resample(found, wanted, box, 1 / down, 1 / across)

    def _probabilities(self, pixels: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
        total = 0.0
        for folded in self._networks:
            images = pad_to_grid(pixels[None], folded.network.half_pixel_centers)
            found = _part(folded.network, folded.fused(images), corners)
            if self._flip:
                # The grid's sample points lie as far from its right end as from its left.
                mirrored = folded.fused(images[:, :, ::-1])[:, :, ::-1]
                found = (found + _part(folded.network, mirrored, corners)) / 2
            total += found
        return total / len(self._networks)


def _part(network: FCN, fused: tf.Tensor, corners: tf.Tensor) -> tf.Tensor:
    """Upsample the scores of one part, and turn them into probabilities."""
    (top, left, bottom, right), stride = tf.unstack(corners), network.stride
    if network.half_pixel_centers:
        logits = upsample(fused, stride, half_pixel_centers=True)[0, top:bottom, left:right]
    else:
        rows = slice(top // stride, (bottom - 1) // stride + 2)
        columns = slice(left // stride, (right - 1) // stride + 2)
        logits = upsample(fused[:, rows, columns], stride)[0, : bottom - top, : right - left]
    return tf.nn.softmax(logits[..., : network.num_classes])


def _resample(
    values: tf.Tensor, source: Box, target: Box, down: float, across: float, antialias: bool = False
) -> tf.Tensor:
    """Cut `target` out of a resized image of which `values` are `source`, before the resizing.

    The places count from the whole image's corner, so that every tile is sampled as the whole is.
    """
    if down == across == 1:
        return target.within(source).cut(values)
    return tf.raw_ops.ScaleAndTranslate(
        images=values[None],
        size=(target.bottom - target.top, target.right - target.left),
        scale=(down, across),
        translation=(down * source.top - target.top, across * source.left - target.left),
        kernel_type="triangle",
        antialias=antialias,
    )[0]
