"""Streets and landscapes: what stands where, how often, and what it is made of."""

from __future__ import annotations

import numpy as np

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour
from fcntools.synthetic.scene_things import PAINTS, STANDING

_WALLS: tuple[Colour, ...] = (
    *((176, 120, 96), (196, 176, 148), (150, 148, 150), (206, 196, 180), (140, 96, 84)),
    *((120, 128, 140), (214, 186, 140)),
)


def draw_street(canvas: Canvas) -> None:
    """Draw a street in perspective: houses, road, what moves on it and what stands beside it."""
    rng = canvas.rng
    horizon, vanish = rng.uniform(0.4, 0.52), rng.uniform(0.35, 0.65)
    _sky(canvas, horizon)
    if rng.random() < 0.3:
        _ridge(canvas, "mountain", horizon - 0.02, 0.12, canvas.tint((120, 130, 150)))
    canvas.gradient("sidewalk", horizon, 1, canvas.tint((150, 146, 140)), (178, 172, 164))
    for side in (0.0, 1.0):
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
    for name, chance in (
        *(("streetlight", 0.5), ("bus", 0.1), ("truck", 0.13), ("traffic light", 0.16)),
        *(("signboard", 0.22), ("bicycle", 0.1), ("flag", 0.06), (OTHER, 0.3), ("van", 0.1)),
        *(("ashcan", 0.07), ("fence", 0.15), ("bench", 0.06), ("pole", 0.2)),
    ):
        things += [(rng.uniform(0.2, 0.8), name)] if rng.random() < chance else []
    for depth, name in sorted(things, key=lambda thing: thing[0]):
        ground = horizon + (1 - horizon) * depth
        side = rng.choice((-1, 1))
        if name in ("car", "bus", "truck", "van"):
            _vehicle(canvas, name, vanish + side * depth * reach * 0.5, ground, 0.36 * depth)
        else:
            x = vanish + side * depth * rng.uniform(reach + 0.16, reach + 0.5)
            STANDING[name](canvas, x, ground, depth)


def _houses(canvas: Canvas, side: float, horizon: float, vanish: float) -> None:
    rng, edge = canvas.rng, side
    stop = vanish + (0.06 if side else -0.06)
    tall, base = rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.14)
    while (edge - stop) * (1 if side else -1) > 0.02:
        step = rng.uniform(0.18, 0.4) * abs(edge - stop) + 0.02
        other = edge - step if side else edge + step
        if rng.random() < 0.12:
            edge = other
            continue
        colour = canvas.tint(_WALLS[rng.integers(len(_WALLS))])
        high = tall * rng.uniform(0.7, 1.3)
        far = [abs(x - vanish) / max(vanish, 1 - vanish) for x in (edge, other)]
        tops = [max(horizon - 0.03 - high * f, -0.05) for f in far]
        feet = [horizon + base * f for f in far]
        corners = [(edge, tops[0]), (other, tops[1]), (other, feet[1]), (edge, feet[0])]
        canvas.shape("building", corners, colour)
        _windows(canvas, (edge, other), tops, feet, colour)
        if rng.random() < 0.14:
            low = [f - 0.3 * (f - t) for f, t in zip(feet, tops, strict=True)]
            lower = [f - 0.2 * (f - t) for f, t in zip(feet, tops, strict=True)]
            corners = [(edge, low[0]), (other, low[1]), (other, lower[1]), (edge, lower[0])]
            name = "awning" if rng.random() < 0.4 else "signboard"
            canvas.shape(name, corners, canvas.tint(PAINTS[rng.integers(6)], 20))
        edge = other


