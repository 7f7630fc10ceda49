"""Data sets: records on disk, one reader a layout; `FORMATS` names all that can be opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fcnlib.datasets import camvid, folder, scene_parsing, voc
from fcnlib.datasets.image_io import describe_image, read_image, read_mask, read_pair
from fcnlib.datasets.records import Dataset, Record, files_in
from fcnlib.errors import InputError

__all__ = ["FORMATS", "GENERATED", "Dataset", "Format", "Record", "describe_image", "files_in"]
__all__ += ["open_dataset", "read_image", "read_mask", "read_pair"]


class Format(NamedTuple):
    """How a data set is opened, and one line about it for `fcnlib data list`."""

    open: Callable[[Path], Dataset]
    about: str


# fcntools.synthetic adds the generated data sets and the packed ones.
FORMATS = {
    "camvid": Format(camvid.open_camvid, "street scenes, 11 classes: train 367, val 101, test 233"),
    "voc2012": Format(voc.open_voc, "PASCAL VOC 2012, 21 classes: train 1464, val 1449"),
    "sbd": Format(voc.open_sbd, "SBD and VOC 2012, 21 classes: trainaug 10582, val 1449, and more"),
    "scene-parsing": Format(
        scene_parsing.open_scene_parsing,
        "MIT Scene Parsing (ADE20K), 150 classes: train 20210, val 2000",
    ),
    "folder": Format(folder.open_folder, "your own images and masks, described by a dataset.yaml"),
}
# {generated data set: the section of the settings that says how it is made}
GENERATED = {"shapes": "shapes", "scenes": "scenes", "streets": "scenes"}


def open_dataset(name: str, root: Path, faulty: bool = False) -> Dataset:
    """Return a data set by name, opened.

    Args:
        name: one of `FORMATS`.
        root: its folder.
        faulty: open it in spite of faults in its lists and pairs, to look at them.

    Raises:
        InputError: no such name, the folder holds no such data set, or its lists have a fault.
    """
    if name not in FORMATS:
        raise InputError(f"no data set {name!r}; there are: {', '.join(FORMATS)}")
    dataset = FORMATS[name].open(Path(os.path.expanduser(root)))
    if dataset.faults and not faulty:
        rest = len(dataset.faults) - 1
        more = f" (and {rest} more; `fcnlib data check` lists them)" if rest else ""
        raise InputError(dataset.faults[0] + more)
    return dataset
