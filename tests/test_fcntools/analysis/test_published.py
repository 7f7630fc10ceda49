"""The published numbers: whole, plausible, and comparable only where the images are the same."""

import pytest

from fcntools.analysis.published import comparable, tables


def test_every_row_has_a_source_a_protocol_and_plausible_numbers():
    frame = tables()
    assert len(frame) >= 30
    for column in ("network", "data", "split", "protocol", "source", "mean_iou"):
        assert frame[column].notna().all(), column
    shares = frame[["mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"]]
    assert shares.min().min() > 10 and shares.max().max() < 100
    known = frame.dropna(subset=["pixel_accuracy"])
    assert (known["pixel_accuracy"] > known["mean_iou"]).all()
    assert not frame.duplicated(["source", "network"]).any()


@pytest.mark.parametrize(
    ("data", "split", "images", "rows"),
    [
        ("camvid", "test", 233, 15),
        ("camvid", "test", 50, 0),  # a part of it is another test
        ("camvid", "val", 233, 0),
        ("shapes", "val", 200, 0),
        ("PASCAL VOC 2011", "seg11valid", 736, 8),
    ],
)
def test_only_the_same_images_are_comparable(data, split, images, rows):
    assert len(comparable(data, split, images)) == rows
