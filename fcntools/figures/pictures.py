"""Pictures: label maps and heat maps over images, grids of them, what a unit of a network sees."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fcnlib.geometry import Field
from fcnlib.labels import VOID, LabelSet
from fcntools.figures.style import INK, LINE_COLOURS, SOFT, STYLE, blank_figure, title_height

HEAT_MAP = "inferno"
_LINE = 0.21  # inches: a line of small text
_LETTER = 0.082  # inches: the width of a letter, on average
_LEGEND = {"frameon": False, "fontsize": 9, "handlelength": 1.4, "columnspacing": 1.2}
_WIDEST = 2.8  # inches of a picture


def overlay(
    image: np.ndarray, mask: np.ndarray, labels: LabelSet, alpha: float = 0.6
) -> np.ndarray:
    """Return an image, uint8 [H, W, 3], under the colours of its label map; background is clear.

    Args:
        image: uint8 [H, W, 3].
        mask: uint8 [H, W], classes or 255.
        labels: gives the colours; where class 0 is "background" it has none.
        alpha: weight of the colours, 0..1.
    """
    weight = np.where((mask == 0) & (labels.classes[0] == "background"), 0.0, alpha)[..., None]
    return np.round(image + weight * (labels.colorize(mask) - image.astype(float))).astype(np.uint8)


def heat_overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a heat map, float [H, W] in 0..1, over a grey image, uint8 [H, W, 3]; return the same."""
    colours = matplotlib.colormaps[HEAT_MAP](np.clip(heat, 0, 1))[..., :3]
    grey = image.mean(axis=2, keepdims=True)
    return np.round(0.35 * grey + 0.65 * 255 * colours).astype(np.uint8)


def spread_out(values: np.ndarray, start: float, stride: int, size: tuple[int, int]) -> np.ndarray:
    """Return a score map as large as its image: the value of the nearest sample point a pixel.

    Args:
        values: [h, w, ...] of an end point.
        start: pixel of its first sample point, both axes.
        stride: pixels between sample points.
        size: (H, W) of the image.
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
    """
    columns = max(len(row) for row in rows)
    side = min(9.5 / columns, _WIDEST)
    width = max(0.5 + columns * side, 5.0)
    tall = [side * max(p.shape[0] / p.shape[1] for p in row if p is not None) for row in rows]
    names = [textwrap.fill(name, max(int(side / _LETTER), 8)) for name in column_names or ()]
    entries, across = _entries(*legend_of, width) if legend_of else ([], 1)
    lines = max((1 + name.count("\n") for name in names), default=0) + len(rows) * bool(captions)
    lines += math.ceil(len(entries) / across)
    height = title_height(title, width) + sum(tall) + _LINE * lines
    figure = blank_figure(width, height + 0.3, title, compress=True)
    grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=tall)
    for (row, column), axes in np.ndenumerate(grid):
        if column >= len(rows[row]):
            axes.remove()
            continue
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        picture = rows[row][column]
        if picture is not None:
            low, high = limits or (None, None)
            axes.imshow(picture, cmap=HEAT_MAP, vmin=low, vmax=high, interpolation="nearest")
        if captions:
            axes.set_xlabel(captions[row][column], size=8.5)
        x, y = np.reshape((marks or {}).get((row, column), ()), (-1, 2)).T
        for colour, wide in ((INK, 3.2), ("white", 1.6)):
            ring = {"facecolors": "none", "edgecolors": colour, "linewidths": wide}
            axes.scatter(x, y, s=90, clip_on=False, **ring)
    for axes, name in zip(grid[0], names, strict=False):
        axes.set_title(name, size=9.5)
    for axes, name in zip(grid[:, 0], row_names or (), strict=False):
        axes.set_ylabel(name, size=9.5)
    if entries:
        figure.legend(handles=entries, loc="outside lower left", ncols=across, **_LEGEND)
    return figure


def _entries(labels: LabelSet, present: Sequence[int], width: float) -> tuple[list[Patch], int]:
    """Return the entries of a legend, and how many fit beside each other."""
    entries = []
    for index in sorted({int(i) for i in present}):
        name = "void" if index == VOID else labels.classes[index]
        colour = labels.colorize(np.array([[index]], np.uint8))[0, 0] / 255
        entries.append(Patch(facecolor=colour, edgecolor=SOFT, linewidth=0.6, label=name))
    longest = max(len(entry.get_label()) for entry in entries)
    return entries, max(int((width - 0.2) / (0.6 + 0.08 * longest)), 1)


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
