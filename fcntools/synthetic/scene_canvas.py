"""The canvas of `scenes`: forms go to picture and mask alike; then texture, shade and light."""

from __future__ import annotations

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
    "sky": (22, 0, 0),
    "tree": (8, 26, 30),
    "plant": (0, 24, 30),
    "grass": (10, 12, 26),
    "field": (8, 20, 12),
    "earth": (10, 14, 18),
    "sand": (8, 6, 10),
    "road": (6, 3, 9),
    "sidewalk": (4, 6, 6),
    "path": (6, 10, 14),
    "mountain": (24, 26, 8),
    "hill": (18, 18, 10),
    "rock": (10, 24, 16),
    "water": (10, 12, 6),
    "sea": (10, 14, 8),
    "wall": (8, 2, 2),
    "floor": (6, 8, 3),
    "rug": (4, 10, 18),
    "curtain": (4, 8, 2),
    "building": (8, 6, 4),
    "house": (6, 5, 4),
    "painting": (10, 30, 16),
}
_PLAIN = (5, 5, 4)

Colour = tuple[float, float, float]
Point = tuple[float, float]


class Canvas:
    """A square picture and its mask, drawn together; places are shares of the side, y downwards.

    Attributes:
        rng: the picture's own generator.
    """

    def __init__(self, rng: np.random.Generator, size: int):
        """Start a square picture of `size` pixels: black, and "other" everywhere."""
        self.rng, self._side = rng, size * _FINE
        self._picture = Image.new("RGB", (self._side, self._side))
        self._owner = Image.new("L", (self._side, self._side))
        self._shade = Image.new("L", (size, size))
        self._drawers = [ImageDraw.Draw(layer) for layer in (self._picture, self._owner)]

    def _paint(self, form: str, name: str | None, colour: Colour, at: list, **style) -> None:
        fills = (tuple(int(np.clip(v, 0, 255)) for v in colour), NUMBERS.get(name, 0))
        for drawer, fill in zip(self._drawers[: 1 if name is None else 2], fills, strict=False):
            getattr(drawer, form)(at, fill=fill, **style)

    def shape(self, name: str | None, points: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon.

        Args:
            name: the class that it belongs to; None for decoration of what is there.
            points: its corners.
            colour: RGB, 0..255, clipped.
        """
        self._paint("polygon", name, colour, [(x * self._side, y * self._side) for x, y in points])

    def box(self, name: str | None, box: Sequence[float], colour: Colour) -> None:
        """Fill an upright rectangle.

        Args:
            name: as for `shape`.
            box: left, top, right, bottom.
            colour: as for `shape`.
        """
        left, top, right, bottom = box
        self.shape(name, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def oval(self, name: str | None, x: float, y: float, *radii: float, colour: Colour) -> None:
        """Fill an ellipse.

        Args:
            name: as for `shape`.
            x: of its middle.
            y: of its middle.
            *radii: across and down, or one for a circle.
            colour: as for `shape`.
        """
        wide, high = radii[0], radii[-1]
        box = [v * self._side for v in (x - wide, y - high, x + wide, y + high)]
        self._paint("ellipse", name, colour, box)

    def line(self, name: str | None, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draw a line.

        Args:
            name: as for `shape`.
            points: its corners.
            width: as a share of the side; at least a pixel is drawn.
            colour: as for `shape`.
        """
        at = [(x * self._side, y * self._side) for x, y in points]
        wide = max(_FINE, round(width * self._side))
        self._paint("line", name, colour, at, width=wide, joint="curve")

    def gradient(self, name: str, top: float, bottom: float, one: Colour, other: Colour) -> None:
        """Fill a band from edge to edge, its colour going from one above to another below.

        Args:
            name: as for `shape`.
            top: of the band.
            bottom: of the band.
            one: the colour above.
            other: the colour below.
        """
        steps = 16
        for i in range(steps):
            share, tall = i / (steps - 1), (bottom - top) / steps
            mixed = tuple(np.array(one) + share * (np.array(other) - one))
            self.box(name, (0, top + i * tall, 1, top + (i + 1) * tall + 0.01), mixed)

    def shadow(self, x: float, y: float, wide: float, high: float) -> None:
        """Darken the ground under what stands on it.

        Args:
            x: of the shadow's middle.
            y: of its middle.
            wide: its radius across.
            high: its radius down.
        """
        side = self._shade.width
        box = [v * side for v in (x - wide, y - high, x + wide, y + high)]
        ImageDraw.Draw(self._shade).ellipse(box, fill=110)

    def tint(self, base: Colour, spread: float = 14) -> Colour:
        """Return a colour near another: brighter or darker, and a little off in each channel."""
        shift = self.rng.normal(0, spread) + self.rng.normal(0, spread / 3, 3)
        return tuple(np.clip(np.array(base) + shift, 0, 255))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """Add texture, shadows, light and noise.

        Returns:
            (RGB uint8 [size, size, 3], mask uint8 [size, size]: 0 other, 1..150 classes).
        """
        rng, size = self.rng, self._side // _FINE
        middle = _FINE // 2
        mask = np.asarray(self._owner)[middle::_FINE, middle::_FINE]
        picture = np.asarray(self._picture.reduce(_FINE), np.float32)
        clouds = np.stack([cloud(rng, size, cells) for cells in (6, 24, 64)], axis=-1)
        picture = picture + (_STRENGTH[mask] * clouds).sum(axis=-1)[..., None]
        shade = self._shade.filter(ImageFilter.GaussianBlur(0.008 * size))
        angle, ramp = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size, dtype=np.float32)
        light = 1 + 0.1 * (np.cos(angle) * ramp[None, :] + np.sin(angle) * ramp[:, None])
        picture *= (light * (1 - np.asarray(shade, np.float32) / 255))[..., None]
        picture *= rng.uniform(0.85, 1.12) * rng.uniform(0.96, 1.04, 3).astype(np.float32)
        picture += rng.standard_normal(picture.shape, np.float32) * np.float32(
            rng.uniform(0.4, 1.2) * _NOISE
        )
        return np.clip(picture, 0, 255).astype(np.uint8), mask.copy()


def _strength() -> np.ndarray:
    table = np.full((256, 3), _PLAIN, np.float32)
    for name, values in _TEXTURE.items():
        table[NUMBERS[name]] = values
    return table


_STRENGTH = _strength()


def cloud(rng: np.random.Generator, size: int, cells: int, low: float = -1.0) -> np.ndarray:
    """Return smooth noise.

    Args:
        rng: of the picture.
        size: side of the picture, pixels.
        cells: a side; the fewer, the smoother.
        low: the noise is about low..1.

    Returns:
        float32 [size, size].
    """
    grid = Image.fromarray(rng.uniform(low, 1, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC))
