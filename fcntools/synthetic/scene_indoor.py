"""Rooms: walls in perspective, what hangs on them and what stands before them."""

from __future__ import annotations

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour, lit
from fcntools.synthetic.scene_things import SKIN

_WOOD: Colour = (140, 100, 66)
_CLOTHS: tuple[Colour, ...] = (
    *((170, 60, 60), (70, 90, 140), (190, 170, 130), (90, 120, 90), (150, 110, 150)),
    (200, 196, 190),
)
_WALLS: tuple[Colour, ...] = (
    *((214, 204, 186), (186, 196, 204), (206, 190, 170), (190, 204, 186), (224, 220, 214)),
)


def draw_room(canvas: Canvas) -> None:
    """Draw a room: walls, floor and ceiling, a window, and furniture that goes together."""
    rng = canvas.rng
    left, right = rng.uniform(0.08, 0.26), rng.uniform(0.74, 0.92)
    top, foot = rng.uniform(0.1, 0.22), rng.uniform(0.56, 0.68)
    wall = canvas.pick(_WALLS)
    canvas.box("wall", (0, 0, 1, 1), lit(wall, 0.86))
    canvas.box("wall", (left, top, right, foot), wall)
    corners = [(0, 0), (1, 0), (right, top), (left, top)]
    canvas.shape("ceiling", corners, canvas.tint((232, 230, 224), 6))
    near_left, near_right = left - 0.25, 1 + right - 0.75
    boards = canvas.tint(_WOOD if rng.random() < 0.7 else (170, 160, 150))
    canvas.shape("floor", [(left, foot), (right, foot), (near_right, 1), (near_left, 1)], boards)
    for u in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
        near, far = near_left + u * (near_right - near_left), left + u * (right - left)
        canvas.line(None, [(far, foot), (near, 1)], 0.004, lit(boards, 0.85))
    _on_the_wall(canvas, left, right, top, foot)
    kind = rng.choice(list(_FURNITURE), p=(0.3, 0.35, 0.2, 0.15))
    middle = canvas.at((rng.uniform(0.4, 0.6), 0))
    if rng.random() < 0.45:
        rug = canvas.pick(_CLOTHS)
        middle.oval("rug", (0, 0.86, 0.34, 0.1), rug)
        middle.oval(None, (0, 0.86, 0.27, 0.07), canvas.tint(rug, 30))
    _FURNITURE[kind](middle, foot)
    for name, chance in (("plant", 0.3), ("lamp", 0.35), ("person", 0.08), (OTHER, 0.2)):
        if rng.random() < chance:
            x = rng.choice((0.1, 0.9)) + rng.normal(0, 0.03)
            _beside(canvas.at((x, foot + 0.2)), name)


def _on_the_wall(canvas: Canvas, left: float, right: float, top: float, foot: float) -> None:
    rng, tall = canvas.rng, foot - top
    places = [canvas.at((left + (right - left) * u, 0)) for u in (0.2, 0.5, 0.8)]
    rng.shuffle(places)
    if rng.random() < 0.75:
        _window(places.pop(), top + 0.12 * tall, foot - 0.3 * tall)
    if rng.random() < 0.4:
        _door(places.pop(), top + 0.12 * tall, foot)
    y = top + 0.35 * tall
    for place in places:
        kinds = ["painting", "mirror", "clock", "shelf", ""]
        what = rng.choice(kinds, p=(0.4, 0.1, 0.06, 0.14, 0.3))
        if what == "clock":
            place.oval("clock", (0, y, 0.04), (240, 238, 230))
            place.line(None, [(0, y), (0, y - 0.03), (0, y), (0.02, y)], 0.006, (30, 30, 30))
        elif what == "shelf":
            place.box("shelf", (-0.08, y - 0.02, 0.08, y + 0.16), canvas.tint(_WOOD))
            for low in (y + 0.07, y + 0.15):
                for i in range(6):
                    book = (-0.07 + 0.022 * i, low - 0.055, -0.052 + 0.022 * i, low)
                    place.box("book", book, canvas.pick(_CLOTHS, 25))
        elif what:
            place.box(what, (-0.085, y - 0.07, 0.085, y + 0.07), canvas.tint((110, 80, 50)))
            inner = canvas.pick(_CLOTHS, 30) if what == "painting" else (206, 216, 222)
            place.box(None, (-0.07, y - 0.055, 0.07, y + 0.055), inner)
    if rng.random() < 0.15:
        canvas.line("chandelier", [(0.5, 0.02), (0.5, 0.16)], 0.01, (120, 100, 60))
        canvas.oval("chandelier", (0.5, 0.18, 0.08, 0.03), (240, 220, 150))


