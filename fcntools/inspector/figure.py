"""The skip inspector as a figure, for a run or a report that no one can touch."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fcnlib import metrics
from fcntools.figures.pictures import overlay, picture_grid, spread_out
from fcntools.figures.style import LINE_COLOURS
from fcntools.inspector import what_if
from fcntools.inspector.what_if import View

ALT = (
    "The skip inspector: the image with what each stride sees from the ring, the answer and the "
    "truth; below, the score map of every stride for one class, and the answer after each."
)


def figure(view: View, title: str) -> Figure:
    """Draw a view: image, answer and truth, the score map of every stride, the answer so far.

    Args:
        view: what to show.
        title: the finding.

    Returns:
        The figure. In score maps orange speaks for the class and purple against it; shades go with
        the square root, for the finer a skip, the smaller its scores.
    """
    maps, labels, strides = view.maps, view.labels, view.maps.strides
    # What is finer is mute: the sum so far, on the finest grid, as the JavaScript makes it.
    steps = [{t: w * (t >= s) for t, w in view.weights.items()} for s in strides]
    answers = [what_if.answer(maps, step) for step in steps]
    so_far = [overlay(maps.image, answer, labels, 0.7) for answer in answers]
    moved = [np.mean(a != b) for a, b in zip(answers[1:], answers, strict=False)]
    parts = {s: maps.parts[s][..., view.class_index] for s in strides}
    limit = max(float(np.abs(part).max()) for part in parts.values()) or 1.0
    grid = maps.first, min(strides), maps.image.shape[:2]
    scores = [_shaded(spread_out(parts[s] * view.weights[s] / limit, *grid)) for s in strides]
    top = [_framed(view), so_far[-1]]
    told = ["image, and what each stride sees", f"answer: {_score(view, answers[-1])}"]
    if maps.truth is not None:
        top.append(overlay(maps.image, maps.truth, labels, 0.7))
        told.append("truth")
        answers.append(maps.truth)
    weights = [f"stride {s} × {view.weights[s]:.2f}" for s in strides]
    return picture_grid(
        [top, scores, so_far],
        ["", f"scores of {labels.classes[view.class_index]}", "answer so far"],
        title=title,
        legend_of=(labels, np.unique(answers)),
        captions=[told, weights, ["alone", *(f"moves {100 * m:.1f} %" for m in moved)]],
        marks={(0, column): np.array([[view.column, view.row]]) for column in (0, 1)},
    )


def _framed(view: View) -> np.ndarray:
    """Return the image with a frame around what the unit of each stride nearest the pixel sees."""
    picture, size = view.maps.image.copy(), view.maps.image.shape[:2]
    thick = max(size) // 120 + 1
    fields = what_if.receptive_fields(view.maps, view.row, view.column)
    for number, ends in enumerate(fields.values()):
        inset = 2 * thick * number  # frames beyond the image's border lie side by side along it
        low = [min(max(end, inset), n - 1) for end, n in zip(ends[:2], size, strict=True)]
        high = [max(min(end + 1, n - inset), 1) for end, n in zip(ends[2:], size, strict=True)]
        inside = np.ones((max(high[0] - low[0], 0), max(high[1] - low[1], 0)), bool)
        inside[thick:-thick, thick:-thick] = False
        colour = np.array(to_rgb(LINE_COLOURS[number])) * 255
        picture[low[0] : high[0], low[1] : high[1]][inside] = colour.round()
    return picture


def _shaded(share: np.ndarray) -> np.ndarray:
    """Return purple for -1, white for 0, orange for 1, uint8 [H, W, 3]."""
    root = np.sign(share) * np.sqrt(np.abs(share).clip(0, 1))
    return matplotlib.colormaps["PuOr_r"]((root + 1) / 2, bytes=True)[..., :3]


def _score(view: View, answer: np.ndarray) -> str:
    maps, count = view.maps, view.labels.num_classes
    if maps.truth is None:
        return f"{100 * np.mean(answer != maps.own):.1f} % changed"
    matrices = (metrics.confusion_matrix(maps.truth, m, count) for m in (answer, maps.own))
    now, own = (metrics.scores(matrix).mean_iou for matrix in matrices)
    return f"mean IoU {now:.3f}, own {own:.3f}"