def _windows(canvas: Canvas, ends, tops, feet, wall: Colour) -> None:
    glass = canvas.tint((70, 84, 104)) if canvas.rng.random() < 0.8 else (225, 205, 150)
    columns, rows = canvas.rng.integers(2, 5), canvas.rng.integers(2, 6)
    for u in (np.arange(columns) + 0.3) / columns:
        for v in (np.arange(rows) + 0.3) / (rows + 0.6):
            across = [u, u + 0.42 / columns]
            xs = [ends[0] + a * (ends[1] - ends[0]) for a in across]
            top = [tops[0] + a * (tops[1] - tops[0]) for a in across]
            tall = [feet[0] - tops[0] + a * (feet[1] - tops[1] - feet[0] + tops[0]) for a in across]
            down = (v, v + 0.45 / (rows + 0.6))
            corners = [
                (xs[i], top[i] + down[j] * tall[i]) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))
            ]
            canvas.shape(None, corners, glass)


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
    canvas.gradient(ground, horizon, 1, tuple(0.85 * v + 20 for v in base), base)
    if rng.random() < (0.9 if ground == "sand" else 0.28):
        name = "sea" if ground == "sand" or rng.random() < 0.3 else "water"
        end = horizon + rng.uniform(0.08, 0.25)
        canvas.gradient(name, horizon, end, canvas.tint((120, 156, 184)), (64, 104, 140))
        things = [(0.12, "boat")] if rng.random() < 0.35 else []
    else:
        end, things = horizon, []
    if rng.random() < 0.3:
        _path(canvas, end)
    for name, mean in (
        *(("tree", 3.2), ("house", 0.45), ("rock", 0.5), ("animal", 0.3), ("person", 0.25)),
        *(("fence", 0.3), ("flower", 0.15), ("plant", 0.5), (OTHER, 0.2), ("tower", 0.06)),
        *(("tent", 0.05), ("bench", 0.06), ("pole", 0.1)),
    ):
        things += [(rng.uniform(0.1, 0.9), name) for _ in range(rng.poisson(mean))]
    for depth, name in sorted(things, key=lambda thing: thing[0]):
        at = horizon + 0.03 if name == "boat" else end + (1 - end) * depth * 0.9
        STANDING[name](canvas, rng.uniform(0.02, 0.98), at, 0.35 + 0.65 * depth)


def _sky(canvas: Canvas, horizon: float) -> None:
    above, below = (
        ((92, 144, 206), (190, 212, 232))
        if canvas.rng.random() < 0.7
        else ((170, 176, 186), (214, 212, 208))
    )
    canvas.gradient("sky", 0, horizon, canvas.tint(above), canvas.tint(below, 8))


def _ridge(canvas: Canvas, name: str, foot: float, high: float, colour: Colour) -> None:
    xs = np.linspace(0, 1, 14)
    steps = np.cumsum(canvas.rng.normal(0, 1, 14))
    tops = foot - high * (steps - steps.min()) / np.ptp(steps)
    points = list(zip(xs.tolist(), tops.tolist(), strict=True))
    canvas.shape(name, [*points, (1, foot + 0.05), (0, foot + 0.05)], colour)


def _path(canvas: Canvas, end: float) -> None:
    start, finish = canvas.rng.uniform(0.2, 0.8, 2)
    left, right = [], []
    for t in np.linspace(0, 1, 8):
        x = finish + (start - finish) * t**1.5 + 0.05 * np.sin(5 * t)
        y, half = end + (1 - end) * t, 0.012 + 0.1 * t
        left.append((x - half, y))
        right.append((x + half, y))
    canvas.shape("path", left + right[::-1], canvas.tint((190, 170, 136)))


def _vehicle(canvas: Canvas, name: str, x: float, y: float, wide: float) -> None:
    rng = canvas.rng
    high = wide * {"car": 0.42, "van": 0.62, "bus": 0.85, "truck": 0.75}[name]
    wide *= {"car": 1.0, "van": 1.0, "bus": 1.5, "truck": 1.35}[name] * rng.uniform(0.8, 1.1)
    paint = canvas.tint(PAINTS[rng.integers(len(PAINTS))])
    left, right, top = x - wide / 2, x + wide / 2, y - high
    canvas.shadow(x, y, 0.55 * wide, 0.12 * high)
    if name == "car":
        roof = [(left + 0.2 * wide, top), (right - 0.22 * wide, top)]
        body = [(right, y - 0.5 * high), (right, y), (left, y), (left, y - 0.5 * high)]
        canvas.shape(name, roof + body, paint)
    else:
        canvas.box(name, (left, top, right, y), paint)
        if name == "truck":
            canvas.box(None, (left, top, left + 0.28 * wide, y), canvas.tint((200, 60, 50)))
    glass = (52, 62, 76)
    low = y - (0.55 if name != "truck" else 0.6) * high
    canvas.box(None, (left + 0.24 * wide, top + 0.1 * high, right - 0.28 * wide, low), glass)
    for at in (left + 0.2 * wide, right - 0.2 * wide):
        canvas.oval(name, at, y, 0.16 * high + 0.004, colour=(28, 28, 30))
