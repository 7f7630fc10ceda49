"""Rooms: walls in perspective, what hangs on them and what stands before them."""

from __future__ import annotations

from fcntools.synthetic.scene_canvas import OTHER, Canvas, Colour

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
    wall = canvas.tint(_WALLS[rng.integers(len(_WALLS))])
    canvas.box("wall", (0, 0, 1, 1), tuple(0.86 * v for v in wall))
    canvas.box("wall", (left, top, right, foot), wall)
    canvas.shape(
        "ceiling", [(0, 0), (1, 0), (right, top), (left, top)], canvas.tint((232, 230, 224), 6)
    )
    corners = [(left, foot), (right, foot), (1 + right - 0.75, 1), (left - 0.25, 1)]
    boards = canvas.tint(_WOOD if rng.random() < 0.7 else (170, 160, 150))
    canvas.shape("floor", corners, boards)
    for u in (0.15, 0.3, 0.45, 0.6, 0.75, 0.9):
        near, far = corners[3][0] + u * (corners[2][0] - corners[3][0]), left + u * (right - left)
        canvas.line(None, [(far, foot), (near, 1)], 0.004, tuple(0.85 * v for v in boards))
    _on_the_wall(canvas, left, right, top, foot)
    kind = rng.choice(["bed", "sofa", "dining", "study"], p=(0.3, 0.35, 0.2, 0.15))
    x = rng.uniform(0.4, 0.6)
    if rng.random() < 0.45:
        rug = canvas.tint(_CLOTHS[rng.integers(6)])
        canvas.oval("rug", x, 0.86, 0.34, 0.1, colour=rug)
        canvas.oval(None, x, 0.86, 0.27, 0.07, colour=canvas.tint(rug, 30))
    {"bed": _bed, "sofa": _sofa, "dining": _dining, "study": _study}[kind](canvas, x, foot)
    for name, chance in (("plant", 0.3), ("lamp", 0.35), ("person", 0.08), (OTHER, 0.2)):
        if rng.random() < chance:
            _beside(canvas, name, rng.choice((0.1, 0.9)) + rng.normal(0, 0.03), foot + 0.2)


def _on_the_wall(canvas: Canvas, left: float, right: float, top: float, foot: float) -> None:
    rng, tall = canvas.rng, foot - top
    places = [left + (right - left) * u for u in (0.2, 0.5, 0.8)]
    rng.shuffle(places)
    if rng.random() < 0.75:
        _window(canvas, places.pop(), top + 0.12 * tall, foot - 0.3 * tall)
    if rng.random() < 0.4:
        _door(canvas, places.pop(), top + 0.12 * tall, foot)
    for x in places:
        what = rng.choice(
            ["painting", "mirror", "clock", "shelf", ""], p=(0.4, 0.1, 0.06, 0.14, 0.3)
        )
        y = top + 0.35 * tall
        if what == "clock":
            canvas.oval("clock", x, y, 0.04, colour=(240, 238, 230))
            canvas.line(None, [(x, y), (x, y - 0.03), (x, y), (x + 0.02, y)], 0.006, (30, 30, 30))
        elif what == "shelf":
            canvas.box("shelf", (x - 0.08, y - 0.02, x + 0.08, y + 0.16), canvas.tint(_WOOD))
            for at in (0.0, 0.08):
                for i in range(6):
                    paint = canvas.tint(_CLOTHS[rng.integers(6)], 25)
                    low = y + 0.07 + at
                    canvas.box(
                        "book",
                        (x - 0.07 + 0.022 * i, low - 0.055, x - 0.052 + 0.022 * i, low),
                        paint,
                    )
        elif what:
            canvas.box(what, (x - 0.085, y - 0.07, x + 0.085, y + 0.07), canvas.tint((110, 80, 50)))
            inner = (
                canvas.tint(_CLOTHS[rng.integers(6)], 30) if what == "painting" else (206, 216, 222)
            )
            canvas.box(None, (x - 0.07, y - 0.055, x + 0.07, y + 0.055), inner)
    if rng.random() < 0.15:
        canvas.line("chandelier", [(0.5, 0.02), (0.5, 0.16)], 0.01, (120, 100, 60))
        canvas.oval("chandelier", 0.5, 0.18, 0.08, 0.03, colour=(240, 220, 150))


