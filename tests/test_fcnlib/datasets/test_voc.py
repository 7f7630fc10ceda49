"""The VOC devkit's layout, on a devkit of a few files."""

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets import open_dataset, read_pair, voc
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import VOID

LISTS = {
    "train": ["2007_000032", "2007_000039"],
    "val": ["2007_000033"],
    "trainval": ["2007_000032", "2007_000033", "2007_000039"],
    "test": ["2008_000006"],
}


def mask_of(name):
    """Return a mask that tells which name it belongs to, with a void border."""
    mask = np.full((6, 8), int(name[-2:]) % 21, np.uint8)
    mask[:, 0] = VOID
    return mask


@pytest.fixture
def devkit(tmp_path):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "SegmentationObject", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    (root / voc.LISTS).mkdir()
    for split, listed in LISTS.items():
        (root / voc.LISTS / f"{split}.txt").write_text("\n".join(reversed(listed)) + "\n")
        for name in listed:
            Image.new("RGB", (8, 6)).save(root / "JPEGImages" / f"{name}.jpg")
            if split != "test":
                mask = Image.fromarray(mask_of(name))
                mask.putpalette(VOC.png_palette())
                mask.save(root / "SegmentationClass" / f"{name}.png")
    Image.new("RGB", (8, 6)).save(root / "JPEGImages" / "2009_000001.jpg")  # of another task
    return root


def test_a_hidden_file_is_no_list(devkit):
    (devkit / voc.LISTS / "._train.txt").write_bytes(b"\0\5\x16\7what macOS leaves")
    assert set(open_dataset("voc2012", devkit).splits) == set(LISTS)


def test_every_list_is_a_split_with_its_records_sorted(devkit):
    dataset = open_dataset("voc2012", devkit)
    assert dataset.labels is VOC
    assert dataset.counts() == {split: len(listed) for split, listed in LISTS.items()}
    for split, listed in LISTS.items():
        assert [record.name for record in dataset.records(split)] == sorted(listed)


def test_image_and_mask_go_together(devkit):
    dataset = open_dataset("voc2012", devkit)
    for record in dataset.records("trainval"):
        assert record.image_path.stem == record.label_path.stem == record.name
        _, mask = read_pair(record, dataset.labels)
        np.testing.assert_array_equal(mask, mask_of(record.name))


def test_the_test_list_has_no_masks(devkit):
    assert open_dataset("voc2012", devkit).records("test")[0].label_path is None


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_folders_above_are_accepted(devkit, above):
    root = (devkit, *devkit.parents)[above]
    assert open_dataset("voc2012", root).root == devkit


def test_a_missing_mask_is_refused(devkit):
    gone = devkit / "SegmentationClass" / "2007_000033.png"
    gone.unlink()
    with pytest.raises(InputError) as caught:
        open_dataset("voc2012", devkit)
    # it is the only one of `val`, so it is the list `trainval` that misses it
    assert str(caught.value).startswith(f"{gone}: missing")
