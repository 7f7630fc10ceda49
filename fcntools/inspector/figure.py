"""The picture of the skip inspector: one PNG of one width, drawn anew at every move of a slider."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from fcnlib import metrics
from fcntools.figures.pictures import overlay, spread_out
from fcntools.figures.style import DPI, blank_figure, title_height
from fcntools.inspector import what_if
from fcntools.inspector.account import (
    ACCOUNT_HEIGHT,
    MARGIN,
    SMALL,
    STRIDE_COLOURS,
    WIDTH,
    draw_account,
    stride_key,
)
from fcntools.inspector.sheet import SOFT, Sheet
from fcntools.inspector.what_if import Reading, View

ALT = (
    "The skip inspector: the image with what each stride sees, the answer, the score maps of every "
    "stride and the answer after each, and the scores of one pixel taken apart."
)
_GAP, _HEAD = 10, 40
_TALLEST = 330  # of the large pictures
# Purple speaks against a class, orange for it.
_SHADES = np.round(255 * matplotlib.colormaps["PuOr_r"](np.linspace(0, 1, 256))[:, :3])


def draw(view: View, scale: float = 1.0, compact: bool = False) -> bytes:
    """Draw a view: image and answer, score maps and the answer after each, and one pixel's account.

    Args:
        view: what to show.
        scale: pixels a unit; the picture is 1080 units wide.
        compact: spend time on a small file, for a notebook that keeps it.

    Returns:
        A PNG file. Its size follows from the image's, the number of skips and `scale` alone.
    """
    reading = view.reading
    big, small = _sizes(reading)
    sheet = Sheet(WIDTH, _HEAD + big[1] + _GAP + ACCOUNT_HEIGHT, scale)
    answers = _answers(reading, view.weights)
    _draw_image(sheet, view, big)
    _draw_answer(sheet, view, answers[min(answers)], MARGIN + big[0] + _GAP, big)
    _draw_skips(sheet, view, answers, MARGIN + 2 * (big[0] + _GAP), small)
    draw_account(sheet, view, _HEAD + big[1] + _GAP)
    return sheet.png(compact)


def pixel_at(reading: Reading, across: float, down: float) -> tuple[int, int] | None:
    """Find the pixel of the image that a place in the picture shows.

    Args:
        reading: what is drawn.
        across: of the place, share of the picture's width.
        down: likewise of its height.

    Returns:
        (row, column); None where neither the image nor the answer is.
    """
    (width, height), _ = _sizes(reading)
    x, y = across * WIDTH - MARGIN, down * (_HEAD + height + _GAP + ACCOUNT_HEIGHT) - _HEAD
    x = x - width - _GAP if x > width else x  # the answer, right of the image
    rows, columns = reading.image.shape[:2]
    row, column = int(y / height * rows // 1), int(x / width * columns // 1)
    return (row, column) if 0 <= row < rows and 0 <= column < columns else None


def figure(view: View, title: str) -> Figure:
    """Draw a view as a figure, for a report that no one can touch.

    Args:
        view: what to show.
        title: the finding.

    Returns:
        The figure.
    """
    picture = np.asarray(Image.open(io.BytesIO(draw(view, scale=2))))
    wide, aspect = WIDTH / DPI, picture.shape[0] / picture.shape[1]
    sheet = blank_figure(wide, wide * aspect + title_height(title, wide), title)
    axes = sheet.subplots()
    axes.imshow(picture)
    axes.set_axis_off()
    return sheet


def _answers(reading: Reading, weights: Mapping[int, float]) -> dict[int, np.ndarray]:
    """Return {stride: classes after its skip}, by two threads.

    A slider changes nothing before its own skip: what was found the last times is kept.
    """

    def after(stride: int) -> np.ndarray:
        return _after(reading, stride, *((s, w) for s, w in weights.items() if s >= stride))

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(reading.strides, pool.map(after, reading.strides), strict=True))


@functools.lru_cache(maxsize=8)
def _after(reading: Reading, stride: int, *weights: tuple[int, float]) -> np.ndarray:
    return what_if.answer(reading, dict(weights), stride)


def _sizes(reading: Reading) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return (width, height) of the two large pictures and of the small ones, two to a column.

    Together they fill the width, unless that would make the large ones too tall.
    """
    height, width = reading.image.shape[:2]
    count, aspect = len(reading.strides), height / width
    room = WIDTH - 2 * MARGIN - (1 + count) * _GAP
    tall = min((room * aspect + count * _HEAD / 2) / (2 + count / 2), _TALLEST)
    low = (tall - _HEAD) / 2
    return (tall / aspect, tall), (low / aspect, low)


