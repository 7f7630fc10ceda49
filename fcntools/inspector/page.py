"""What the inspector's JavaScript is given, and the page of a run that holds it in one file."""

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
from fcntools.figures.style import LINE_COLOURS
from fcntools.inspector.what_if import ScoreMaps, landmark, receptive_fields

INSPECTOR = "inspector.html"  # beside index.html of a run
FOLDER = Path(__file__).resolve().parent  # of inspector.html, .css and .js
_BITS = 16  # of a score in the page; with 8, one pixel in two thousand changes its class


def describe_labels(labels: LabelSet) -> dict[str, Any]:
    """Return names and colours of the classes, as inspector.js takes them."""
    return {
        "classes": labels.classes,
        "colours": labels.palette.tolist(),
        "background": labels.classes[0] == "background",
        "strideColours": LINE_COLOURS,
    }


def describe_maps(name: str, maps: ScoreMaps) -> dict[str, Any]:
    """Return all that inspector.js needs of an image but `parts`, the scores themselves."""
    height, width = maps.image.shape[:2]
    rows, columns = maps.parts[min(maps.parts)].shape[:2]
    picture = io.BytesIO()
    Image.fromarray(maps.image).save(picture, "jpeg", quality=90)
    return {
        "name": name,
        "width": width,
        "height": height,
        "rows": rows,
        "columns": columns,
        "strides": maps.strides,
        "first": maps.first,
        "picture": f"data:image/jpeg;base64,{base64.b64encode(picture.getvalue()).decode()}",
        "truth": None if maps.truth is None else _runs(maps.truth),
        # centre of the unit next to the first pixel, and how far it sees: [row, column, reach]
        "fields": [
            [(top + bottom) / 2, (left + right) / 2, (bottom - top) / 2]
            for top, left, bottom, right in receptive_fields(maps, 0, 0).values()
        ],
        "start": landmark(maps),
    }


def write_inspector(
    path: Path,
    images: Mapping[str, ScoreMaps],
    labels: LabelSet,
    network: str,
    back: str = "",
) -> Path:
    """Write the page: it asks no server for anything and opens from disk, on a phone, too.

    Args:
        path: of the page.
        images: {name of an image: what the network says about it}, all by one network.
        labels: names and colours of the classes.
        network: its name.
        back: the page to link back to; "" for none.

    Returns:
        The path.
    """
    data = describe_labels(labels) | {
        "images": [
            describe_maps(name, maps) | {"parts": [_quantized(p) for p in maps.parts.values()]}
            for name, maps in images.items()
        ]
    }
    # Inside a script element nothing is unescaped, and only "</" could end it.
    text = json.dumps(data, separators=(",", ":")).replace("</", "<\\/")
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True)
    template = environment.get_template("inspector.html")
    write_text(path, template.render(network=network, json=text, back=back, bits=_BITS))
    return path


def _runs(mask: np.ndarray) -> list[int]:
    """Return a mask as value, count, value, count, ... in reading order."""
    flat = mask.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    counts = np.diff([*starts, flat.size])
    return np.column_stack([flat[starts], counts]).ravel().tolist()


def _quantized(part: np.ndarray) -> dict[str, Any]:
    """Return scores float32 [h, w, C] as 16 bits a value between the least and greatest of a class.

    "bytes" is little-endian uint16 [h, w, C] in base64; a score is low[c] + step[c] * value.
    """
    low, high = part.min(axis=(0, 1)).astype(float), part.max(axis=(0, 1)).astype(float)
    step = np.maximum(high - low, 1e-9) / (2**_BITS - 1)
    levels = np.round((part - low) / step).astype("<u2")
    return {
        "bytes": base64.b64encode(levels.tobytes()).decode(),
        "low": [float(f"{v:.7g}") for v in low],
        "step": [float(f"{v:.7g}") for v in step],
    }
