"""What stands in the open, drawn from where it is on the ground in units of its nearness."""

from __future__ import annotations

import numpy as np

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour, lit

PAINTS: tuple[Colour, ...] = (
    *((190, 40, 40), (40, 70, 150), (225, 225, 225), (50, 52, 58), (60, 120, 80), (214, 170, 50)),
    *((120, 126, 134),),
)
SKIN: Colour = (205, 160, 130)
_METAL: Colour = (70, 74, 78)


def _tree(canvas: Canvas) -> None:
    rng, tall = canvas.rng, canvas.rng.uniform(0.28, 0.5)
    canvas.shadow(0, 0, 0.3 * tall, 0.05 * tall)
    trunk = canvas.tint((92, 70, 52))
    canvas.line("tree", [(0, 0), (0, -0.6 * tall)], 0.06 * tall * canvas.unit, trunk)
    leaves = canvas.tint((62, 106, 48), 18)
    if rng.random() < 0.3:  # a conifer
        for i in range(3):
            top, half = -tall * (1.05 - 0.25 * i), tall * (0.16 + 0.07 * i)
            low = top + 0.45 * tall
            canvas.shape("tree", [(0, top), (half, low), (-half, low)], leaves)
        return
    for _ in range(7):
        x, y = rng.normal(0, 0.13, 2) * tall
        radius = tall * rng.uniform(0.14, 0.24)
        canvas.oval("tree", (x, y - 0.78 * tall, radius, 0.85 * radius), canvas.tint(leaves, 9))


def _person(canvas: Canvas) -> None:
    canvas.shadow(0, 0, 0.036, 0.009)
    legs, coat = canvas.pick(PAINTS), canvas.pick(PAINTS)
    for foot in (-0.021, 0.021):
        canvas.line("person", [(0, -0.15), (foot, 0)], 0.027 * canvas.unit, legs)
    canvas.oval("person", (0, -0.189, 0.036, 0.066), coat)
    canvas.oval("person", (0, -0.273, 0.0225, 0.027), canvas.tint(SKIN))


def _streetlight(canvas: Canvas) -> None:
    metal = canvas.tint(_METAL)
    canvas.line("streetlight", [(0, 0), (0, -0.75), (0.075, -0.75)], 0.012, metal)
    canvas.oval("streetlight", (0.075, -0.75, 0.0375, 0.0165), (240, 230, 190))


def _traffic_light(canvas: Canvas) -> None:
    canvas.line("pole", [(0, 0), (0, -0.5)], 0.012, canvas.tint(_METAL))
    canvas.box("traffic light", (-0.035, -0.67, 0.035, -0.5), (34, 36, 34))
    on = canvas.rng.integers(3)
    for i, colour in enumerate(((230, 50, 40), (240, 190, 50), (60, 210, 90))):
        y = -0.64 + 0.055 * i
        canvas.oval(None, (0, y, 0.022), colour if i == on else lit(colour, 0.25))


def _signboard(canvas: Canvas) -> None:
    canvas.line("pole", [(0, 0), (0, -0.42)], 0.012, canvas.tint(_METAL))
    canvas.box("signboard", (-0.08, -0.53, 0.08, -0.42), canvas.pick(PAINTS))
    canvas.box(None, (-0.048, -0.49, 0.048, -0.47), (245, 245, 240))


def _bicycle(canvas: Canvas) -> None:
    paint = canvas.tint((170, 50, 60), 30)
    for x in (-0.0715, 0.0715):
        canvas.oval("bicycle", (x, -0.055, 0.055), (36, 36, 38))
        canvas.oval(None, (x, -0.055, 0.033), (140, 138, 134))
    frame = [(-0.0715, -0.055), (-0.022, -0.132), (0.0495, -0.1265), (0.0715, -0.055)]
    canvas.line("bicycle", frame, 0.014, paint)


def _flag(canvas: Canvas) -> None:
    canvas.line("pole", [(0, 0), (0, -0.8)], 0.012, (210, 210, 212))
    for i in range(3):
        top = -0.8 + 0.055 * i
        canvas.box("flag", (0, top, 0.28, top + 0.06), canvas.pick(PAINTS, 6))


def _block(name: str, base: Colour, wide: float, tall: float):
    def draw(canvas: Canvas) -> None:
        half = 0.5 * wide
        canvas.shadow(0, 0, 1.1 * half, 0.15 * tall)
        canvas.box(name, (-half, -tall, half, 0), canvas.tint(base, 24))
        canvas.box(None, (-half, -tall, half, -0.85 * tall), canvas.tint(base, 30))

    return draw


