"""The skip inspector as one HTML file: images and scores inside, fused by the browser itself."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from PIL import Image

from fcnlib.labels import LabelSet
from fcnlib.runtime.files import write_text
from fcntools.inspector.account import STRIDE_COLOURS
from fcntools.inspector.what_if import Reading, landmark, receptive_fields

INSPECTOR = "inspector.html"  # beside index.html of a run
_BITS = 16  # of a stored score; with 8, one pixel in two thousand changes its class
_TEMPLATES = Path(__file__).resolve().parent


def write_inspector(
    path: Path,
    readings: Mapping[str, Reading],
    labels: LabelSet,
    network: str,
    back: str = "",
) -> Path:
    """Write the page: it asks no server for anything and opens from disk, on a phone, too.

    Args:
        path: of the page.
        readings: {name of an image: what the network says about it}, all by one network.
        labels: names and colours of the classes.
        network: its name.
        back: the page to link back to; "" for none.

    Returns:
        The path.
    """
    first = next(iter(readings.values()))
    data = {
        "network": network,
        "classes": labels.classes,
        "colours": labels.palette.tolist(),
        "background": labels.classes[0] == "background",
        "stride": min(first.strides),
        "strides": first.strides,
        "strideColours": [STRIDE_COLOURS[stride] for stride in first.strides],
        "images": [_image(name, reading) for name, reading in readings.items()],
    }
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # Inside a script element nothing is unescaped, and only "</" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    template = environment.get_template("inspector.html")
    write_text(path, template.render(data=data, json=text, back=back, bits=_BITS))
    return path


def _image(name: str, reading: Reading) -> dict[str, Any]:
    height, width = reading.image.shape[:2]
    rows, columns = next(iter(reading.parts.values())).shape[:2]
    boxes = receptive_fields(reading, 0, 0)
    return {
        "name": name,
        "width": width,
        "height": height,
        "rows": rows,
        "columns": columns,
        "picture": _data_uri(reading.image),
        "truth": None if reading.truth is None else _runs(reading.truth),
        "parts": [_quantized(reading.parts[stride]) for stride in reading.strides],
        # centre of the unit next to the first pixel, and how far it sees: [row, column, reach]
        "fields": [
            [(top + bottom) / 2, (left + right) / 2, (bottom - top) / 2]
            for top, left, bottom, right in boxes.values()
        ],
        "start": landmark(reading),
    }


def _data_uri(image: np.ndarray) -> str:
    data = io.BytesIO()
    Image.fromarray(image).save(data, "jpeg", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _runs(mask: np.ndarray) -> list[int]:
    """Return a mask as value, count, value, count, ... in reading order."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    counts = np.diff([*starts, flat.size])
    return np.column_stack([flat[starts], counts]).ravel().tolist()


def _quantized(part: np.ndarray) -> dict[str, Any]:
    """Return scores float32 [h, w, C] as 16 bits a value between the least and greatest of a class.

    "bytes" is little-endian uint16 [C, h, w] in base64; a score is low[c] + step[c] * value.
    """
    planes = np.moveaxis(part, -1, 0).astype(np.float64)
    low, high = planes.min(axis=(1, 2)), planes.max(axis=(1, 2))
    step = np.maximum(high - low, 1e-9) / (2**_BITS - 1)
    levels = np.round((planes - low[:, None, None]) / step[:, None, None]).astype("<u2")
    return {
        "bytes": base64.b64encode(levels.tobytes()).decode(),
        "low": [float(f"{v:.7g}") for v in low],
        "step": [float(f"{v:.7g}") for v in step],
    }
