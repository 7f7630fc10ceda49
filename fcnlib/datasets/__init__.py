"""Data sets: records on disk, one file a format, and the generators of `shapes` and `scenes`."""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets import camvid, folder, sbd, scene_parsing, shapes, voc
from fcnlib.datasets.reading import describe_image, read_image, read_mask, read_pair
from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError

__all__ = [
    "Dataset",
    "Record",
    "camvid",
    "describe_image",
    "names",
    "open_dataset",
    "read_image",
    "read_mask",
    "read_pair",
    "shapes",
    "voc",
]

_OPENERS = {
    "shapes": shapes.open_shapes,
    "camvid": camvid.open_camvid,
    "voc2012": voc.open_voc,
    "sbd": sbd.open_sbd,
    "scene-parsing": scene_parsing.open_scene_parsing,
    "folder": folder.open_folder,
}


def names() -> tuple[str, ...]:
    """Return the names of the data sets that can be opened."""
    return tuple(_OPENERS)


def open_dataset(name: str, root: Path, faulty: bool = False) -> Dataset:
    """Open a data set by name.

    Args:
        name: one of `names()`.
        root: its folder.
        faulty: open it in spite of faults in its lists and pairs, to look at them.

    Returns:
        The data set.

    Raises:
        InputError: no such name, the folder does not hold that data set, or its lists and pairs
            have a fault.
    """
    if name not in _OPENERS:
        raise InputError(f"no data set {name!r}; there are: {', '.join(_OPENERS)}")
    dataset = _OPENERS[name](Path(root))
    if dataset.faults and not faulty:
        rest = len(dataset.faults) - 1
        more = f" (and {rest} more; `fcnlib data check` lists them)" if rest else ""
        raise InputError(dataset.faults[0] + more)
    return dataset
