"""PASCAL VOC devkit layout: JPEGImages, SegmentationClass, ImageSets/Segmentation."""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets.records import Dataset, files_in, pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet, make_labels, voc_palette

_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
VOC = make_labels("voc2012", _CLASSES.split(), voc_palette(21))
COUNTS = {"train": 1464, "val": 1449}

IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
LISTS = "ImageSets/Segmentation"


def open_voc(root: Path, labels: LabelSet = VOC, name: str = "voc2012") -> Dataset:
    """Open a folder in the layout of the VOC devkit.

    Args:
        root: the folder that holds JPEGImages, or the VOCdevkit folder above it.
        labels: the label set of the masks.
        name: the name to give the data set.

    Returns:
        The data set; a split for each list in ImageSets/Segmentation.

    Raises:
        InputError: not this layout.

    Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html
    """
    found = find_devkit(root)
    if found is None:
        raise InputError(f"{root}: no VOC devkit here (it has no {LISTS}); see data/README.md")
    lists = files_in(found / LISTS, (".txt",))
    if not lists:
        raise InputError(f"{found / LISTS}: no list of images (such as train.txt) in it")
    faults: list[str] = []
    splits = {
        path.stem: pair_by_name(path, found / IMAGES, found / MASKS, faults) for path in lists
    }
    return Dataset(name, found, labels, splits, tuple(faults))


def find_devkit(root: Path) -> Path | None:
    """Return the folder that holds JPEGImages, at or below `root`; None where there is none."""
    places = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    return next((place for place in places if (place / LISTS).is_dir()), None)
