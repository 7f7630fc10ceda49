"""MIT Scene Parsing: ADEChallengeData2016, 150 classes of indoor and outdoor scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fcnlib.datasets.records import Dataset, pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet, make_labels


def _read_table() -> tuple[LabelSet, tuple[str, ...]]:
    table = Path(__file__).with_name("objectinfo150.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    palette = np.array([[int(v) for v in row[:3]] for row in rows], np.uint8)
    names = tuple(row[3] for row in rows)
    first = [name.split(",")[0] for name in names]
    labels = make_labels("scene-parsing", first, palette, range(1, 151), void_values=(0,))
    return labels, names


# In its files 0 is "other", which never counts. The names with all synonyms, as objectInfo150.txt
# has them: "building, edifice"; a class is called by the first.
SCENE_PARSING, SCENE_PARSING_NAMES = _read_table()
FOLDERS = {"train": "training", "val": "validation"}


def open_scene_parsing(root: Path, name: str = "scene-parsing") -> Dataset:
    """Open the folder that holds images/training and annotations/training, or the one above it.

    In its files 0 is "other", which is void here, and 1..150 are the classes.

    Raises:
        InputError: not this layout.

    Source: Zhou et al. 2017, https://github.com/CSAILVision/sceneparsing
    """
    found = root if (root / "annotations").is_dir() else root / "ADEChallengeData2016"
    if not (found / "annotations").is_dir():
        said = "no scene parsing data here (it has no annotations/training); see data/README.md"
        raise InputError(f"{root}: {said}")
    faults, splits = [], {}
    for split, folder in FOLDERS.items():
        folders = found / "images" / folder, found / "annotations" / folder
        splits[split] = pair_by_name(None, *folders, faults)
    return Dataset(name, found, SCENE_PARSING, splits, tuple(faults))
