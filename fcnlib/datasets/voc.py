"""PASCAL VOC devkit layout: JPEGImages, SegmentationClass, ImageSets/Segmentation."""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets.records import Dataset, pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import VOC, LabelSet

URL = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar"
MD5 = "6cd6e144f989b92b3379bac3b3de84fd"
COUNTS = {"train": 1464, "val": 1449, "trainval": 2913}

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
        InputError: not this layout, or a list names what is not there.

    Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html
    """
    places = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    found = next((place for place in places if (place / LISTS).is_dir()), None)
    if found is None:
        raise InputError(f"{root}: no VOC devkit here (it has no {LISTS}); see data/README.md")
    lists = sorted((found / LISTS).glob("*.txt"))
    if not lists:
        raise InputError(f"{found / LISTS}: no list of images (such as train.txt) in it")
    images, masks = found / IMAGES, found / MASKS
    splits = {path.stem: pair_by_name(path, images, masks, (".jpg",)) for path in lists}
    return Dataset(name, found, labels, splits)
