"""The numbers of the field, with source and protocol, from `published.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd

_FILE = Path(__file__).with_name("published.toml")
_METRICS = ("mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")


def tables() -> pd.DataFrame:
    """Return every published row.

    Returns:
        Columns network, the four metrics (percent, NaN where not published), parameters, data,
        split, images (NaN where not published), protocol, source.
    """
    tree = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    lines = []
    for table in tree["table"]:
        shared = {k: table.get(k) for k in ("data", "split", "images", "protocol", "source")}
        lines += [row | shared for row in table["rows"]]
    first = ["network", *_METRICS, "parameters"]
    frame = pd.DataFrame(lines)
    return frame[[*first, *(c for c in frame if c not in first)]]


def comparable(data: str, split: str, images: int) -> pd.DataFrame:
    """Return the rows of `tables` that were measured on the same images as ours.

    Args:
        data: name of the data set.
        split: that was scored.
        images: how many of them.
    """
    frame = tables()
    same = (frame["data"] == data) & (frame["split"] == split) & (frame["images"] == images)
    return frame[same].reset_index(drop=True)
