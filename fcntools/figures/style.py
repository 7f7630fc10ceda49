"""The look of every figure: style, title, and how one is written to disk."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from fcnlib.runtime.files import replacing, write_json

# Told apart with any colour vision. Source: Okabe and Ito, https://jfly.uni-koeln.de/color/
LINE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
LINE_COLOURS += ("#E69F00", "#56B4E9", "#000000", "#F0E442")
DPI = 100
INK, SOFT = "#222222", "#777777"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), SOFT),
    "grid.color": "#E6E6E6",
    "svg.hashsalt": "fcnlib",  # the same figure gives the same file
}
_TITLE_SIZE = 12  # points
_TITLE_LETTER = 0.12  # inches: the width of a letter, at most on average


def save_figure(figure: Figure, path: Path, title: str, alt: str) -> Path:
    """Return the path of a figure written as .png and .svg, with title, alt and size as .json.

    Args:
        figure: drawn.
        path: of the PNG, whatever its ending.
        title: the finding in a sentence.
        alt: what the figure shows, for those who cannot see it.
    """
    png = path.with_suffix(".png")
    with matplotlib.rc_context(STYLE):
        for ending, metadata in ((".svg", {"Date": None}), (".png", {})):
            with replacing(png.with_suffix(ending)) as part:
                figure.savefig(part, dpi=DPI, metadata=metadata)
    size = [round(side * DPI) for side in figure.get_size_inches()]
    write_json(png.with_suffix(".json"), {"title": title, "alt": alt, "size": size})
    return png


def blank_figure(width: float, height: float, title: str, compress: bool = False) -> Figure:
    """Return an empty figure, of constrained layout, with a title: add axes with `subplots`.

    Args:
        width: inches.
        height: inches, the title's included.
        title: wrapped to the width.
        compress: leave no room between pictures of a fixed aspect.
    """
    figure = Figure(figsize=(width, height), layout="compressed" if compress else "constrained")
    below = 1 - title_height(title, width) / height
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08, rect=(0, 0, 1, below))
    if title:
        place = {"x": 0.1 / width, "y": 1 - 0.08 / height, "ha": "left", "va": "top"}
        figure.suptitle(_wrapped(title, width), size=_TITLE_SIZE, weight="bold", **place)
    return figure


def title_height(title: str, width: float) -> float:
    """Return the inches that a title takes at the top of a figure so many inches wide."""
    return 0.12 + 0.205 * len(_wrapped(title, width).split("\n")) if title else 0.08


def _wrapped(title: str, width: float) -> str:
    return textwrap.fill(title, int((width - 0.25) / _TITLE_LETTER))
