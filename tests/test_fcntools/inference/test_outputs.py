"""Which images are meant, how answers are named and what is in them."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets import read_image, read_mask
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, make_labels
from fcnlib.runtime.files import read_json
from fcntools.inference import outputs as files


@pytest.fixture
def folder(tmp_path):
    """A folder with two images, something else and a folder inside."""
    for name in ("b.png", "a.JPG", "notes.txt"):
        Image.new("RGB", (4, 3)).save(tmp_path / name, "png")
    (tmp_path / "inner").mkdir()
    return tmp_path


def test_the_images_of_a_folder_are_found_by_name(folder):
    for name in ("notes.pdf", "weights.h5", "film.mpg"):  # what Pillow has a name for, too
        (folder / name).touch()
    found = files.find_images([folder, folder / "b.png"])
    assert [path.name for path in found] == ["a.JPG", "b.png"]


def test_what_is_read_when_named_is_found_in_a_folder(tmp_path):
    """Also by the other names and formats that cameras, phones and scanners write."""
    picture = Image.new("RGB", (4, 3), (9, 99, 199))
    endings = ("jpg", "jpe", "jfif", "JPEG", "png", "tif", "tiff", "bmp", "dib", "webp", "gif")
    endings += ("ppm", "pgm", "pnm", "jp2", "avif", "tga", "mpo")
    for ending in endings:
        picture.save(tmp_path / f"a_{ending}.{ending}")
        (tmp_path / f"._a_{ending}.{ending}").write_bytes(b"what macOS leaves")
    found = files.find_images([tmp_path])
    assert sorted(path.stem for path in found) == sorted(f"a_{ending}" for ending in endings)
    assert {read_image(path).shape for path in found} == {(3, 4, 3)}


@pytest.mark.parametrize(("place", "fault"), [("gone.png", "no such"), ("inner", "no image in")])
def test_a_place_without_an_image_is_refused(folder, place, fault):
    with pytest.raises(InputError, match=fault):
        files.find_images([folder / place])


def test_images_named_alike_get_a_number(tmp_path):
    images = [tmp_path / "x" / "a.png", tmp_path / "y" / "a.png", tmp_path / "a.jpg"]
    assert files.choose_names(images, tmp_path / "out") == ["a", "a-2", "a-3"]


@pytest.mark.parametrize("name", ["a.png", "legend.png", "legend-2.json"])
def test_an_image_is_never_overwritten(tmp_path, name):
    image, other = tmp_path / name, tmp_path / "legend.jpg"
    with pytest.raises(InputError, match="would overwrite"):
        files.choose_names([image, other], tmp_path)
    assert files.choose_names([tmp_path / "a.jpg"], tmp_path) == ["a"]


def test_an_image_may_have_the_name_of_the_legend(tmp_path):
    image = tmp_path / "legend.png"
    assert files.choose_names([image], tmp_path / "out") == ["legend-2"]


def test_names_that_no_file_could_have_are_cut_and_replaced(tmp_path):
    images = [tmp_path / f"{'ä' * 118}{end}.png" for end in "xy"]  # 237 bytes, alike in the first
    images += [tmp_path / os.fsdecode(b"caf\xe9.png")]
    names = files.choose_names(images, tmp_path / "out")
    assert names == ["ä" * 100, "ä" * 100 + "-2", "caf\N{REPLACEMENT CHARACTER}"]
    for image, name in zip(images, names, strict=True):
        pixels = np.zeros((2, 2, 3), np.uint8)
        said = {"file": str(image)}
        files.write_answer(tmp_path / "out", name, pixels, pixels[..., 0], SHAPES, said)
        assert read_json(tmp_path / "out" / f"{name}.json")["file"] == str(image)


@pytest.mark.parametrize("name", ["a.png", "a_overlay.jpg", "a.json", "legend.png"])
def test_an_answer_takes_the_place_of_an_earlier_one_only(tmp_path, name):
    image, out = tmp_path / "a.jpg", tmp_path / "out"
    out.mkdir()
    (out / name).write_text("[]")
    with pytest.raises(InputError, match=f"{name}: is there, and no earlier answer"):
        files.choose_names([image], out)
    (out / name).unlink()
    files.write_answer(
        out, "a", np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint8), SHAPES, {}
    )
    files.write_legend(out, SHAPES)
    assert files.choose_names([image], out) == ["a"]
    (out / "b_overlay.jpg").write_text("not of an answer")
    with pytest.raises(InputError, match=r"b_overlay\.jpg: is there"):
        files.choose_names([tmp_path / "b.jpg"], out)


def test_known_classes_get_their_colours():
    assert files.labels_of({"classes": CAMVID.classes}) is CAMVID
    own = files.labels_of({"classes": ["soil", "root"]})
    assert own.classes == ("soil", "root")
    assert own.palette.tolist() == [[0, 0, 0], [128, 0, 0]]


COLOURS = np.array([[9, 80, 7], [200, 10, 30], [1, 2, 250]], np.uint8)
NAMES = ("soil", "leaf", "stem")
SETS = (
    VOC,
    CAMVID,
    SCENE_PARSING,
    make_labels("by value", NAMES, COLOURS, [255, 7, 0], [1, 2]),
    make_labels(
        "by colour", NAMES, COLOURS, void_values=(), colours={0x095007: 0, 0xC80A1E: 1, 0x0102FA: 2}
    ),
    # the classes of a known set, but stored as other values
    make_labels("other values", CAMVID.classes, CAMVID.palette, range(1, 12), [0]),
)


@pytest.mark.parametrize("labels", SETS, ids=lambda labels: labels.name)
def test_an_answer_is_a_mask_of_the_set_that_the_network_learned(tmp_path, labels):
    meta = {"classes": labels.classes, "labels": json.loads(json.dumps(labels.to_dict()))}
    kept = files.labels_of(meta)
    answer = np.arange(labels.num_classes, dtype=np.uint8)[None]
    image = np.zeros((*answer.shape, 3), np.uint8)
    files.write_answer(tmp_path, "x", image, answer, kept, {})
    np.testing.assert_array_equal(read_mask(tmp_path / "x.png", labels), answer)
    with Image.open(tmp_path / "x.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored.convert("RGB"))[0], labels.palette)
        values = dict(zip(labels.classes, np.asarray(stored)[0].tolist(), strict=True))
    assert json.loads((tmp_path / "x.json").read_text("utf-8"))["values"] == values


def test_an_answer_is_a_palette_picture_an_overlay_and_shares(tmp_path):
    image = np.full((4, 10, 3), 100, np.uint8)
    answer = np.zeros((4, 10), np.uint8)
    answer[:, 7:], answer[0, 0] = 5, 2
    shares = files.write_answer(tmp_path / "new", "x", image, answer, SHAPES, {"crf": False})
    assert shares == pytest.approx({"background": 27 / 40, "cross": 12 / 40, "triangle": 1 / 40})
    with Image.open(tmp_path / "new" / "x.png") as stored:
        assert stored.mode == "P"
        assert np.array_equal(np.asarray(stored), answer)
        assert np.array_equal(np.asarray(stored.convert("RGB")), SHAPES.colorize(answer))
    with Image.open(tmp_path / "new" / "x_overlay.jpg") as shown:
        assert shown.size == (10, 4)
        # background stays as it is, an object takes on its colour
        assert np.abs(np.asarray(shown)[2, 2].astype(int) - 100).max() < 25
        assert np.abs(np.asarray(shown)[2, 9].astype(int) - [117, 40, 117]).max() < 40
    said = json.loads((tmp_path / "new" / "x.json").read_text("utf-8"))
    assert said["shares"] == pytest.approx(shares)
    assert (said["width"], said["height"], said["crf"]) == (10, 4, False)
    assert not list((tmp_path / "new").glob("*.partial"))


def legend_of(folder, *classes):
    files.write_legend(folder, make_labels("own", classes, np.zeros((len(classes), 3), np.uint8)))
    with Image.open(folder / "legend.png") as legend:
        return np.asarray(legend)


def test_the_legend_shows_letters_or_their_numbers(tmp_path):
    for one, other in ("éè", "ЖШ"):  # a box would be like a box
        assert not np.array_equal(legend_of(tmp_path, one), legend_of(tmp_path, other))
    written = legend_of(tmp_path, r"\u80cc\u666f é")
    assert np.array_equal(legend_of(tmp_path, "背景 é"), written)
    assert (written[:, -2:] == 255).all() and (written[:, -12:] < 255).any(), "as wide as its text"


def test_the_legend_shows_every_colour(tmp_path):
    files.write_legend(tmp_path, SHAPES)
    with Image.open(tmp_path / "legend.png") as legend:
        colours = {colour for _, colour in legend.getcolors(10_000)}
    assert {tuple(c) for c in SHAPES.palette.tolist()} <= colours