def _draw_image(sheet: Sheet, view: View, size: tuple[float, float]) -> None:
    reading, unit = view.reading, size[0] / view.reading.image.shape[1]
    sheet.text(MARGIN, 15, "the image", bold=True)
    sheet.paste(MARGIN, _HEAD, sheet.fit(reading.image, size))
    x = MARGIN + sheet.text(MARGIN, _HEAD - 7, "what is seen by stride", size=SMALL, colour=SOFT)
    x += 7
    fields = what_if.receptive_fields(reading, view.row, view.column)
    for number, (stride, box) in enumerate(fields.items(), 1):
        _draw_frame(sheet, box, unit, size, 2.5 * number, STRIDE_COLOURS[stride])
        x = stride_key(sheet, x, _HEAD - 7, stride, str(stride))
    _mark(sheet, view, MARGIN, unit)


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
    x0, x1, y0, y1 = x0 + MARGIN, x1 + MARGIN, y0 + _HEAD, y1 + _HEAD
    lines = ((x0, y0, x0, y1), (x0, y0, x1, y0), (x1, y0, x1, y1), (x0, y1, x1, y1))
    for line, beyond in zip(lines, cut, strict=True):
        sheet.line(*line, colour, dashed=beyond)


def _mark(sheet: Sheet, view: View, left: float, unit: float) -> None:
    sheet.ring(left + (view.column + 0.5) * unit, _HEAD + (view.row + 0.5) * unit)


def _draw_answer(sheet: Sheet, view: View, now: np.ndarray, x: float, size) -> None:
    reading, truth = view.reading, view.reading.truth
    picture = _painted(sheet, view, now, size)
    words = f"{100 * (now != reading.own).mean():.1f} % of the pixels changed"
    if truth is not None:
        picture[_outline(sheet.fit(truth, size))] = 255
        ious = (_mean_iou(truth, found, view.labels.num_classes) for found in (now, reading.own))
        words = "mean IoU {:.3f}, with all weights 1: {:.3f}".format(*ious)
    end = x + sheet.text(x, 15, "the answer", bold=True) + 8
    if truth is not None:
        sheet.text(end, 15, "white: borders of the truth", size=SMALL, colour=SOFT)
    sheet.text(x, _HEAD - 7, words, size=SMALL, colour=SOFT)
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
    maps = {s: m[..., view.class_index] for s, m in view.reading.votes.items()}
    limit = max(float(np.abs(m).max()) for m in maps.values()) or 1.0
    name, second = view.labels.classes[view.class_index], 2 * _HEAD + size[1]
    sheet.text(left, 15, f"what each skip says of {name}", bold=True)
    _draw_ramp(sheet, limit)
    sheet.text(left, second - 25, "the answer so far", bold=True)
    for number, (stride, scores) in enumerate(maps.items()):
        x = left + number * (size[0] + _GAP)
        weight = view.weights[stride]
        stride_key(sheet, x, _HEAD - 7, stride, f"stride {stride} × {weight:.2f}")
        blocks = spread_out(scores * weight, 0, stride, view.reading.image.shape[:2])
        sheet.paste(x, _HEAD, _shaded(sheet.fit(_shade(blocks, limit), size)))
        words = "alone"
        if number:
            moved = answers[stride] != answers[view.reading.strides[number - 1]]
            words = f"moves {100 * moved.mean():.1f} %"
        stride_key(sheet, x, second - 7, stride, words)
        sheet.paste(x, second, _painted(sheet, view, answers[stride], size))


def _shade(values: np.ndarray, limit: float) -> np.ndarray:
    # The finer a skip, the smaller its scores: on a linear scale only the coarsest would show.
    share = np.clip(values / limit, -1, 1)
    return np.round((np.sign(share) * np.sqrt(np.abs(share)) + 1) * 127.5).astype(np.uint8)


def _shaded(shades: np.ndarray) -> np.ndarray:
    return _SHADES[shades].astype(np.uint8)


def _draw_ramp(sheet: Sheet, limit: float) -> None:
    right, words = WIDTH - MARGIN, f"+{limit:.0f} (√)"
    right -= sheet.text(right, 15, words, size=SMALL, colour=SOFT, anchor="rs") + 64
    ramp = np.linspace(0, 255, sheet.pixels(60)).astype(np.uint8)
    sheet.paste(right, 6, _shaded(np.repeat(ramp[None], sheet.pixels(10), axis=0)))
    sheet.text(right - 4, 15, f"−{limit:.0f}", size=SMALL, colour=SOFT, anchor="rs")