def _window(canvas: Canvas, top: float, low: float) -> None:
    canvas.box("windowpane", (-0.1, top, 0.1, low), canvas.tint((170, 206, 236)))
    for x in (-0.1, 0, 0.1):
        canvas.line("windowpane", [(x, top), (x, low)], 0.012, (240, 240, 236))
    if canvas.rng.random() < 0.6:
        cloth, top, low = canvas.pick(_CLOTHS), top - 0.03, low + 0.1
        for left in (-0.15, 0.07):
            canvas.box("curtain", (left, top, left + 0.08, low), cloth)
            for x in (left + 0.024, left + 0.048):
                canvas.line(None, [(x, top), (x, low)], 0.004, lit(cloth, 0.8))


def _door(canvas: Canvas, top: float, foot: float) -> None:
    wood = canvas.tint((150, 110, 76) if canvas.rng.random() < 0.6 else (225, 222, 214))
    canvas.box("door", (-0.075, top, 0.075, foot), wood)
    middle = (top + foot) / 2 + 0.02
    for y in (top + 0.05, middle):
        canvas.box(None, (-0.045, y, 0.045, y + 0.13), lit(wood, 0.85))
    canvas.oval(None, (0.055, middle, 0.009), (210, 180, 90))


def _bed(canvas: Canvas, foot: float) -> None:
    cloth = canvas.pick(_CLOTHS)
    canvas.shadow(0, 0.95, 0.3, 0.03)
    canvas.box("bed", (-0.2, foot - 0.14, 0.2, foot + 0.04), canvas.tint(_WOOD))
    canvas.shape("bed", [(-0.2, foot), (0.2, foot), (0.28, 0.86), (-0.28, 0.86)], cloth)
    canvas.box("bed", (-0.28, 0.86, 0.28, 0.95), lit(cloth, 0.75))
    for x in (-0.1, 0.1):
        canvas.oval("pillow", (x, foot + 0.03, 0.08, 0.04), canvas.tint((236, 234, 228), 6))
    if canvas.rng.random() < 0.5:
        canvas.box("cabinet", (0.24, foot - 0.02, 0.38, foot + 0.14), canvas.tint(_WOOD))
        _table_lamp(canvas, 0.31, foot - 0.02)


def _sofa(canvas: Canvas, foot: float) -> None:
    rng, cloth, low = canvas.rng, canvas.pick(_CLOTHS), foot + 0.17
    canvas.shadow(0, low, 0.3, 0.03)
    canvas.box("sofa", (-0.26, foot - 0.08, 0.26, low), cloth)
    canvas.box(None, (-0.2, foot + 0.05, 0.2, foot + 0.1), lit(cloth, 1.12))
    for left in (-0.28, 0.2):
        canvas.box("sofa", (left, foot, left + 0.08, low), lit(cloth, 0.85))
    for x in (-0.13, 0.13):
        if rng.random() < 0.6:
            points = [(-0.05, -0.02), (0.05, -0.04), (0.06, 0.06), (-0.04, 0.06)]
            corners = [(x + u, foot + v) for u, v in points]
            canvas.shape("cushion", corners, canvas.pick(_CLOTHS, 20))
    if rng.random() < 0.55:
        _board(canvas, "coffee table", 0.86, 0.2, 0.08)
        if rng.random() < 0.3:
            _vase(canvas, 0.8)
    if rng.random() < 0.15:
        canvas.box("television", (-0.12, foot - 0.3, 0.12, foot - 0.14), (24, 26, 30))