def _window(canvas: Canvas, x: float, top: float, low: float) -> None:
    canvas.box("windowpane", (x - 0.1, top, x + 0.1, low), canvas.tint((170, 206, 236)))
    for at in (-0.1, 0, 0.1):
        canvas.line("windowpane", [(x + at, top), (x + at, low)], 0.012, (240, 240, 236))
    if canvas.rng.random() < 0.6:
        cloth = canvas.tint(_CLOTHS[canvas.rng.integers(6)])
        for side in (-1, 1):
            ends = sorted((x + side * 0.07, x + side * 0.15))
            canvas.box("curtain", (ends[0], top - 0.03, ends[1], low + 0.1), cloth)
            for fold in (0.3, 0.6):
                at = ends[0] + fold * (ends[1] - ends[0])
                canvas.line(
                    None, [(at, top - 0.03), (at, low + 0.1)], 0.004, tuple(0.8 * v for v in cloth)
                )


def _door(canvas: Canvas, x: float, top: float, foot: float) -> None:
    wood = canvas.tint((150, 110, 76) if canvas.rng.random() < 0.6 else (225, 222, 214))
    canvas.box("door", (x - 0.075, top, x + 0.075, foot), wood)
    for y in (top + 0.05, (top + foot) / 2 + 0.02):
        canvas.box(None, (x - 0.045, y, x + 0.045, y + 0.13), tuple(0.85 * v for v in wood))
    canvas.oval(None, x + 0.055, (top + foot) / 2 + 0.02, 0.009, colour=(210, 180, 90))


def _bed(canvas: Canvas, x: float, foot: float) -> None:
    rng, cloth = canvas.rng, canvas.tint(_CLOTHS[canvas.rng.integers(6)])
    canvas.shadow(x, 0.95, 0.3, 0.03)
    canvas.box("bed", (x - 0.2, foot - 0.14, x + 0.2, foot + 0.04), canvas.tint(_WOOD))
    canvas.shape(
        "bed", [(x - 0.2, foot), (x + 0.2, foot), (x + 0.28, 0.86), (x - 0.28, 0.86)], cloth
    )
    canvas.box("bed", (x - 0.28, 0.86, x + 0.28, 0.95), tuple(0.75 * v for v in cloth))
    for at in (-0.1, 0.1):
        canvas.oval(
            "pillow", x + at, foot + 0.03, 0.08, 0.04, colour=canvas.tint((236, 234, 228), 6)
        )
    if rng.random() < 0.5:
        canvas.box("cabinet", (x + 0.24, foot - 0.02, x + 0.38, foot + 0.14), canvas.tint(_WOOD))
        _table_lamp(canvas, x + 0.31, foot - 0.02)


def _sofa(canvas: Canvas, x: float, foot: float) -> None:
    rng, cloth = canvas.rng, canvas.tint(_CLOTHS[canvas.rng.integers(6)])
    low = foot + 0.17
    canvas.shadow(x, low, 0.3, 0.03)
    canvas.box("sofa", (x - 0.26, foot - 0.08, x + 0.26, low), cloth)
    canvas.box(None, (x - 0.2, foot + 0.05, x + 0.2, foot + 0.1), tuple(1.12 * v for v in cloth))
    for side in (-1, 1):
        ends = sorted((x + side * 0.2, x + side * 0.28))
        canvas.box("sofa", (ends[0], foot, ends[1], low), tuple(0.85 * v for v in cloth))
    for at in (-0.13, 0.13):
        if rng.random() < 0.6:
            paint = canvas.tint(_CLOTHS[rng.integers(6)], 20)
            points = [(-0.05, -0.03), (0.05, -0.05), (0.06, 0.05), (-0.04, 0.05)]
            canvas.shape("cushion", [(x + at + u, foot + 0.01 + v) for u, v in points], paint)
    if rng.random() < 0.55:
        _board(canvas, "coffee table", x, 0.86, 0.2, 0.08)
        if rng.random() < 0.3:
            _vase(canvas, x, 0.8)
    if rng.random() < 0.15:
        canvas.box("television", (x - 0.12, foot - 0.3, x + 0.12, foot - 0.14), (24, 26, 30))


