"""Pictures: label maps and heat maps over images, grids of them, what a unit of a network sees."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fcnlib.geometry import Field
from fcnlib.labels import VOID, LabelSet
from fcntools.figures.style import INK, LINE_COLOURS, SOFT, STYLE, blank_figure, title_height

HEAT_MAP = "inferno"
_GAP = 0.08  # inches between pictures
_LINE = 0.19  # inches: a line of small text
_LEGEND_LINE = 0.22
_LETTER = 0.082  # inches: the width of a letter, on average
_WIDEST = 2.8  # inches of a picture


def overlay(
    image: np.ndarray, mask: np.ndarray, labels: LabelSet, alpha: float = 0.6
) -> np.ndarray:
    """Lay the colours of a label map over its image; where class 0 is background it stays clear.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W], classes or 255.
        labels: gives the colours.
        alpha: weight of the colours, 0..1.

    Returns:
        uint8 [H, W, 3].
    """
    weight = np.where((mask == 0) & (labels.classes[0] == "background"), 0.0, alpha)[..., None]
    return np.round(image + weight * (labels.colorize(mask) - image.astype(float))).astype(np.uint8)


def heat_overlay(
    image: np.ndarray, heat: np.ndarray, limits: tuple[float, float] = (0, 1), alpha: float = 0.65
) -> np.ndarray:
    """Lay a heat map over the grey image.

    Args:
        image: uint8 [H, W, 3].
        heat: float [H, W], one value a pixel.
        limits: the values of the darkest and of the brightest colour.
        alpha: weight of the heat, 0..1.

    Returns:
        uint8 [H, W, 3].
    """
    low, high = limits
    colours = matplotlib.colormaps[HEAT_MAP](np.clip((heat - low) / (high - low), 0, 1))[..., :3]
    grey = image.mean(axis=2, keepdims=True)
    return np.round((1 - alpha) * grey + alpha * 255 * colours).astype(np.uint8)


def spread_out(values: np.ndarray, start: float, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Give every pixel the value of the nearest sample point: a score map as large as its image.

    Args:
        values: [h, w, ...] of an end point.
        start: pixel of its first sample point, both axes.
        stride: pixels between sample points.
        size: (H, W) of the image.

    Returns:
        [H, W, ...]: a block a value.
    """
    rows, columns = (
        np.clip(np.floor((np.arange(n) - start) / stride + 0.5).astype(int), 0, m - 1)
        for n, m in zip(size, values.shape[:2], strict=True)
    )
    return values[rows[:, None], columns[None, :]]


@matplotlib.rc_context(STYLE)
def picture_grid(
    rows: Sequence[Sequence[np.ndarray | None]],
    row_names: Sequence[str] | None = None,
    column_names: Sequence[str] | None = None,
    title: str = "",
    *,
    legend_of: tuple[LabelSet, Sequence[int]] | None = None,
    captions: Sequence[Sequence[str]] | None = None,
    marks: Mapping[tuple[int, int], np.ndarray] | None = None,
    limits: tuple[float, float] | None = None,
    width: float = 10.0,
) -> Figure:
    """Return a figure of pictures in rows and columns.

    Args:
        rows: pictures: RGB uint8 [H, W, 3], or float [h, w] drawn as a heat map, or None for a gap.
        row_names: one a row, written along its left side; "" for none.
        column_names: one a column, written above it.
        title: the finding.
        legend_of: (label set, the classes to name below the pictures, 255 for void).
        captions: a line of text below each picture, in the form of `rows`; "" for none.
        marks: {(row, column): pixels [n, 2] as x, y} to put a ring around.
        limits: values of the darkest and the brightest colour of heat maps; None: each its own.
        width: inches of the figure at most; few pictures take less.
    """
    left = 0.34 if any(row_names or ()) else 0.1
    columns = max(len(row) for row in rows)
    cell = min((width - left - 0.1 + _GAP) / columns - _GAP, _WIDEST)
    width = max(left + 0.1 + columns * (cell + _GAP) - _GAP, 5.0)
    tall = [cell * max(p.shape[0] / p.shape[1] for p in row if p is not None) for row in rows]
    below = [_LINE if any(line) else 0.0 for line in captions or [[]] * len(rows)]
    names = [textwrap.fill(name, max(int(cell / _LETTER), 8)) for name in column_names or ()]
    head = max((_LINE * (1 + name.count("\n")) for name in names), default=0) + _GAP
    entries = _entries(*legend_of, width - left) if legend_of else []
    foot = _LEGEND_LINE * (1 + max((line for *_, line in entries), default=-1)) + 0.1
    banner = title_height(title, width)
    height = banner + head + sum(tall) + sum(below) + _GAP * (len(rows) - 1) + foot
    figure = blank_figure(width, height, title)
    figure.set_layout_engine("none")
    top = height - banner - head
    for column, name in enumerate(names):
        x = left + column * (cell + _GAP) + cell / 2
        figure.text(x / width, (top + 0.05) / height, name, ha="center", va="bottom", size=9.5)
    for number, row in enumerate(rows):
        top -= tall[number]
        if row_names:
            place = (left - 0.13) / width, (top + tall[number] / 2) / height
            figure.text(*place, row_names[number], rotation=90, ha="center", va="center", size=9.5)
        points = [(marks or {}).get((number, column)) for column in range(len(row))]
        lines = captions[number] if captions else [""] * len(row)
        _row(figure, (left, top, cell, tall[number]), row, limits, points, lines)
        top -= below[number] + _GAP
    _legend(figure, entries, left, foot)
    return figure


