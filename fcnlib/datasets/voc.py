"""PASCAL VOC in the layout of its devkit, and SBD, more masks for its images.

Some of VOC's validation images are among SBD's. Three pairs of splits keep the two apart; P, B are
VOC's and SBD's lists:

    val     = P val                        1,449    trainaug   = all others    10,582
    val904  = P val - B train                904    train11127 = all others    11,127
    val346  = P val - B train - B val        346    train11685 = all others    11,685
    seg11valid = VOC 2011's val - B train    736    (where VOC 2011's list is there)
"""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets.records import Dataset, files_in, pair_by_name, read_names
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet, make_labels, voc_palette

_CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
)
VOC = make_labels("voc2012", _CLASSES.split(), voc_palette(21))
IMAGES = "JPEGImages"
MASKS = "SegmentationClass"
LISTS = "ImageSets/Segmentation"


def open_voc(root: Path, labels: LabelSet = VOC, name: str = "voc2012") -> Dataset:
    """Return the data set of a VOC devkit, a split for each list in ImageSets/Segmentation.

    Args:
        root: the folder that holds JPEGImages, or the VOCdevkit folder above it.
        labels: the label set of the masks.
        name: the name to give the data set.

    Raises:
        InputError: not this layout.

    Source: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/index.html
    """
    found = _devkit(root)
    if found is None:
        raise InputError(f"{root}: no VOC devkit here (it has no {LISTS}); see data/README.md")
    faults: list[str] = []
    splits = {
        path.stem: pair_by_name(path, found / IMAGES, found / MASKS, faults)
        for path in files_in(found / LISTS, (".txt",))
    }
    return Dataset(name, found, labels, splits, tuple(faults))


def open_sbd(root: Path) -> Dataset:
    """Open an SBD folder, together with the VOC devkit beside it where there is one.

    `root` holds img, cls, train.txt and val.txt, or is one of the two folders above it; VOCdevkit
    is looked for in each of these. With VOC 2012 there are the splits of this module's docstring
    and VOC's own masks where both have one; without, SBD's own "train" and "val".

    Raises:
        InputError: not this layout.

    Source: Hariharan et al. 2011, "Semantic contours from inverse detectors"; the three ways of
        splitting after github.com/warmspringwinds/tf-image-segmentation, utils/pascal_voc.py;
        seg11valid after Long et al. 2015, section 4.3.
    """
    places = [root / place for place in (".", "dataset", "benchmark_RELEASE/dataset")]
    found = next((place for place in places if (place / "cls").is_dir()), None)
    if found is None:
        raise InputError(f"{root}: no SBD here (it has no dataset/cls); see data/README.md")
    faults: list[str] = []
    own = {
        split: pair_by_name(found / f"{split}.txt", found / "img", found / "cls", faults)
        for split in ("train", "val")
    }
    beside = (root, root.parent, root.parent.parent)
    devkit = next((d for d in map(_devkit, beside) if d is not None), None)
    if devkit is None:
        return Dataset("sbd", found, VOC, own, tuple(faults))
    pascal = open_voc(devkit)
    faults += pascal.faults
    older = devkit.parent / "VOC2011" / LISTS / "val.txt"
    val_2011 = set(read_names(older, faults)) if older.is_file() else set()
    lists = (*own.values(), pascal.records("train"), pascal.records("val"))
    everything = {record.name: record for records in lists for record in records}
    train, val = ({record.name for record in own[split]} for split in ("train", "val"))
    names = {"val": {record.name for record in pascal.records("val")}}
    names["val904"] = names["val"] - train
    names["val346"] = names["val904"] - val
    for rest, held_out in (("aug", "val"), ("11127", "val904"), ("11685", "val346")):
        names[f"train{rest}"] = everything.keys() - names[held_out]
    if val_2011:
        names["seg11valid"] = (val_2011 & everything.keys()) - train
    splits = {split: tuple(everything[n] for n in sorted(of)) for split, of in names.items()}
    return Dataset("sbd", found, VOC, splits, tuple(faults))


def _devkit(root: Path) -> Path | None:
    places = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    return next((place for place in places if (place / LISTS).is_dir()), None)
