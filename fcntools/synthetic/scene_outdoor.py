"""Streets and landscapes: what stands where, how often, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour, Point
from fcntools.synthetic.scene_things import PAINTS, STANDING

_WALLS: tuple[Colour, ...] = (
    *((176, 120, 96), (196, 176, 148), (150, 148, 150), (206, 196, 180), (140, 96, 84)),
    *((120, 128, 140), (214, 186, 140)),
)
# How often each is in a street besides trees, cars and people.
_IN_STREETS = (
    *(("streetlight", 0.5), ("bus", 0.1), ("truck", 0.13), ("traffic light", 0.16)),
    *(("signboard", 0.22), ("bicycle", 0.1), ("flag", 0.06), (OTHER, 0.3), ("van", 0.1)),
    *(("ashcan", 0.07), ("fence", 0.15), ("bench", 0.06), ("pole", 0.2)),
)
# How many of each are in a landscape, on average.
_ON_LAND = (
    *(("tree", 3.2), ("house", 0.45), ("rock", 0.5), ("animal", 0.3), ("person", 0.25)),
    *(("fence", 0.3), ("flower", 0.15), ("plant", 0.5), (OTHER, 0.2), ("tower", 0.06)),
    *(("tent", 0.05), ("bench", 0.06), ("pole", 0.1)),
)
# Height and length of each, in widths of its lane.
_VEHICLES = {"car": (0.42, 1.0), "van": (0.62, 1.0), "bus": (0.85, 1.5), "truck": (0.75, 1.35)}


def draw_street(canvas: Canvas) -> None:
    """Draw a street in perspective: houses, road, what moves on it and what stands beside it."""
    rng = canvas.rng
    horizon, vanish = rng.uniform(0.4, 0.52), rng.uniform(0.35, 0.65)
    _sky(canvas, horizon)
    if rng.random() < 0.3:
        _ridge(canvas, "mountain", horizon - 0.02, 0.12, canvas.tint((120, 130, 150)))
    _gradient(canvas, "sidewalk", horizon, 1, canvas.tint((150, 146, 140)), (178, 172, 164))
    for side in (-1, 1):
        _houses(canvas, side, horizon, vanish)
    reach = rng.uniform(0.3, 0.48)
    near = [(vanish - reach - 0.15, 1), (vanish + reach + 0.15, 1)]
    far = [(vanish + 0.012, horizon), (vanish - 0.012, horizon)]
    canvas.shape("road", near + far, canvas.tint((92, 92, 96), 8))
    for start in np.arange(0.06, 1, 0.22) + rng.uniform(0, 0.1):
        one, other = start**2, (start + 0.09) ** 2
        corners = [
            (vanish + d * t * 0.02, horizon + (1 - horizon) * t)
            for d, t in ((-1, one), (1, one), (1, other), (-1, other))
        ]
        canvas.shape(None, corners, (215, 210, 190))
    _traffic(canvas, horizon, vanish, reach)


def _traffic(canvas: Canvas, horizon: float, vanish: float, reach: float) -> None:
    rng = canvas.rng
    things = [(rng.uniform(0.08, 0.75), "tree") for _ in range(rng.poisson(2.2))]
    things += [(rng.uniform(0.15, 0.85), "car") for _ in range(rng.poisson(1.9))]
    things += [(rng.uniform(0.2, 0.95), "person") for _ in range(rng.poisson(1.5))]
    for name, chance in _IN_STREETS:
        things += [(rng.uniform(0.2, 0.8), name)] if rng.random() < chance else []
    for depth, name in sorted(things, key=lambda thing: thing[0]):
        ground, side = horizon + (1 - horizon) * depth, rng.choice((-1, 1))
        if name in _VEHICLES:
            place = canvas.at((vanish + side * depth * reach * 0.5, ground), 0.36 * depth)
            _vehicle(place, name)
        else:
            x = vanish + side * depth * rng.uniform(reach + 0.16, reach + 0.5)
            STANDING[name](canvas.at((x, ground), depth))


def _houses(canvas: Canvas, side: int, horizon: float, vanish: float) -> None:
    rng, edge, stop = canvas.rng, max(side, 0.0), vanish + 0.06 * side
    tall, base = rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.14)
    while (edge - stop) * side > 0.02:
        other = edge - side * (rng.uniform(0.18, 0.4) * abs(edge - stop) + 0.02)
        if rng.random() >= 0.12:  # else a gap between two houses
            colour = canvas.pick(_WALLS)
            high = tall * rng.uniform(0.7, 1.3)
            far = [abs(x - vanish) / max(vanish, 1 - vanish) for x in (edge, other)]
            tops = [max(horizon - 0.03 - high * f, -0.05) for f in far]
            front = (edge, other), tops, [horizon + base * f for f in far]
            canvas.shape("building", _on_front(front, (0, 1), (0, 1)), colour)
            glass = canvas.tint((70, 84, 104)) if rng.random() < 0.8 else (225, 205, 150)
            columns, rows = rng.integers(2, 5), rng.integers(2, 6)
            for u in (np.arange(columns) + 0.3) / columns:
                for v in (np.arange(rows) + 0.3) / (rows + 0.6):
                    window = (u, u + 0.42 / columns), (v, v + 0.45 / (rows + 0.6))
                    canvas.shape(None, _on_front(front, *window), glass)
            if rng.random() < 0.14:
                name = "awning" if rng.random() < 0.4 else "signboard"
                corners = _on_front(front, (0, 1), (0.7, 0.8))
                canvas.shape(name, corners, canvas.pick(PAINTS[:6], 20))
        edge = other


def _on_front(front, across: Sequence[float], down: Sequence[float]) -> list[Point]:
    """Return the corners of a part of a front (ends, tops, feet) in perspective."""
    left, top, foot = ([at[0] + share * (at[1] - at[0]) for share in across] for at in front)
    corners = ((0, 0), (1, 0), (1, 1), (0, 1))
    return [(left[i], top[i] + down[j] * (foot[i] - top[i])) for i, j in corners]


def draw_landscape(canvas: Canvas) -> None:
    """Draw land under a sky: mountains, hills, water, trees, and sometimes somebody in it."""
    rng = canvas.rng
    horizon = rng.uniform(0.35, 0.58)
    _sky(canvas, horizon + 0.03)
    for far in range(rng.integers(0, 3)):
        _ridge(canvas, "mountain", horizon - 0.01, 0.24 - 0.08 * far, canvas.tint((118, 126, 140)))
    if rng.random() < 0.35:
        _ridge(canvas, "hill", horizon, 0.09, canvas.tint((96, 124, 78)))
    ground = str(rng.choice(["grass", "field", "earth", "sand"], p=(0.62, 0.18, 0.12, 0.08)))
    near = {"grass": (86, 132, 52), "field": (176, 158, 78), "earth": (130, 100, 74)}
    base = canvas.tint(near.get(ground, (212, 194, 150)))
    _gradient(canvas, ground, horizon, 1, tuple(0.85 * v + 20 for v in base), base)
    end, things = horizon, []
    if rng.random() < (0.9 if ground == "sand" else 0.28):
        name = "sea" if ground == "sand" or rng.random() < 0.3 else "water"
        end = horizon + rng.uniform(0.08, 0.25)
        _gradient(canvas, name, horizon, end, canvas.tint((120, 156, 184)), (64, 104, 140))
        things = [(0.12, "boat")] if rng.random() < 0.35 else []
    if rng.random() < 0.3:
        _path(canvas, end)
    for name, mean in _ON_LAND:
        things += [(rng.uniform(0.1, 0.9), name) for _ in range(rng.poisson(mean))]
    for depth, name in sorted(things, key=lambda thing: thing[0]):
        y = horizon + 0.03 if name == "boat" else end + (1 - end) * depth * 0.9
        STANDING[name](canvas.at((rng.uniform(0.02, 0.98), y), 0.35 + 0.65 * depth))


def _sky(canvas: Canvas, horizon: float) -> None:
    clear, grey = ((92, 144, 206), (190, 212, 232)), ((170, 176, 186), (214, 212, 208))
    above, below = clear if canvas.rng.random() < 0.7 else grey
    _gradient(canvas, "sky", 0, horizon, canvas.tint(above), canvas.tint(below, 8))


def _gradient(
    canvas: Canvas, name: str, top: float, low: float, one: Colour, other: Colour
) -> None:
    """Fill a band from edge to edge, its colour going from one above to another below."""
    tall = (low - top) / 16
    for i, share in enumerate(np.arange(16) / 15):
        mixed = np.array(one) + share * (np.array(other) - one)
        canvas.box(name, (0, top + i * tall, 1, top + (i + 1) * tall + 0.01), mixed)


def _ridge(canvas: Canvas, name: str, foot: float, high: float, colour: Colour) -> None:
    steps = np.cumsum(canvas.rng.normal(0, 1, 14))
    tops = foot - high * (steps - steps.min()) / np.ptp(steps)
    points = zip(np.linspace(0, 1, 14), tops, strict=True)
    canvas.shape(name, [*points, (1, foot + 0.05), (0, foot + 0.05)], colour)


def _path(canvas: Canvas, end: float) -> None:
    start, finish = canvas.rng.uniform(0.2, 0.8, 2)
    t = np.linspace(0, 1, 8)
    x = finish + (start - finish) * t**1.5 + 0.05 * np.sin(5 * t)
    y, half = end + (1 - end) * t, 0.012 + 0.1 * t
    edges = [*zip(x - half, y, strict=True), *zip((x + half)[::-1], y[::-1], strict=True)]
    canvas.shape("path", edges, canvas.tint((190, 170, 136)))


def _vehicle(canvas: Canvas, name: str) -> None:
    high, half = _VEHICLES[name]
    half *= canvas.rng.uniform(0.8, 1.1) / 2
    wide, paint = 2 * half, canvas.pick(PAINTS)
    canvas.shadow(0, 0, 0.55 * wide, 0.12 * high)
    if name == "car":
        roof = [(-0.3 * wide, -high), (0.28 * wide, -high)]
        body = [(half, -0.5 * high), (half, 0), (-half, 0), (-half, -0.5 * high)]
        canvas.shape(name, roof + body, paint)
    else:
        canvas.box(name, (-half, -high, half, 0), paint)
        if name == "truck":
            canvas.box(None, (-half, -high, -0.22 * wide, 0), canvas.tint((200, 60, 50)))
    low = -(0.6 if name == "truck" else 0.55) * high
    canvas.box(None, (-0.26 * wide, -0.9 * high, 0.22 * wide, low), (52, 62, 76))
    for x in (-0.3 * wide, 0.3 * wide):
        canvas.oval(name, (x, 0, 0.16 * high + 0.004 / canvas.unit), (28, 28, 30))