def _row(figure: Figure, box: tuple, row, limits, points, lines) -> None:
    """Draw a row of pictures; the box of the first is (left, bottom, width, height) in inches."""
    left, bottom, cell, tall = box
    width, height = figure.get_size_inches()
    for column, picture in enumerate(row):
        if picture is not None:
            x = left + column * (cell + _GAP)
            axes = figure.add_axes((x / width, bottom / height, cell / width, tall / height))
            _picture(axes, picture, limits, points[column])
            axes.set_title(lines[column], y=0, pad=-_LINE * 66, size=8.5)


def _picture(axes: Axes, picture: np.ndarray, limits, points) -> None:
    if picture.ndim == 3:
        axes.imshow(picture)
    else:
        low, high = limits or (None, None)
        axes.imshow(picture, cmap=HEAT_MAP, vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    if points is not None:
        x, y = np.asarray(points, float).reshape(-1, 2).T
        for colour, wide in ((INK, 3.2), ("white", 1.6)):
            ring = {"facecolors": "none", "edgecolors": colour, "linewidths": wide}
            axes.scatter(x, y, s=90, clip_on=False, **ring)


def _entries(labels: LabelSet, present: Sequence[int], room: float) -> list[tuple]:
    """Return (colour, name, inches from the left, line) of every entry of a legend."""
    entries, at, line = [], 0.0, 0
    for index in sorted({int(i) for i in present}):
        name = "void" if index == VOID else labels.classes[index]
        wide = 0.4 + 0.074 * len(name)
        if at + wide > room and at:
            at, line = 0.0, line + 1
        colour = labels.colorize(np.array([[index]], np.uint8))[0, 0] / 255
        entries.append((colour, name, at, line))
        at += wide
    return entries


def _legend(figure: Figure, entries: list[tuple], left: float, foot: float) -> None:
    width, height = figure.get_size_inches()
    for colour, name, at, line in entries:
        x, y = left + at, foot - _LEGEND_LINE * (line + 1)
        box = ((x / width, y / height), 0.2 / width, 0.13 / height)
        style = {"facecolor": colour, "edgecolor": SOFT, "linewidth": 0.6}
        figure.add_artist(Rectangle(*box, transform=figure.transFigure, **style))
        figure.text((x + 0.26) / width, (y + 0.065) / height, name, va="center_baseline", size=9)


@matplotlib.rc_context(STYLE)
def sample_points(
    image: np.ndarray, panels: Mapping[str, Mapping[str, Field]], title: str
) -> Figure:
    """Return a figure of the pixels that the units of end points are centred on, in panels.

    Args:
        image: uint8 [H, W, 3], H = W.
        panels: {name of the panel: {end point: its geometry}}, the same end points in each, the
            densest first.
        title: the finding.
    """
    count, size = len(panels), image.shape[0]
    figure = blank_figure(4.4 * count, 5.1 + title_height(title, 4.4 * count), title)
    pale = np.uint8(255 - (255 - image.astype(float)) * 0.45)
    for place, (name, fields) in enumerate(panels.items()):
        axes = figure.add_subplot(1, count, place + 1)
        axes.imshow(pale)
        for number, (end_point, field) in enumerate(fields.items()):
            rows, columns = np.meshgrid(field.sample_points(), field.sample_points(), indexing="ij")
            colour, area = LINE_COLOURS[number], 7.0 * 5.5**number
            style = {"facecolor": "none" if number else colour, "edgecolor": colour}
            axes.scatter(columns, rows, area, label=end_point, lw=1.8, clip_on=False, **style)
        axes.set_title(name, size=10)
        rim = 0.04 * size  # room for the marks of units at the very border
        axes.set(xlim=(-rim, size - 1 + rim), ylim=(size - 1 + rim, -rim))
        axes.set_axis_off()
    handles = axes.get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[0]), frameon=False)
    return figure
