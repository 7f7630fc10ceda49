"""CamVid in both its layouts, on a tree of a few files."""

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets import open_dataset, read_pair
from fcnlib.datasets.camvid import CAMVID
from fcnlib.errors import InputError
from fcnlib.labels import VOID

LISTS = {
    "train": ["0006R0_f00930", "0001TP_006690"],
    "val": ["0016E5_07959"],
    "test": ["Seq05VD_f00000"],
}
MASK = np.array([[0, 3, 10, 11], [4, 4, 11, 8]], np.uint8)


def write_pair(image_path, label_path):
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 2), (90, 90, 90)).save(image_path)
    Image.fromarray(MASK).save(label_path)


@pytest.fixture
def sorted_tree(tmp_path):
    """Return images/SPLIT/NAME.jpg, labels/SPLIT/NAME.png, SPLIT.txt with names."""
    for split, listed in LISTS.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(listed) + "\n")
        for name in listed:
            write_pair(
                tmp_path / "images" / split / f"{name}.jpg",
                tmp_path / "labels" / split / f"{name}.png",
            )
    return tmp_path


@pytest.fixture
def tutorial_tree(tmp_path):
    """Return SPLIT/NAME.png, SPLITannot/NAME.png, SPLIT.txt with absolute paths of both."""
    for split, listed in LISTS.items():
        at = f"/SegNet/CamVid/{split}"
        lines = [f"{at}/{name}.png {at}annot/{name}.png" for name in listed]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines) + "\n")
        for name in listed:
            write_pair(tmp_path / split / f"{name}.png", tmp_path / f"{split}annot" / f"{name}.png")
    return tmp_path


@pytest.mark.parametrize("layout", ["sorted_tree", "tutorial_tree"])
def test_both_layouts_give_the_same_records(layout, request):
    dataset = open_dataset("camvid", request.getfixturevalue(layout))
    assert dataset.labels is CAMVID
    drives = {"train-street": 1, "street": 1}  # "train" again, by drive
    assert dataset.counts() == {"train": 2, "val": 1, "test": 1} | drives
    assert [r.name for r in dataset.records("street")] == ["0006R0_f00930"]
    assert [r.name for r in dataset.records("train-street")] == ["0001TP_006690"]
    for split, listed in LISTS.items():
        assert [record.name for record in dataset.records(split)] == sorted(listed)
        for record in dataset.records(split):
            assert record.image_path.stem == record.label_path.stem == record.name
            image, mask = read_pair(record, dataset.labels)
            assert image.shape == (2, 4, 3)
            np.testing.assert_array_equal(mask, np.where(MASK == 11, VOID, MASK))


def test_a_split_that_is_not_there_is_left_out(sorted_tree):
    (sorted_tree / "val.txt").unlink()
    dataset = open_dataset("camvid", sorted_tree)
    with pytest.raises(InputError, match="no split 'val'; it has train, test"):
        dataset.records("val")


@pytest.mark.parametrize(
    "gone", ["images/test/Seq05VD_f00000.jpg", "labels/train/0001TP_006690.png"]
)
def test_a_missing_file_is_named(sorted_tree, gone):
    (sorted_tree / gone).unlink()
    with pytest.raises(InputError) as caught:
        open_dataset("camvid", sorted_tree)
    assert str(caught.value).startswith(f"{sorted_tree / gone}: missing")


def test_a_value_above_void_is_refused(sorted_tree):
    path = sorted_tree / "labels" / "val" / "0016E5_07959.png"
    Image.fromarray(np.where(MASK == 8, 12, MASK).astype(np.uint8)).save(path)
    dataset = open_dataset("camvid", sorted_tree)
    with pytest.raises(InputError, match=r"value 12 at \(x=3, y=1\) is no class of camvid"):
        read_pair(dataset.records("val")[0], dataset.labels)