def _dining(canvas: Canvas, x: float, foot: float) -> None:
    low = foot + 0.26
    for side in (-1, 1):
        _chair(canvas, x + side * 0.25, low - 0.03)
    _board(canvas, "table", x, foot + 0.08, 0.22, 0.18)
    if canvas.rng.random() < 0.4:
        _vase(canvas, x, foot + 0.06)


def _study(canvas: Canvas, x: float, foot: float) -> None:
    _board(canvas, "desk", x, foot + 0.03, 0.24, 0.16)
    if canvas.rng.random() < 0.6:
        canvas.box("computer", (x - 0.09, foot - 0.1, x + 0.09, foot + 0.02), (40, 42, 46))
        canvas.box(
            None, (x - 0.078, foot - 0.09, x + 0.078, foot + 0.005), canvas.tint((90, 140, 190))
        )
    _chair(canvas, x + 0.03, foot + 0.28)
    if canvas.rng.random() < 0.5:
        side = canvas.rng.choice((-1, 1))
        box = (x + side * 0.36 - 0.08, foot - 0.26, x + side * 0.36 + 0.08, foot + 0.06)
        canvas.box("cabinet", box, canvas.tint(_WOOD))


def _board(canvas: Canvas, name: str, x: float, y: float, half: float, tall: float) -> None:
    wood = canvas.tint(_WOOD, 22)
    canvas.shadow(x, y + tall, half, 0.02)
    for side in (-1, 1):
        canvas.line(
            name, [(x + side * 0.85 * half, y), (x + side * 0.85 * half, y + tall)], 0.025, wood
        )
    top = [
        (x - 0.85 * half, y - 0.03),
        (x + 0.85 * half, y - 0.03),
        (x + half, y + 0.025),
        (x - half, y + 0.025),
    ]
    canvas.shape(name, top, tuple(1.1 * v for v in wood))


def _chair(canvas: Canvas, x: float, y: float) -> None:
    wood = canvas.tint((110, 76, 52), 20)
    canvas.box("chair", (x - 0.06, y - 0.24, x + 0.06, y - 0.09), wood)
    canvas.box("chair", (x - 0.07, y - 0.1, x + 0.07, y - 0.07), tuple(1.2 * v for v in wood))
    for side in (-1, 1):
        canvas.line("chair", [(x + side * 0.06, y - 0.07), (x + side * 0.065, y)], 0.02, wood)


def _vase(canvas: Canvas, x: float, y: float) -> None:
    canvas.oval("vase", x, y - 0.03, 0.024, 0.036, colour=canvas.tint((90, 130, 160), 30))
    for at in (-0.02, 0, 0.02):
        canvas.oval("flower", x + at, y - 0.08, 0.017, colour=canvas.tint((226, 90, 110), 25))


def _table_lamp(canvas: Canvas, x: float, y: float) -> None:
    canvas.line("lamp", [(x, y), (x, y - 0.07)], 0.012, (110, 96, 70))
    shade = [(x - 0.03, y - 0.13), (x + 0.03, y - 0.13), (x + 0.05, y - 0.06), (x - 0.05, y - 0.06)]
    canvas.shape("lamp", shade, canvas.tint((246, 226, 170), 8))


def _beside(canvas: Canvas, name: str, x: float, y: float) -> None:
    rng = canvas.rng
    if name == "lamp":
        canvas.line("lamp", [(x, y), (x, y - 0.36)], 0.014, (90, 84, 76))
        _table_lamp(canvas, x, y - 0.33)
    elif name == "plant":
        canvas.box("pot", (x - 0.04, y - 0.08, x + 0.04, y), canvas.tint((176, 104, 72)))
        for _ in range(7):
            dx, dy = rng.normal(0, 0.035, 2)
            canvas.oval("plant", x + dx, y - 0.17 + dy, 0.04, colour=canvas.tint((70, 120, 62), 16))
    elif name == "person":
        canvas.oval("person", x, y - 0.16, 0.06, 0.18, colour=canvas.tint(_CLOTHS[rng.integers(6)]))
        canvas.oval("person", x, y - 0.38, 0.035, 0.045, colour=canvas.tint((205, 160, 130)))
    else:
        canvas.box(OTHER, (x - 0.07, y - 0.1, x + 0.07, y), canvas.tint((120, 124, 130), 25))
