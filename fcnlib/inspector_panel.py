"""The picture of the skip inspector: one PNG of one width, drawn anew at every move of a slider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib
import numpy as np

from fcnlib import inspector, metrics
from fcnlib.inspector import Reading
from fcnlib.labels import LabelSet
from fcnlib.network import SKIPS
from fcnlib.plotting import LINE_COLOURS, overlay, spread_out
from fcnlib.sheet import INK, PALE, SOFT, Sheet

WIDTH = 1080  # units
STRIDE_COLOURS = dict(zip(SKIPS, LINE_COLOURS, strict=False))
_MARGIN, _GAP, _HEAD, _LINE, _SMALL = 10, 10, 40, 18, 10.5
_TALLEST = 330  # of the large pictures
_BARS = 5  # classes shown of a pixel
_FOOT = _GAP + _HEAD + _BARS * _LINE + _MARGIN
_MOST = 2.0  # the greatest weight of a slider, for which the bars have room
# Purple speaks against a class, orange for it.
_SHADES = np.round(255 * matplotlib.colormaps["PuOr_r"](np.linspace(0, 1, 256))[:, :3])


@dataclass(frozen=True, eq=False)
class View:
    """What to show of a reading.

    Attributes:
        reading: the image as a network reads it.
        labels: names and colours of the classes.
        class_index: whose score maps to show.
        weights: {stride: factor on its score map}, every stride of the reading.
        row: of the pixel to take apart.
        column: of that pixel.
    """

    reading: Reading
    labels: LabelSet
    class_index: int
    weights: Mapping[int, float]
    row: int
    column: int


def draw(view: View, scale: float = 1.0) -> bytes:
    """Draw a view: image and answer, score maps and the answer after each, and one pixel's account.

    Args:
        view: what to show.
        scale: pixels a unit; the picture is 1080 units wide.

    Returns:
        A PNG file. Its size follows from the image's, the number of skips and `scale` alone.
    """
    reading = view.reading
    big, small = _sizes(reading)
    sheet = Sheet(WIDTH, _HEAD + big[1] + _FOOT, scale)
    answers = {s: inspector.answer(reading, view.weights, s) for s in reading.strides}
    _draw_image(sheet, view, big)
    _draw_answer(sheet, view, answers[min(answers)], _MARGIN + big[0] + _GAP, big)
    _draw_skips(sheet, view, answers, _MARGIN + 2 * (big[0] + _GAP), small)
    _draw_pixel(sheet, view, _HEAD + big[1] + _GAP)
    return sheet.png()


def _sizes(reading: Reading) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (width, height) of the two large pictures and of the small ones, two to a column.

    Together they fill the width, unless that would make the large ones too tall.
    """
    height, width = reading.image.shape[:2]
    count, aspect = len(reading.strides), height / width
    room = WIDTH - 2 * _MARGIN - (1 + count) * _GAP
    tall = min((room * aspect + count * _HEAD / 2) / (2 + count / 2), _TALLEST)
    low = (tall - _HEAD) / 2
    return (tall / aspect, tall), (low / aspect, low)


def _draw_image(sheet: Sheet, view: View, size: tuple[float, float]) -> None:
    reading, unit = view.reading, size[0] / view.reading.image.shape[1]
    sheet.text(_MARGIN, 15, "the image", bold=True)
    sheet.paste(_MARGIN, _HEAD, sheet.fit(reading.image, size))
    x = _MARGIN + sheet.text(
        _MARGIN, _HEAD - 7, "what is seen by stride ", size=_SMALL, colour=SOFT
    )
    fields = inspector.receptive_fields(reading, view.row, view.column)
    for number, (stride, box) in enumerate(fields.items(), 1):
        _draw_frame(sheet, box, unit, size, 2.5 * number, STRIDE_COLOURS[stride])
        x = _key(sheet, x, _HEAD - 7, stride, str(stride))
    _mark(sheet, view, _MARGIN, unit)


