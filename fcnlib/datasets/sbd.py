"""SBD, the Semantic Boundaries Dataset: more masks for PASCAL VOC, and the splits made of both.

Train on more than VOC's 1,464 images, and some of VOC's validation images are among the additional
ones. Three pairs of splits keep the two apart; P, B are VOC's and SBD's lists:

    val     = P val                        1,449    trainaug   = all others    10,582
    val904  = P val - B train                904    train11127 = all others    11,127
    val346  = P val - B train - B val        346    train11685 = all others    11,685
    seg11valid = VOC 2011's val - B train    736    (where VOC 2011's list is there)
"""

from __future__ import annotations

from pathlib import Path

from fcnlib.datasets.records import Dataset, Record, pair_by_name, read_names
from fcnlib.datasets.voc import LISTS, VOC, find_devkit, open_voc
from fcnlib.errors import InputError

COUNTS = {"train": 8498, "val": 2857}
FULL = {  # what the rules above give for the full lists
    "trainaug": 10582,
    "val": 1449,
    "train11127": 11127,
    "val904": 904,
    "train11685": 11685,
    "val346": 346,
    "seg11valid": 736,
}
_PLACES = (".", "dataset", "benchmark_RELEASE/dataset")


def open_sbd(root: Path) -> Dataset:
    """Open an SBD folder, together with the VOC devkit beside it where there is one.

    Args:
        root: the folder that holds img, cls, train.txt and val.txt, or benchmark_RELEASE above it,
            or the folder above that; VOCdevkit is looked for in each of these.

    Returns:
        The data set with VOC's classes. With VOC 2012 the splits of this module's docstring, VOC's
        own masks where both have one; without, SBD's own "train" and "val".

    Raises:
        InputError: not this layout.

    Source: Hariharan et al. 2011, "Semantic contours from inverse detectors"; the three ways of
        splitting after github.com/warmspringwinds/tf-image-segmentation, utils/pascal_voc.py;
        seg11valid after Long et al. 2015, section 4.3.
    """
    places = [root / place for place in _PLACES]
    found = next((place for place in places if (place / "cls").is_dir()), None)
    if found is None:
        raise InputError(f"{root}: no SBD here (it has no dataset/cls); see data/README.md")
    faults: list[str] = []
    own = {
        split: pair_by_name(
            found / f"{split}.txt", found / "img", found / "cls", faults, (".jpg",), (".mat",)
        )
        for split in COUNTS
    }
    beside = (root, root.parent, root.parent.parent)
    devkit = next((d for d in map(find_devkit, beside) if d is not None), None)
    if devkit is None:
        return Dataset("sbd", found, VOC, own, tuple(faults))
    pascal = open_voc(devkit)
    faults += pascal.faults
    splits = _united(pascal, own, _list_of_2011(devkit, faults))
    full = {split: len(own[split]) for split in COUNTS} == COUNTS
    if full and len(pascal.splits.get("train", ())) == 1464:
        wrong = [s for s, records in splits.items() if len(records) != FULL[s]]
        faults += [
            f"{found}: {s} has {len(splits[s])} images, {FULL[s]} were expected" for s in wrong
        ]
    return Dataset("sbd", found, VOC, splits, tuple(faults))


def _list_of_2011(devkit: Path, faults: list[str]) -> set[str]:
    path = devkit.parent / "VOC2011" / LISTS / "val.txt"
    return set(read_names(path, faults)) if path.is_file() else set()


def _united(
    pascal: Dataset, own: dict[str, tuple[Record, ...]], val_2011: set[str]
) -> dict[str, tuple[Record, ...]]:
    listed = [pascal.records(split) for split in ("train", "val")]
    everything = {r.name: r for records in (*own.values(), *listed) for r in records}
    train, val = ({r.name for r in own[split]} for split in ("train", "val"))
    held = {r.name for r in pascal.records("val")}
    splits = {}
    for train_name, val_name, names in (
        ("trainaug", "val", held),
        ("train11127", "val904", held - train),
        ("train11685", "val346", held - train - val),
    ):
        splits[train_name] = everything.keys() - names
        splits[val_name] = names
    if val_2011:
        splits["seg11valid"] = (val_2011 & everything.keys()) - train
    return {
        split: tuple(everything[name] for name in sorted(names)) for split, names in splits.items()
    }
