"""Label sets: the palette rule, what values in a file mean, colours of a mask."""

import io

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.voc import VOC
from fcnlib.labels import SHAPES, VOID, voc_palette
from fcntools.synthetic import shapes

ALL = pytest.mark.parametrize("labels", [VOC, CAMVID, SHAPES], ids=lambda labels: labels.name)


@pytest.mark.parametrize(
    ("label", "colour"),
    [
        (0, (0, 0, 0)),
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (4, (0, 0, 128)),
        (8, (64, 0, 0)),
        (15, (192, 128, 128)),
        (20, (0, 64, 128)),
        (255, (224, 224, 192)),
    ],
)
def test_voc_palette_has_the_published_colours(label, colour):
    assert tuple(voc_palette(256)[label]) == colour


def test_voc_palette_has_no_colour_twice():
    assert len(np.unique(voc_palette(256), axis=0)) == 256


def test_class_lists_are_the_published_ones():
    assert VOC.num_classes == 21
    assert VOC.classes[0] == "background"
    assert VOC.classes[15] == "person"
    assert VOC.classes[20] == "tvmonitor"
    assert CAMVID.num_classes == 11
    assert CAMVID.classes[3] == "Road"
    assert CAMVID.classes[10] == "Bicyclist"
    assert tuple(CAMVID.palette[4]) == (60, 40, 222)  # pavement, where the raw set has (0, 0, 192)


def test_shapes_are_the_forms_that_can_be_drawn_and_a_background():
    assert SHAPES.classes == ("background", *shapes.FORMS)
    assert SHAPES.num_classes >= 8
    assert "star" in SHAPES.classes


@ALL
def test_every_class_has_one_name_one_colour_one_value(labels):
    assert len(set(labels.classes)) == labels.num_classes == len(labels.palette)
    assert len(np.unique(labels.palette, axis=0)) == labels.num_classes
    np.testing.assert_array_equal(labels.lut[: labels.num_classes], range(labels.num_classes))


@ALL
def test_only_classes_and_void_are_accepted(labels):
    void = {"camvid": 11}.get(labels.name, 255)
    assert labels.lut[void] == VOID
    others = np.delete(np.arange(256), [*range(labels.num_classes), void])
    assert (labels.lut[others] == -1).all()


@ALL
def test_the_tables_cannot_be_written(labels):
    for table in (labels.palette, labels.lut):
        with pytest.raises(ValueError, match="read-only"):
            table[0] = 0


@ALL
def test_colorize_paints_classes_and_void(labels):
    mask = np.array([[0, labels.num_classes - 1, VOID]], np.uint8)
    painted = labels.colorize(mask)
    assert painted.dtype == np.uint8
    np.testing.assert_array_equal(painted[0, 0], labels.palette[0])
    np.testing.assert_array_equal(painted[0, 1], labels.palette[-1])
    np.testing.assert_array_equal(painted[0, 2], (224, 224, 192))


@ALL
def test_a_png_with_this_palette_opens_in_the_same_colours(labels):
    mask = np.array([[*range(labels.num_classes), VOID]], np.uint8)
    image = Image.fromarray(mask)
    image.putpalette(labels.png_palette())
    file = io.BytesIO()
    image.save(file, "PNG")
    seen = np.asarray(Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(seen, labels.colorize(mask))