def _draw_frame(sheet: Sheet, box, unit: float, size, inset: float, colour: str) -> None:
    """Frame what a unit sees; a side beyond the image is dashed along the image's border."""
    left, top, right, bottom = (
        box[1] * unit,
        box[0] * unit,
        (box[3] + 1) * unit,
        (box[2] + 1) * unit,
    )
    most = (inset, inset, size[0] - inset, size[1] - inset)
    cut = (left < most[0], top < most[1], right > most[2], bottom > most[3])
    sides = zip((left, top, right, bottom), most, cut, strict=True)
    x0, y0, x1, y1 = (limit if beyond else place for place, limit, beyond in sides)
    x0, x1, y0, y1 = x0 + _MARGIN, x1 + _MARGIN, y0 + _HEAD, y1 + _HEAD
    lines = ((x0, y0, x0, y1), (x0, y0, x1, y0), (x1, y0, x1, y1), (x0, y1, x1, y1))
    for line, beyond in zip(lines, cut, strict=True):
        sheet.line(*line, colour, dashed=beyond)


def _key(sheet: Sheet, x: float, y: float, stride: int, words: str) -> float:
    sheet.box(x, y - 8, x + 9, y + 1, STRIDE_COLOURS[stride])
    return x + 13 + sheet.text(x + 13, y, words, size=_SMALL, colour=SOFT) + 10


def _mark(sheet: Sheet, view: View, left: float, unit: float) -> None:
    sheet.ring(left + (view.column + 0.5) * unit, _HEAD + (view.row + 0.5) * unit)


def _draw_answer(sheet: Sheet, view: View, now: np.ndarray, x: float, size) -> None:
    reading, truth = view.reading, view.reading.truth
    own = inspector.answer(reading)
    picture = _painted(sheet, view, now, size)
    words = f"{100 * (now != own).mean():.1f} % of the pixels changed"
    if truth is not None:
        picture[_outline(sheet.fit(truth, size))] = 255
        ious = (_mean_iou(truth, found, view.labels.num_classes) for found in (now, own))
        words = "mean IoU {:.3f}, with all weights 1: {:.3f}".format(*ious)
    end = x + sheet.text(x, 15, "the answer", bold=True) + 8
    if truth is not None:
        sheet.text(end, 15, "white: borders of the truth", size=_SMALL, colour=SOFT)
    sheet.text(x, _HEAD - 7, words, size=_SMALL, colour=SOFT)
    sheet.paste(x, _HEAD, picture)
    _mark(sheet, view, x, size[0] / now.shape[1])


def _painted(sheet: Sheet, view: View, mask: np.ndarray, size) -> np.ndarray:
    return overlay(sheet.fit(view.reading.image, size), sheet.fit(mask, size), view.labels, 0.7)


def _outline(mask: np.ndarray) -> np.ndarray:
    edge = np.zeros(mask.shape, bool)
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    edge[1:] |= mask[1:] != mask[:-1]
    return edge


def _mean_iou(truth: np.ndarray, found: np.ndarray, num_classes: int) -> float:
    return metrics.scores(metrics.confusion_matrix(truth, found, num_classes)).mean_iou


def _draw_skips(
    sheet: Sheet, view: View, answers: dict[int, np.ndarray], left: float, size
) -> None:
    maps = {s: m[..., view.class_index] for s, m in view.reading.scores.items()}
    limit = max(float(np.abs(m).max()) for m in maps.values()) or 1.0
    name, second = view.labels.classes[view.class_index], 2 * _HEAD + size[1]
    end = left + sheet.text(left, 15, f"what each skip says of {name}", bold=True) + 12
    _draw_ramp(sheet, end, limit)
    sheet.text(left, second - 25, "the answer so far", bold=True)
    for number, (stride, scores) in enumerate(maps.items()):
        x = left + number * (size[0] + _GAP)
        weight = view.weights[stride]
        _key(sheet, x, _HEAD - 7, stride, f"stride {stride} × {weight:.2f}")
        blocks = spread_out(scores * weight, 0, stride, view.reading.image.shape[:2])
        sheet.paste(x, _HEAD, _shaded(sheet.fit(_shade(blocks, limit), size)))
        words = "alone"
        if number:
            moved = answers[stride] != answers[view.reading.strides[number - 1]]
            words = f"moves {100 * moved.mean():.1f} %"
        _key(sheet, x, second - 7, stride, words)
        sheet.paste(x, second, _painted(sheet, view, answers[stride], size))


