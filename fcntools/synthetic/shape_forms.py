"""Forms of the `shapes` data set: random outlines inside the unit circle, and their placement.

A form is a list of outlines, each filled with 1 (solid) or 0 (hole), drawn one over the other.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

Outline = tuple[np.ndarray, int]

SUPERSAMPLING = 4  # fine pixels a side of a pixel
_ROUND = 56  # corners of a circle: under 0.1 px from round at 90 px


def _polar(radii: np.ndarray, angles: np.ndarray) -> np.ndarray:
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1)


def _circle(radius: float, x: float = 0.0) -> np.ndarray:
    angles = np.arange(_ROUND) * (2 * np.pi / _ROUND)
    return _polar(np.full(_ROUND, radius), angles) + np.array([x, 0.0])


def _disk(rng: np.random.Generator) -> list[Outline]:
    return [(_circle(1.0), 1)]


def _triangle(rng: np.random.Generator) -> list[Outline]:
    angles = np.arange(3) * (2 * np.pi / 3) + rng.uniform(-0.16, 0.16, 3)
    return [(_polar(np.ones(3), angles), 1)]


def _star(rng: np.random.Generator) -> list[Outline]:
    points = int(rng.integers(5, 7))
    radii = np.tile([1.0, rng.uniform(0.38, 0.5)], points)
    return [(_polar(radii, np.arange(2 * points) * (np.pi / points)), 1)]


def _ring(rng: np.random.Generator) -> list[Outline]:
    return [(_circle(1.0), 1), (_circle(rng.uniform(0.52, 0.72)), 0)]


def _cross(rng: np.random.Generator) -> list[Outline]:
    w = rng.uniform(0.17, 0.29)
    r = np.sqrt(1 - w * w)
    arm = np.array([(r, -w), (r, w), (w, w)])
    turns = [arm]
    for _ in range(3):
        turns.append(np.stack([-turns[-1][:, 1], turns[-1][:, 0]], axis=-1))
    return [(np.concatenate(turns), 1)]


def _crescent(rng: np.random.Generator) -> list[Outline]:
    return [(_circle(1.0), 1), (_circle(rng.uniform(0.78, 0.88), rng.uniform(0.42, 0.54)), 0)]


def _gear(rng: np.random.Generator) -> list[Outline]:
    teeth = int(rng.integers(7, 10))
    root = rng.uniform(0.68, 0.76)
    pitch = 2 * np.pi / teeth
    corners = np.array([0.04, 0.16, 0.38, 0.50]) * pitch
    angles = (np.arange(teeth)[:, None] * pitch + corners).ravel()
    radii = np.tile([root, 1.0, 1.0, root], teeth)
    return [(_polar(radii, angles), 1), (_circle(rng.uniform(0.24, 0.36)), 0)]


def _arrow(rng: np.random.Generator) -> list[Outline]:
    shaft, head, neck = rng.uniform(0.10, 0.19), rng.uniform(0.48, 0.62), rng.uniform(0.0, 0.25)
    half = [(1.0, 0.0), (neck, head), (neck, shaft), (-0.98, shaft)]
    return [(np.array(half + [(x, -y) for x, y in half[:0:-1]]), 1)]


# {class: a function that returns its outlines, their proportions at random}
FORMS = {
    form.__name__.removeprefix("_"): form
    for form in (_disk, _triangle, _star, _ring, _cross, _crescent, _gear, _arrow)
}


def place(
    outlines: list[Outline], center: np.ndarray, diameter: float, rng: np.random.Generator
) -> list[Outline]:
    """Turn, squeeze, tilt and scale a form, and put it at a place.

    Args:
        outlines: a form within the unit circle.
        center: x, y of its middle, pixels.
        diameter: of the circle around the placed form, pixels.
        rng: where rotation (any), aspect (0.74..1) and perspective (0..0.18) come from.

    Returns:
        The outlines in pixels; pixel (0, 0) covers 0..1 in x and y.
    """
    turn, tilt_to, squeeze_to = rng.uniform(0, 2 * np.pi, 3)
    tilt = rng.uniform(0, 0.18) * np.array([np.cos(tilt_to), np.sin(tilt_to)])
    along = np.array([[np.cos(squeeze_to), np.sin(squeeze_to)]])
    squeeze = np.eye(2) - (1 - rng.uniform(0.74, 1.0)) * along.T @ along
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    moved = []
    for points, fill in outlines:
        flat = points @ (squeeze @ rotate).T
        moved.append((flat / (1 + flat @ tilt)[:, None], fill))
    solid = np.concatenate([points for points, fill in moved if fill])
    low, high = solid.min(axis=0), solid.max(axis=0)
    middle = (low + high) / 2
    scale = diameter / 2 / np.sqrt(((solid - middle) ** 2).sum(axis=1).max())
    return [((points - middle) * scale + center, fill) for points, fill in moved]


def rasterize(outlines: list[Outline], size: int) -> Image.Image:
    """Draw the outlines of a placed form, in pixels, with supersampling.

    Return PIL mode L [size, size], 0..255 = share of the pixel inside the form.
    """
    fine = Image.new("L", (size * SUPERSAMPLING, size * SUPERSAMPLING))
    draw = ImageDraw.Draw(fine)
    for points, fill in outlines:
        # PIL puts corners on whole fine pixels: true to 1/4 px, and the same for image and mask
        draw.polygon((points * SUPERSAMPLING - 0.5).ravel().tolist(), fill=255 * fill)
    return fine.reduce(SUPERSAMPLING)