def _dining(canvas: Canvas, foot: float) -> None:
    for x in (-0.25, 0.25):
        _chair(canvas, x, foot + 0.23)
    _board(canvas, "table", foot + 0.08, 0.22, 0.18)
    if canvas.rng.random() < 0.4:
        _vase(canvas, foot + 0.06)


def _study(canvas: Canvas, foot: float) -> None:
    rng = canvas.rng
    _board(canvas, "desk", foot + 0.03, 0.24, 0.16)
    if rng.random() < 0.6:
        canvas.box("computer", (-0.09, foot - 0.1, 0.09, foot + 0.02), (40, 42, 46))
        screen = (-0.078, foot - 0.09, 0.078, foot + 0.005)
        canvas.box(None, screen, canvas.tint((90, 140, 190)))
    _chair(canvas, 0.03, foot + 0.28)
    if rng.random() < 0.5:
        x = 0.36 * rng.choice((-1, 1))
        canvas.box("cabinet", (x - 0.08, foot - 0.26, x + 0.08, foot + 0.06), canvas.tint(_WOOD))


_FURNITURE = {"bed": _bed, "sofa": _sofa, "dining": _dining, "study": _study}


def _board(canvas: Canvas, name: str, y: float, half: float, tall: float) -> None:
    wood, leg = canvas.tint(_WOOD, 22), 0.85 * half
    canvas.shadow(0, y + tall, half, 0.02)
    for x in (-leg, leg):
        canvas.line(name, [(x, y), (x, y + tall)], 0.025, wood)
    top = [(-leg, y - 0.03), (leg, y - 0.03), (half, y + 0.025), (-half, y + 0.025)]
    canvas.shape(name, top, lit(wood, 1.1))


def _chair(canvas: Canvas, x: float, y: float) -> None:
    wood = canvas.tint((110, 76, 52), 20)
    canvas.box("chair", (x - 0.06, y - 0.24, x + 0.06, y - 0.09), wood)
    canvas.box("chair", (x - 0.07, y - 0.1, x + 0.07, y - 0.07), lit(wood, 1.2))
    for side in (-1, 1):
        canvas.line("chair", [(x + side * 0.06, y - 0.07), (x + side * 0.065, y)], 0.02, wood)


def _vase(canvas: Canvas, y: float) -> None:
    canvas.oval("vase", (0, y - 0.03, 0.024, 0.036), canvas.tint((90, 130, 160), 30))
    for x in (-0.02, 0, 0.02):
        canvas.oval("flower", (x, y - 0.08, 0.017), canvas.tint((226, 90, 110), 25))


def _table_lamp(canvas: Canvas, x: float, y: float) -> None:
    canvas.line("lamp", [(x, y), (x, y - 0.07)], 0.012, (110, 96, 70))
    shade = [(x - 0.03, y - 0.13), (x + 0.03, y - 0.13), (x + 0.05, y - 0.06), (x - 0.05, y - 0.06)]
    canvas.shape("lamp", shade, canvas.tint((246, 226, 170), 8))


def _beside(canvas: Canvas, name: str) -> None:
    if name == "lamp":
        canvas.line("lamp", [(0, 0), (0, -0.36)], 0.014, (90, 84, 76))
        _table_lamp(canvas, 0, -0.33)
    elif name == "plant":
        canvas.box("pot", (-0.04, -0.08, 0.04, 0), canvas.tint((176, 104, 72)))
        for _ in range(7):
            x, y = canvas.rng.normal(0, 0.035, 2)
            canvas.oval("plant", (x, y - 0.17, 0.04), canvas.tint((70, 120, 62), 16))
    elif name == "person":
        canvas.oval("person", (0, -0.16, 0.06, 0.18), canvas.pick(_CLOTHS))
        canvas.oval("person", (0, -0.38, 0.035, 0.045), canvas.tint(SKIN))
    else:
        canvas.box(OTHER, (-0.07, -0.1, 0.07, 0), canvas.tint((120, 124, 130), 25))
