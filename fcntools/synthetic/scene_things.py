"""What stands in the open: people, animals, trees, houses, lamps, signs."""

from __future__ import annotations

import numpy as np

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour

PAINTS: tuple[Colour, ...] = (
    *((190, 40, 40), (40, 70, 150), (225, 225, 225), (50, 52, 58), (60, 120, 80), (214, 170, 50)),
    *((120, 126, 134),),
)
_SKIN: Colour = (205, 160, 130)
_METAL: Colour = (70, 74, 78)


def _tree(canvas: Canvas, x: float, y: float, near: float) -> None:
    rng, tall = canvas.rng, near * canvas.rng.uniform(0.28, 0.5)
    canvas.shadow(x, y, 0.3 * tall, 0.05 * tall)
    canvas.line("tree", [(x, y), (x, y - 0.6 * tall)], 0.06 * tall, canvas.tint((92, 70, 52)))
    leaves = canvas.tint((62, 106, 48), 18)
    if rng.random() < 0.3:  # a conifer
        for i in range(3):
            top, half = y - tall * (1.05 - 0.25 * i), tall * (0.16 + 0.07 * i)
            low = top + 0.45 * tall
            canvas.shape("tree", [(x, top), (x + half, low), (x - half, low)], leaves)
        return
    for _ in range(7):
        dx, dy = rng.normal(0, 0.13, 2) * tall
        radius = tall * rng.uniform(0.14, 0.24)
        colour = canvas.tint(leaves, 9)
        canvas.oval("tree", x + dx, y - 0.78 * tall + dy, radius, 0.85 * radius, colour=colour)


