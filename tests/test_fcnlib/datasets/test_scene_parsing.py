"""The layout of the scene parsing benchmark, on a tree of a few files."""

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets import open_dataset, read_pair
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.errors import InputError
from fcnlib.labels import VOID

MASK = np.array([[0, 1, 3], [13, 150, 0]], np.uint8)
NAMES = {"training": ["ADE_train_00000001", "ADE_train_00000002"], "validation": ["ADE_val_1"]}


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    for split, names in NAMES.items():
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (3, 2)).save(root / "images" / split / f"{name}.jpg")
            Image.fromarray(MASK).save(root / "annotations" / split / f"{name}.png")
    return tmp_path


def test_zero_is_void_and_classes_begin_at_one(tree):
    for root in (tree, tree / "ADEChallengeData2016"):
        dataset = open_dataset("scene-parsing", root)
        assert dataset.counts() == {"train": 2, "val": 1}
        _, mask = read_pair(dataset.records("train")[1], dataset.labels)
        np.testing.assert_array_equal(mask, [[VOID, 0, 2], [12, 149, VOID]])


def test_the_classes_are_the_benchmarks():
    names = SCENE_PARSING.classes
    assert len(names) == len(set(names)) == 150
    assert names[:3] == ("wall", "building", "sky") and names[12] == "person"
    assert (names[20], names[149]) == ("car", "flag")
    assert SCENE_PARSING.palette[2].tolist() == [6, 230, 230]  # the sky of color150.mat


# Rows of the benchmark's own file, blanks and all
def test_151_is_no_class(tree):
    path = tree / "ADEChallengeData2016" / "annotations" / "validation" / "ADE_val_1.png"
    Image.fromarray(MASK + 1).save(path)
    dataset = open_dataset("scene-parsing", tree)
    with pytest.raises(InputError, match=r"value 151 at \(x=1, y=1\) .*1\.\.150.*void \(0\)"):
        read_pair(dataset.records("val")[0], dataset.labels)


@pytest.mark.parametrize("gone", ["images/training/ADE_train_00000001.jpg"])
def test_half_a_pair_is_refused(tree, gone):
    (tree / "ADEChallengeData2016" / gone).unlink()
    with pytest.raises(InputError, match=r"ADE_train_00000001\.png: has no image"):
        open_dataset("scene-parsing", tree)
