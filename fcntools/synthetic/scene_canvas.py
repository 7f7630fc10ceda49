"""The canvas of `scenes`: forms go to picture and mask alike; then texture, shade and light."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fcnlib.datasets.scene_parsing import SCENE_PARSING

OTHER = "other"  # 0 in the file: nobody is asked what it is
NUMBERS = {OTHER: 0} | {name: i for i, name in enumerate(SCENE_PARSING.classes, start=1)}
_FINE = 3  # samples a pixel and side
_NOISE = 4.0  # standard deviation of the sensor, grey levels
# How much of clouds of three finenesses (cells a side: 6, 24, 64) shows on a class, grey levels.
_TEXTURE = {
    name: strength
    for name, *strength in (
        *(("sky", 22, 0, 0), ("tree", 8, 26, 30), ("plant", 0, 24, 30), ("grass", 10, 12, 26)),
        *(("field", 8, 20, 12), ("earth", 10, 14, 18), ("sand", 8, 6, 10), ("path", 6, 10, 14)),
        *(("road", 6, 3, 9), ("sidewalk", 4, 6, 6), ("mountain", 24, 26, 8), ("hill", 18, 18, 10)),
        *(("rock", 10, 24, 16), ("water", 10, 12, 6), ("sea", 10, 14, 8), ("wall", 8, 2, 2)),
        *(("floor", 6, 8, 3), ("rug", 4, 10, 18), ("curtain", 4, 8, 2), ("painting", 10, 30, 16)),
        *(("building", 8, 6, 4), ("house", 6, 5, 4)),
    )
}

Colour = tuple[float, float, float]
Point = tuple[float, float]


class Canvas:
    """A square picture and its mask, drawn together.

    Places are x and y, y downwards, in shares of the side unless `at` says otherwise. What is
    drawn belongs to the class `name`, or, where that is None, decorates what is there. Colours are
    RGB, 0..255, clipped. `rng` is the picture's own generator.
    """

    def __init__(self, rng: np.random.Generator, size: int):
        """Start a square picture of `size` pixels: black, and "other" everywhere."""
        self.rng, self.unit, self._corner = rng, 1.0, (0.0, 0.0)
        self._side = size * _FINE
        self._picture = Image.new("RGB", (self._side, self._side))
        self._owner = Image.new("L", (self._side, self._side))
        self._shade = Image.new("L", (size, size))

    def at(self, corner: Point, unit: float = 1.0) -> Canvas:
        """Return the same canvas with places that count from a corner, in shares of the side."""
        moved = copy.copy(self)
        moved._corner, moved.unit = corner, unit
        return moved

    def _on(self, side: int, points: Sequence[Point]) -> list[Point]:
        left, top = self._corner
        return [((left + x * self.unit) * side, (top + y * self.unit) * side) for x, y in points]

    def _paint(self, form: str, name: str | None, points: Sequence[Point], colour: Colour, **style):
        places = self._on(self._side, points)
        fill = tuple(int(np.clip(v, 0, 255)) for v in colour)
        getattr(ImageDraw.Draw(self._picture), form)(places, fill=fill, **style)
        if name is not None:
            getattr(ImageDraw.Draw(self._owner), form)(places, fill=NUMBERS[name], **style)

    def shape(self, name: str | None, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon.

        Args:
            name: its class.
            points: its corners.
            colour: its colour.
        """
        self._paint("polygon", name, points, colour)

    def box(self, name: str | None, box: Sequence[float], colour: Colour) -> None:
        """Fill an upright rectangle.

        Args:
            name: its class.
            box: left, top, right, bottom.
            colour: its colour.
        """
        left, top, right, bottom = box
        self.shape(name, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(self, name: str | None, place: Sequence[float], colour: Colour) -> None:
        """Fill an ellipse.

        Args:
            name: its class.
            place: x and y of its middle, its radius across and that down; a circle has one radius.
            colour: its colour.
        """
        self._paint("ellipse", name, _around(*place), colour)

    def line(self, name: str | None, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line.

        Args:
            name: its class.
            points: its corners.
            width: as a share of the side, whatever the unit; at least a pixel is drawn.
            colour: its colour.
        """
        wide = max(_FINE, round(width * self._side))
        self._paint("line", name, points, colour, width=wide, joint="curve")

    def shadow(self, *place: float) -> None:
        """Darken the ground under what stands on it, in an ellipse as of `oval`."""
        box = self._on(self._shade.width, _around(*place))
        ImageDraw.Draw(self._shade).ellipse(box, fill=110)

    def pick(self, colours: Sequence[Colour], spread: float = 14) -> Colour:
        """Return a colour near one of several, by `tint`."""
        return self.tint(colours[self.rng.integers(len(colours))], spread)

    def tint(self, base: Colour, spread: float = 14) -> Colour:
        """Return a colour near another: brighter or darker, and a little off in each channel."""
        shift = self.rng.normal(0, spread) + self.rng.normal(0, spread / 3, 3)
        return tuple(np.clip(np.array(base) + shift, 0, 255))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the picture with texture, light and noise, uint8 [size, size, 3], and the mask.

        The mask is uint8 [size, size]: 0 other, 1..150 classes.
        """
        rng, size = self.rng, self._side // _FINE
        middle = _FINE // 2
        mask = np.asarray(self._owner)[middle::_FINE, middle::_FINE]
        picture = np.asarray(self._picture.reduce(_FINE), np.float32)
        grids = (rng.uniform(-1, 1, (cells, cells)) for cells in (6, 24, 64))
        clouds = np.stack([cloud(grid, size) for grid in grids], axis=-1)
        picture = picture + (_STRENGTH[mask] * clouds).sum(axis=-1)[..., None]
        shade = self._shade.filter(ImageFilter.GaussianBlur(0.008 * size))
        angle, ramp = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size, dtype=np.float32)
        light = 1 + 0.1 * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
        picture *= (light * (1 - np.asarray(shade, np.float32) / 255))[..., None]
        picture *= rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
        noise = rng.standard_normal(picture.shape, np.float32)
        picture += noise * np.float32(rng.uniform(0.4, 1.2) * _NOISE)
        return np.clip(picture, 0, 255).astype(np.uint8), mask.copy()


_STRENGTH = np.array([_TEXTURE.get(name, (5, 5, 4)) for name in NUMBERS], np.float32)


def _around(x: float, y: float, wide: float, high: float = 0.0) -> list[Point]:
    high = high or wide
    return [(x - wide, y - high), (x + wide, y + high)]


def lit(colour: Colour, light: float) -> Colour:
    """Return a colour in so many times the light."""
    return tuple(light * v for v in colour)


def cloud(grid: np.ndarray, size: int) -> np.ndarray:
    """Return smooth noise, float32 [size, size], through random numbers [cells, cells]."""
    coarse = Image.fromarray(grid.astype(np.float32))
    return np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
