"""Data sets: records on disk, one file a format."""

from __future__ import annotations

import os
from pathlib import Path

from fcnlib.datasets import camvid, folder, packed, sbd, scene_parsing, voc
from fcnlib.datasets.image_io import describe_image, read_image, read_mask, read_pair
from fcnlib.datasets.records import Dataset, Record, files_in
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES

__all__ = [
    "ABOUT",
    "COUNTS",
    "GENERATED",
    "Dataset",
    "Record",
    "camvid",
    "describe_image",
    "files_in",
    "folder",
    "incomplete",
    "names",
    "open_dataset",
    "read_image",
    "read_mask",
    "read_pair",
    "voc",
]


def _made(root: Path, name: str) -> Path:
    """Return a folder that holds a generated data set of this name, which its stamp says."""
    if not (root / f"{name}.json").is_file():
        raise InputError(
            f"{root}: no {name} here ({name}.json is missing); `fcnlib data make --set "
            f"dataset={name} --set data_dir=DIR` generates them"
        )
    return root


_OPENERS = {
    "shapes": lambda root: voc.open_voc(_made(root, "shapes"), SHAPES, "shapes"),
    "scenes": lambda root: scene_parsing.open_scene_parsing(_made(root, "scenes"), "scenes"),
    "streets": lambda root: camvid.open_camvid(_made(root, "streets"), "streets"),
    "camvid": camvid.open_camvid,
    "voc2012": voc.open_voc,
    "sbd": sbd.open_sbd,
    "scene-parsing": scene_parsing.open_scene_parsing,
    "folder": folder.open_folder,
    "packed": packed.open_packed,
}
# {data set: images of each split as published}; SBD's depend on what lies beside it
COUNTS = {
    "camvid": camvid.COUNTS,
    "voc2012": voc.COUNTS,
    "scene-parsing": scene_parsing.COUNTS,
}


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{split} {count}" for split, count in counts.items())


ABOUT = {
    "shapes": "generated objects on clutter, 9 classes; VOC's layout (fcnlib data make)",
    "scenes": "generated streets, landscapes and rooms, 150 classes; scene parsing's layout",
    "streets": "generated streets, 11 classes; CamVid's layout (fcnlib data make)",
    "camvid": f"street scenes, 11 classes: {_listed(camvid.COUNTS)}",
    "voc2012": f"PASCAL VOC 2012, 21 classes: {_listed(voc.COUNTS)}",
    "sbd": f"SBD and VOC 2012, 21 classes: {_listed(sbd.FULL)}",
    "scene-parsing": f"MIT Scene Parsing (ADE20K), 150 classes: {_listed(scene_parsing.COUNTS)}",
    "folder": "your own images and masks, described by a dataset.yaml",
    "packed": "any of these, packed into TFRecords (fcnlib data pack)",
}
# {data set that is generated: the section of the settings that says how}
GENERATED = {"shapes": "shapes", "scenes": "scenes", "streets": "scenes"}


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
    dataset = _OPENERS[name](Path(os.path.expanduser(root)))
    if dataset.faults and not faulty:
        rest = len(dataset.faults) - 1
        more = f" (and {rest} more; `fcnlib data check` lists them)" if rest else ""
        raise InputError(dataset.faults[0] + more)
    return dataset


def incomplete(dataset: Dataset) -> str:
    """Say what a copy of a published data set lacks.

    Args:
        dataset: opened.

    Returns:
        Such as "train 20 of 1464, val 0 of 1449"; "" where it is whole or none is published.
    """
    found = dataset.counts()
    published = COUNTS.get(dataset.name, {})
    return ", ".join(
        f"{split} {found.get(split, 0)} of {count}"
        for split, count in published.items()
        if found.get(split, 0) != count
    )