def _shade(values: np.ndarray, limit: float) -> np.ndarray:
    return np.clip(np.round((values / limit + 1) * 127.5), 0, 255).astype(np.uint8)


def _shaded(shades: np.ndarray) -> np.ndarray:
    return _SHADES[shades].astype(np.uint8)


def _draw_ramp(sheet: Sheet, x: float, limit: float) -> None:
    x += sheet.text(x, 15, f"−{limit:.0f}", size=_SMALL, colour=SOFT) + 4
    ramp = np.linspace(0, 255, sheet.pixels(60)).astype(np.uint8)
    sheet.paste(x, 6, _shaded(np.repeat(ramp[None], sheet.pixels(10), axis=0)))
    sheet.text(x + 64, 15, f"+{limit:.0f}", size=_SMALL, colour=SOFT)


def _draw_pixel(sheet: Sheet, view: View, top: float) -> None:
    reading, labels = view.reading, view.labels
    found = inspector.probe(reading, view.weights, view.row, view.column)
    words = f"the pixel in row {view.row}, column {view.column}"
    end = _MARGIN + sheet.text(_MARGIN, top + 15, words, bold=True) + 10
    if reading.truth is not None:
        value = reading.truth[view.row, view.column]
        name = labels.classes[value] if value < labels.num_classes else "void"
        sheet.text(end, top + 15, f"in truth {name}", size=_SMALL, colour=SOFT)
    sheet.text(_MARGIN, top + 31, "probability of a class", size=_SMALL, colour=SOFT)
    x = 430
    sheet.text(x, top + 15, "what each skip adds to the score of a class", bold=True)
    for stride in reading.strides:
        x = _key(sheet, x, top + 31, stride, f"stride {stride}")
    sheet.box(x, top + 22, x + 3, top + 32, INK)
    sheet.text(x + 8, top + 31, "their sum", size=_SMALL, colour=SOFT)
    shown = _classes_shown(view)
    room = max(sum(abs(m[..., c]).max() for m in reading.parts.values()) for c in shown) * _MOST
    for number, index in enumerate(shown):
        y = top + _HEAD + number * _LINE
        _draw_probability(sheet, y, labels, index, found.probabilities[index])
        _draw_sum(sheet, y, {s: c[index] for s, c in found.contributions.items()}, room or 1.0)


def _classes_shown(view: View) -> list[int]:
    """Choose the likeliest classes at weights 1, so that rows stay while a slider moves."""
    likely = inspector.probe(view.reading, {}, view.row, view.column).probabilities
    shown = [int(c) for c in np.argsort(-likely, kind="stable")[:_BARS]]
    return shown if view.class_index in shown else [*shown[:-1], view.class_index]


def _draw_probability(sheet: Sheet, y: float, labels: LabelSet, index: int, share: float) -> None:
    left, wide = _MARGIN + 118, 210
    sheet.text(left - 8, y + 9, labels.classes[index], anchor="rm", size=11)
    sheet.box(left, y + 2, left + wide, y + 15, PALE)
    sheet.box(left, y + 2, left + wide * share, y + 15, labels.palette[index])
    sheet.text(left + wide + 8, y + 9, f"{100 * share:.1f} %", anchor="lm", size=11)


def _draw_sum(sheet: Sheet, y: float, parts: dict[int, float], room: float) -> None:
    left, right = 430, WIDTH - _MARGIN - 50
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
    sheet.text(right + 8, y + 9, f"{total:+.1f}", anchor="lm", size=11)
