"""Charts: lines, bars, and matrices of shares.

Every function returns a `matplotlib.figure.Figure` and draws nothing on a screen. A title is a
sentence that states the finding; `save_figure` keeps it beside the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fcntools.figures.style import INK, LINE_COLOURS, STYLE, blank_figure, title_height


@matplotlib.rc_context(STYLE)
def curves(
    series: Mapping[str, Sequence], title: str, x_label: str, y_label: str, *, log: bool = False
) -> Figure:
    """Return a figure of lines.

    Args:
        series: {name: (x, y) or (x, y, half width of a band around y)}; NaN leaves a gap.
        title: the finding.
        x_label: with its unit.
        y_label: with its unit.
        log: draw y on a logarithmic scale.
    """
    figure = blank_figure(8.5, 4.4, title)
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.set(xlabel=x_label, ylabel=y_label, yscale="log" if log else "linear")
    for number, (name, (x, y, *band)) in enumerate(series.items()):
        colour = LINE_COLOURS[number % len(LINE_COLOURS)]
        x, y = np.asarray(x, float), np.asarray(y, float)
        marker = "o" if len(x) <= 20 else None
        axes.plot(x, y, color=colour, lw=2, marker=marker, ms=4, label=name)
        if band:
            axes.fill_between(x, y - band[0], y + band[0], color=colour, alpha=0.18, lw=0)
    if len(series) > 1:
        figure.legend(loc="outside right center", labelcolor="linecolor", frameon=False)
    return figure


@matplotlib.rc_context(STYLE)
def bars(
    names: Sequence[str],
    values: Sequence[float] | Mapping[str, Sequence[float]],
    title: str = "",
    y_label: str = "",
    *,
    errors: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    reference: float | tuple[float, str] | None = None,
    colours: Iterable | None = None,
    digits: int = 1,
    log: bool = False,
) -> Figure:
    """Return a figure of lying bars, their values at the ends; several series lie in groups.

    Args:
        names: of the bars or groups, the first on top.
        values: a number a name, or {series: numbers}; NaN is drawn as a dash.
        title: the finding.
        y_label: of the axis of values, with its unit.
        errors: half width of an error bar each, in the form of `values`.
        reference: a value to mark with a line, or (value, its name).
        colours: one a bar (one series) or one a series; anything Matplotlib takes, or RGB 0..255.
        digits: after the point, of the values written.
        log: draw the values on a logarithmic scale.
    """
    series = values if isinstance(values, Mapping) else {"": values}
    spreads = errors if isinstance(errors, Mapping) else {"": errors}
    palette = LINE_COLOURS if colours is None else list(colours)
    palette = [c if isinstance(c, str) else tuple(np.asarray(c) / 255) for c in palette]
    thick = 0.8 / len(series)
    height = 0.8 + title_height(title, 8.5) + len(names) * max(0.31, 0.21 * len(series))
    height += 0.3 * (len(series) > 1)
    figure = blank_figure(8.5, height, title)
    axes = figure.subplots()
    for number, (name, numbers) in enumerate(series.items()):
        at = np.arange(len(names)) + thick * (number - (len(series) - 1) / 2)
        single = palette[: len(names)] if colours is not None else palette[0]
        colour = single if len(series) == 1 else palette[number % len(palette)]
        style = {"color": colour, "label": name, "xerr": spreads.get(name), "ecolor": INK}
        drawn = axes.barh(
            at, np.nan_to_num(np.asarray(numbers, float)), 0.92 * thick, log=log, **style
        )
        texts = [f"{v:.{digits}f}" if np.isfinite(v) else "–" for v in numbers]
        axes.bar_label(drawn, texts, padding=4, size=9, color=INK)
    axes.set_yticks(np.arange(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=y_label, ylim=(len(names) - 0.5, -0.5))
    axes.margins(x=0.1)
    if reference is not None:
        value, name = reference if isinstance(reference, tuple) else (reference, "")
        axes.axvline(value, color=INK, lw=1.2, ls=(0, (4, 3)))
        place = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "size": 9}
        axes.annotate(name, (value, 1), xycoords=("data", "axes fraction"), **place)
    if len(series) > 1:
        figure.legend(loc="outside lower right", ncols=len(series), frameon=False)
    return figure


@matplotlib.rc_context(STYLE)
def confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Return a figure of a confusion matrix, as percent of each true class.

    Args:
        matrix: counts, int64 [C, C], rows truth.
        classes: C names.
        title: the finding.
    """
    total = matrix.sum(axis=1, keepdims=True)
    words = "predicted class", "true class", "percent of the true class's pixels"
    return _share_matrix(matrix, total, classes, title, words)


@matplotlib.rc_context(STYLE)
def co_occurrence(together: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Return a figure of which classes share images, as percent of those of the row's class.

    Args:
        together: images in which both classes are, int64 [C, C]; on the diagonal: the class is.
        classes: C names.
        title: the finding.
    """
    words = "... show this one too", "of the images with this class ...", "percent of its images"
    return _share_matrix(together, together.diagonal()[:, None], classes, title, words)


def _share_matrix(matrix: np.ndarray, total: np.ndarray, classes, title: str, words) -> Figure:
    """Draw 100 * matrix / total; the words are those of the columns, the rows and the shares."""
    count = len(classes)
    shares = np.divide(100 * matrix, total, out=np.full(matrix.shape, np.nan), where=total > 0)
    side = 2.2 + 0.44 * count
    figure = blank_figure(side + 0.6, side, title)
    axes = figure.subplots()
    picture = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in zip(*np.nonzero(shares >= 0.5), strict=True):
        colour = "white" if shares[row, column] > 55 else INK
        text = f"{shares[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", size=8, color=colour)
    axes.set_xticks(range(count), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), classes)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=words[0], ylabel=words[1])
    bar = figure.colorbar(picture, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label(words[2])
    bar.outline.set_visible(False)
    return figure