def _person(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, paint = 0.3 * near, PAINTS
    canvas.shadow(x, y, 0.12 * tall, 0.03 * tall)
    legs, coat = (canvas.tint(paint[canvas.rng.integers(len(paint))]) for _ in range(2))
    for step in (-1, 1):
        foot = x + step * 0.07 * tall
        canvas.line("person", [(x, y - 0.5 * tall), (foot, y)], 0.09 * tall, legs)
    canvas.oval("person", x, y - 0.63 * tall, 0.12 * tall, 0.22 * tall, colour=coat)
    canvas.oval("person", x, y - 0.91 * tall, 0.075 * tall, 0.09 * tall, colour=canvas.tint(_SKIN))


def _lamp(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, metal = 0.75 * near, canvas.tint(_METAL)
    canvas.line("streetlight", [(x, y), (x, y - tall), (x + 0.1 * tall, y - tall)], 0.012, metal)
    canvas.oval(
        "streetlight", x + 0.1 * tall, y - tall, 0.05 * tall, 0.022 * tall, colour=(240, 230, 190)
    )


def _signals(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, half = 0.5 * near, 0.035 * near
    canvas.line("pole", [(x, y), (x, y - tall)], 0.012, canvas.tint(_METAL))
    box = (x - half, y - tall - 0.17 * near, x + half, y - tall)
    canvas.box("traffic light", box, (34, 36, 34))
    lit = canvas.rng.integers(3)
    for i, colour in enumerate(((230, 50, 40), (240, 190, 50), (60, 210, 90))):
        shown = colour if i == lit else tuple(v / 4 for v in colour)
        canvas.oval(None, x, y - tall - near * (0.14 - 0.055 * i), 0.022 * near, colour=shown)


def _sign(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, half = 0.42 * near, 0.08 * near
    canvas.line("pole", [(x, y), (x, y - tall)], 0.012, canvas.tint(_METAL))
    top = y - tall - 0.11 * near
    paint = canvas.tint(PAINTS[canvas.rng.integers(len(PAINTS))])
    canvas.box("signboard", (x - half, top, x + half, y - tall), paint)
    canvas.box(
        None,
        (x - 0.6 * half, top + 0.04 * near, x + 0.6 * half, top + 0.06 * near),
        (245, 245, 240),
    )


def _bicycle(canvas: Canvas, x: float, y: float, near: float) -> None:
    radius, paint = 0.055 * near, canvas.tint((170, 50, 60), 30)
    for at in (x - 1.3 * radius, x + 1.3 * radius):
        canvas.oval("bicycle", at, y - radius, radius, colour=(36, 36, 38))
        canvas.oval(None, at, y - radius, 0.6 * radius, colour=(140, 138, 134))
    frame = [
        (x - 1.3 * radius, y - radius),
        (x - 0.4 * radius, y - 2.4 * radius),
        (x + 0.9 * radius, y - 2.3 * radius),
        (x + 1.3 * radius, y - radius),
    ]
    canvas.line("bicycle", frame, 0.014, paint)


def _flag(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, long = 0.8 * near, 0.28 * near
    canvas.line("pole", [(x, y), (x, y - tall)], 0.012, (210, 210, 212))
    for i in range(3):
        top = y - tall + 0.055 * near * i
        colour = canvas.tint(PAINTS[canvas.rng.integers(len(PAINTS))], 6)
        canvas.box("flag", (x, top, x + long, top + 0.06 * near), colour)


def _block(name: str, base: Colour, wide: float, high: float):
    def draw(canvas: Canvas, x: float, y: float, near: float) -> None:
        half, tall = 0.5 * wide * near, high * near
        canvas.shadow(x, y, 1.1 * half, 0.15 * tall)
        canvas.box(name, (x - half, y - tall, x + half, y), canvas.tint(base, 24))
        canvas.box(None, (x - half, y - tall, x + half, y - 0.85 * tall), canvas.tint(base, 30))

    return draw


def _fence(canvas: Canvas, x: float, y: float, near: float) -> None:
    wood, tall = canvas.tint((150, 120, 86)), 0.14 * near
    for at in np.arange(x - 0.5 * near, x + 0.5 * near, 0.075 * near):
        canvas.box("fence", (at, y - tall, at + 0.045 * near, y), wood)
    for high in (0.35, 0.8):
        ends = [(x - 0.5 * near, y - high * tall), (x + 0.5 * near, y - high * tall)]
        canvas.line("fence", ends, 0.02, wood)


def _house(canvas: Canvas, x: float, y: float, near: float) -> None:
    rng, half = canvas.rng, near * canvas.rng.uniform(0.14, 0.26)
    tall, wall = 0.9 * half, canvas.tint((214, 196, 170), 18)
    canvas.shadow(x, y, 1.15 * half, 0.12 * tall)
    canvas.box("house", (x - half, y - tall, x + half, y), wall)
    roof = [(x - 1.15 * half, y - tall), (x, y - tall - 0.7 * half), (x + 1.15 * half, y - tall)]
    canvas.shape("house", roof, canvas.tint((150, 70, 56)))
    canvas.box(None, (x - 0.14 * half, y - 0.55 * tall, x + 0.14 * half, y), (96, 66, 48))
    for at in (-0.6, 0.6):
        if rng.random() < 0.8:
            left = x + (at - 0.16) * half
            canvas.box(
                None, (left, y - 0.7 * tall, left + 0.32 * half, y - 0.35 * tall), (70, 90, 110)
            )


def _rock(canvas: Canvas, x: float, y: float, near: float) -> None:
    radius, grey = near * canvas.rng.uniform(0.05, 0.12), canvas.tint((130, 126, 120))
    turns = np.sort(canvas.rng.uniform(np.pi, 2 * np.pi, 6))
    points = [(x + 1.3 * radius * np.cos(a), y + radius * np.sin(a)) for a in turns]
    canvas.shadow(x, y, 1.2 * radius, 0.2 * radius)
    canvas.shape("rock", [(x - 1.3 * radius, y), *points, (x + 1.3 * radius, y)], grey)


def _animal(canvas: Canvas, x: float, y: float, near: float) -> None:
    tall, side = 0.13 * near, canvas.rng.choice((-1, 1))
    fur = canvas.tint((150, 110, 76) if canvas.rng.random() < 0.6 else (220, 214, 204), 20)
    canvas.shadow(x, y, tall, 0.12 * tall)
    for step in (-0.5, -0.3, 0.3, 0.5):
        canvas.line("animal", [(x + step * tall, y), (x + step * tall, y - 0.5 * tall)], 0.012, fur)
    canvas.oval("animal", x, y - 0.62 * tall, 0.72 * tall, 0.3 * tall, colour=fur)
    canvas.oval("animal", x + side * 0.75 * tall, y - 0.9 * tall, 0.24 * tall, colour=fur)


def _flowers(canvas: Canvas, x: float, y: float, near: float) -> None:
    colour = canvas.tint((220, 70, 110) if canvas.rng.random() < 0.5 else (240, 200, 70), 20)
    for _ in range(9):
        dx, dy = canvas.rng.normal(0, 0.05, 2) * near
        canvas.oval("flower", x + dx, y + 0.5 * dy, 0.022 * near, colour=canvas.tint(colour))


def _bush(canvas: Canvas, x: float, y: float, near: float) -> None:
    green = canvas.tint((70, 120, 60), 18)
    for _ in range(5):
        dx = canvas.rng.normal(0, 0.05) * near
        canvas.oval("plant", x + dx, y - 0.05 * near, 0.055 * near, colour=canvas.tint(green, 10))


def _boat(canvas: Canvas, x: float, y: float, near: float) -> None:
    half = 0.16 * near + 0.04
    hull = [
        (x - half, y),
        (x + half, y),
        (x + 0.7 * half, y + 0.3 * half),
        (x - 0.7 * half, y + 0.3 * half),
    ]
    canvas.shape("boat", hull, canvas.tint((150, 60, 50), 30))
    canvas.shape(
        "boat", [(x, y), (x, y - 1.3 * half), (x + 0.8 * half, y - 0.1 * half)], (240, 238, 230)
    )


def _tent(canvas: Canvas, x: float, y: float, near: float) -> None:
    half, paint = 0.14 * near, canvas.tint(PAINTS[canvas.rng.integers(6)])
    canvas.shape("tent", [(x - half, y), (x, y - 1.2 * half), (x + half, y)], paint)
    canvas.shape(
        None, [(x - 0.2 * half, y), (x, y - 0.9 * half), (x + 0.2 * half, y)], (60, 50, 44)
    )


def _tower(canvas: Canvas, x: float, y: float, near: float) -> None:
    half, stone = 0.07 * near, canvas.tint((170, 160, 146))
    canvas.box("tower", (x - half, y - 0.6 * near, x + half, y), stone)
    canvas.box("tower", (x - 1.3 * half, y - 0.66 * near, x + 1.3 * half, y - 0.58 * near), stone)


def _pole(canvas: Canvas, x: float, y: float, near: float) -> None:
    canvas.line("pole", [(x, y), (x, y - 0.7 * near)], 0.018, canvas.tint((120, 104, 86)))


# Each draws at (x, y on the ground, nearness 0..1).
STANDING = {
    "tree": _tree,
    "person": _person,
    "streetlight": _lamp,
    "traffic light": _signals,
    "signboard": _sign,
    "bicycle": _bicycle,
    "flag": _flag,
    "fence": _fence,
    "house": _house,
    "rock": _rock,
    "animal": _animal,
    "flower": _flowers,
    "plant": _bush,
    "boat": _boat,
    "tent": _tent,
    "tower": _tower,
    "pole": _pole,
    "ashcan": _block("ashcan", (70, 90, 76), 0.09, 0.13),
    "bench": _block("bench", (126, 92, 62), 0.3, 0.09),
    OTHER: _block(OTHER, (128, 110, 130), 0.16, 0.12),
}
