"""The foot of the skip inspector's picture: one pixel's account, skip by skip, and the legend."""

from __future__ import annotations

import numpy as np

from fcnlib.labels import LabelSet
from fcnlib.network import SKIPS
from fcntools.figures.style import LINE_COLOURS
from fcntools.inspector import what_if
from fcntools.inspector.sheet import INK, PALE, SOFT, Sheet
from fcntools.inspector.what_if import View

WIDTH = 1080  # units
MARGIN, SMALL = 10, 10.5
STRIDE_COLOURS = dict(zip(SKIPS, LINE_COLOURS, strict=False))
_HEAD, _LINE = 40, 18
_BARS = 5  # classes shown of a pixel
_MOST = 2.0  # the greatest weight of a slider, for which the bars have room
ACCOUNT_HEIGHT = _HEAD + _BARS * _LINE + 12 + _LINE + MARGIN


def stride_key(sheet: Sheet, x: float, y: float, stride: int, words: str) -> float:
    """Write words behind the colour of a stride.

    Args:
        sheet: to draw on.
        x: of the left side, units.
        y: of the baseline, units.
        stride: whose colour.
        words: what to write.

    Returns:
        Where the next one may begin, units.
    """
    sheet.box(x, y - 8, x + 9, y + 1, STRIDE_COLOURS[stride])
    return x + 13 + sheet.text(x + 13, y, words, size=SMALL, colour=SOFT) + 10


def draw_account(sheet: Sheet, view: View, top: float) -> None:
    """Draw what comes of each class at the view's pixel, and the legend of the classes.

    Args:
        sheet: to draw on, `WIDTH` units wide.
        view: what to show.
        top: of the free space, units; it takes `ACCOUNT_HEIGHT` of it.
    """
    reading, labels = view.reading, view.labels
    found = what_if.probe(reading, view.weights, view.row, view.column)
    words = f"the pixel in row {view.row}, column {view.column}"
    end = MARGIN + sheet.text(MARGIN, top + 15, words, bold=True) + 10
    if reading.truth is not None:
        value = reading.truth[view.row, view.column]
        name = labels.classes[value] if value < labels.num_classes else "void"
        sheet.text(end, top + 15, f"in truth {name}", size=SMALL, colour=SOFT)
    sheet.text(MARGIN, top + 31, "probability of a class", size=SMALL, colour=SOFT)
    x = 430
    sheet.text(x, top + 15, "what each skip adds to the score of a class", bold=True)
    for stride in reading.strides:
        x = stride_key(sheet, x, top + 31, stride, f"stride {stride}")
    sheet.box(x, top + 22, x + 3, top + 32, INK)
    sheet.text(x + 8, top + 31, "their sum", size=SMALL, colour=SOFT)
    own = what_if.probe(reading, {}, view.row, view.column)
    shown = _classes_shown(own.probabilities, view.class_index)
    room = _MOST * max(sum(abs(part[c]) for part in own.contributions.values()) for c in shown)
    for number, index in enumerate(shown):
        y = top + _HEAD + number * _LINE
        _draw_probability(sheet, y, labels, index, found.probabilities[index])
        _draw_sum(sheet, y, {s: c[index] for s, c in found.contributions.items()}, room or 1.0)
    _draw_legend(sheet, view, top + ACCOUNT_HEIGHT - MARGIN)


def _classes_shown(likely: np.ndarray, always: int) -> list[int]:
    """Choose the likeliest classes at weights 1, so that rows stay while a slider moves."""
    shown = [int(c) for c in np.argsort(-likely, kind="stable")[:_BARS]]
    return shown if always in shown else [*shown[:-1], always]


def _draw_probability(sheet: Sheet, y: float, labels: LabelSet, index: int, share: float) -> None:
    left, wide = MARGIN + 118, 210
    sheet.text(left - 8, y + 9, labels.classes[index], anchor="rm", size=11)
    sheet.box(left, y + 2, left + wide, y + 15, PALE)
    sheet.box(left, y + 2, left + wide * share, y + 15, labels.palette[index])
    sheet.text(left + wide + 8, y + 9, f"{100 * share:.1f} %", anchor="lm", size=11)


def _draw_sum(sheet: Sheet, y: float, parts: dict[int, float], room: float) -> None:
    left, right = 430, WIDTH - MARGIN - 50
    zero, unit = (left + right) / 2, (right - left) / 2 / room
    sheet.box(left, y + 2, right, y + 15, PALE)
    ends = {1: zero, -1: zero}
    for stride, part in parts.items():
        side = 1 if part > 0 else -1
        sheet.box(ends[side], y + 2, ends[side] + part * unit, y + 15, STRIDE_COLOURS[stride])
        ends[side] += part * unit
    total = sum(parts.values())
    sheet.box(zero - 0.5, y, zero + 0.5, y + 17, SOFT)
    sheet.box(zero + total * unit - 1.5, y, zero + total * unit + 1.5, y + 17, INK)
    words = f"{total:+.1f}".replace("-", "−")
    sheet.text(right + 8, y + 9, words, anchor="lm", size=11)


def _draw_legend(sheet: Sheet, view: View, y: float) -> None:
    """Name the classes of truth and answer at weights 1, as many as the line holds."""
    reading, labels, x = view.reading, view.labels, float(MARGIN)
    known = [reading.own] if reading.truth is None else [reading.own, reading.truth]
    for index in np.unique(np.concatenate([m.ravel() for m in known])):
        if index >= labels.num_classes or x > WIDTH - 130:
            continue
        sheet.box(x - 1, y - 10, x + 11, y + 2, SOFT)
        sheet.box(x, y - 9, x + 10, y + 1, labels.palette[index])
        x += 14 + sheet.text(x + 14, y, labels.classes[index], size=SMALL) + 14
