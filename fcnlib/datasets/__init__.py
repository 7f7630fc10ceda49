"""Data sets: records on disk, one file a format, and the generator of `shapes`."""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets import camvid, shapes, voc
from fcnlib.datasets.records import Dataset, Record, read_image, read_mask, read_pair
from fcnlib.errors import InputError

__all__ = [
    "Dataset",
    "Record",
    "camvid",
    "names",
    "open_dataset",
    "read_image",
    "read_mask",
    "read_pair",
    "shapes",
    "voc",
]

_OPENERS = {"shapes": shapes.open_shapes, "camvid": camvid.open_camvid, "voc2012": voc.open_voc}


def names() -> tuple[str, ...]:
    """Return the names of the data sets that can be opened."""
    return tuple(_OPENERS)


def open_dataset(name: str, root: Path) -> Dataset:
    """Open a data set by name.

    Args:
        name: one of `names()`.
        root: its folder.

    Returns:
        The data set.

    Raises:
        InputError: no such name, or the folder does not hold that data set.
    """
    if name not in _OPENERS:
        raise InputError(f"no data set {name!r}; there are: {', '.join(_OPENERS)}")
    return _OPENERS[name](Path(root))