def _fence(canvas: Canvas) -> None:
    wood = canvas.tint((150, 120, 86))
    for x in np.arange(-0.5, 0.5, 0.075):
        canvas.box("fence", (x, -0.14, x + 0.045, 0), wood)
    for y in (-0.049, -0.112):
        canvas.line("fence", [(-0.5, y), (0.5, y)], 0.02, wood)


def _house(canvas: Canvas) -> None:
    half = canvas.rng.uniform(0.14, 0.26)
    tall, wall = 0.9 * half, canvas.tint((214, 196, 170), 18)
    canvas.shadow(0, 0, 1.15 * half, 0.12 * tall)
    canvas.box("house", (-half, -tall, half, 0), wall)
    roof = [(-1.15 * half, -tall), (0, -tall - 0.7 * half), (1.15 * half, -tall)]
    canvas.shape("house", roof, canvas.tint((150, 70, 56)))
    canvas.box(None, (-0.14 * half, -0.55 * tall, 0.14 * half, 0), (96, 66, 48))
    for left in (-0.76 * half, 0.44 * half):
        if canvas.rng.random() < 0.8:
            window = (left, -0.7 * tall, left + 0.32 * half, -0.35 * tall)
            canvas.box(None, window, (70, 90, 110))


def _rock(canvas: Canvas) -> None:
    radius, grey = canvas.rng.uniform(0.05, 0.12), canvas.tint((130, 126, 120))
    turns = np.sort(canvas.rng.uniform(np.pi, 2 * np.pi, 6))
    points = [(1.3 * radius * np.cos(a), radius * np.sin(a)) for a in turns]
    canvas.shadow(0, 0, 1.2 * radius, 0.2 * radius)
    canvas.shape("rock", [(-1.3 * radius, 0), *points, (1.3 * radius, 0)], grey)


def _animal(canvas: Canvas) -> None:
    side = canvas.rng.choice((-1, 1))
    fur = canvas.tint((150, 110, 76) if canvas.rng.random() < 0.6 else (220, 214, 204), 20)
    canvas.shadow(0, 0, 0.13, 0.0156)
    for x in (-0.065, -0.039, 0.039, 0.065):
        canvas.line("animal", [(x, 0), (x, -0.065)], 0.012, fur)
    canvas.oval("animal", (0, -0.0806, 0.0936, 0.039), fur)
    canvas.oval("animal", (side * 0.0975, -0.117, 0.0312), fur)


def _flower(canvas: Canvas) -> None:
    colour = canvas.tint((220, 70, 110) if canvas.rng.random() < 0.5 else (240, 200, 70), 20)
    for _ in range(9):
        x, y = canvas.rng.normal(0, 0.05, 2)
        canvas.oval("flower", (x, 0.5 * y, 0.022), canvas.tint(colour))


def _plant(canvas: Canvas) -> None:
    green = canvas.tint((70, 120, 60), 18)
    for _ in range(5):
        x = canvas.rng.normal(0, 0.05)
        canvas.oval("plant", (x, -0.05, 0.055), canvas.tint(green, 10))


def _boat(canvas: Canvas) -> None:
    half = 0.16 + 0.04 / canvas.unit
    hull = [(-half, 0), (half, 0), (0.7 * half, 0.3 * half), (-0.7 * half, 0.3 * half)]
    canvas.shape("boat", hull, canvas.tint((150, 60, 50), 30))
    sail = [(0, 0), (0, -1.3 * half), (0.8 * half, -0.1 * half)]
    canvas.shape("boat", sail, (240, 238, 230))


def _tent(canvas: Canvas) -> None:
    canvas.shape("tent", [(-0.14, 0), (0, -0.168), (0.14, 0)], canvas.pick(PAINTS[:6]))
    canvas.shape(None, [(-0.028, 0), (0, -0.126), (0.028, 0)], (60, 50, 44))


def _tower(canvas: Canvas) -> None:
    stone = canvas.tint((170, 160, 146))
    canvas.box("tower", (-0.07, -0.6, 0.07, 0), stone)
    canvas.box("tower", (-0.091, -0.66, 0.091, -0.58), stone)


def _pole(canvas: Canvas) -> None:
    canvas.line("pole", [(0, 0), (0, -0.7)], 0.018, canvas.tint((120, 104, 86)))


_FORMS = (
    *(_tree, _person, _streetlight, _traffic_light, _signboard, _bicycle, _flag, _fence, _house),
    *(_rock, _animal, _flower, _plant, _boat, _tent, _tower, _pole),
)
STANDING = {form.__name__[1:].replace("_", " "): form for form in _FORMS} | {
    "ashcan": _block("ashcan", (70, 90, 76), 0.09, 0.13),
    "bench": _block("bench", (126, 92, 62), 0.3, 0.09),
    OTHER: _block(OTHER, (128, 110, 130), 0.16, 0.12),
}
