"""Reading pairs: what is right is read by index, what is wrong is refused by name."""

import numpy as np
import pytest
from PIL import Image

from fcnlib.datasets import Dataset, Record, names, open_dataset, read_image, read_mask, read_pair
from fcnlib.datasets.records import pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import CAMVID, SHAPES, VOC, VOID

MASK = np.array([[0, 1, 2, 255], [3, 4, 5, 8]], np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def save(tmp_path):
    """Return a function that saves a mask as PNG, with SHAPES' palette where it is asked for."""

    def write(mask=MASK, name="mask.png", palette=True):
        image = Image.fromarray(mask)
        if palette:
            image.putpalette(SHAPES.png_palette())
        image.save(tmp_path / name)
        return tmp_path / name

    return write


def refusal(call, *arguments):
    """Return the message of a refusal, which is one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("palette", [True, False])
def test_a_mask_is_its_stored_indices(save, palette):
    read = read_mask(save(palette=palette), SHAPES)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, MASK)


def test_the_palette_of_a_file_does_not_matter(save, tmp_path):
    image = Image.fromarray(MASK)
    image.putpalette([7, 7, 7] * 256)  # all one colour: nothing could be told apart by colour
    image.save(tmp_path / "plain.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "plain.png", SHAPES), MASK)


def test_void_of_a_file_becomes_255(save):
    path = save(np.array([[0, 11, 10]], np.uint8), palette=False)
    np.testing.assert_array_equal(read_mask(path, CAMVID), [[0, VOID, 10]])


def test_a_mask_stored_as_colours_is_refused(save, tmp_path):
    Image.open(save()).convert("RGB").save(tmp_path / "rgb.png")
    message = refusal(read_mask, tmp_path / "rgb.png", SHAPES)
    assert str(tmp_path / "rgb.png") in message and "RGB" in message


def test_a_value_out_of_range_is_named_with_its_place(save):
    mask = MASK.copy()
    mask[1, 2] = 9
    path = save(mask)
    message = refusal(read_mask, path, SHAPES)
    assert str(path) in message and "value 9 at (x=2, y=1)" in message and "0..8" in message
    np.testing.assert_array_equal(read_mask(path, VOC), mask)  # but VOC has a class 9


def test_a_missing_file_is_named(tmp_path):
    for call in (lambda path: read_mask(path, SHAPES), read_image):
        assert refusal(call, tmp_path / "no.png") == f"{tmp_path / 'no.png'}: no such file"


def test_a_truncated_image_is_refused(tmp_path, rng):
    path = tmp_path / "cut.jpg"
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    message = refusal(read_image, path)
    assert str(path) in message and "truncated" in message


@pytest.mark.parametrize("damage", ["half", "flipped", "text", "empty"])
def test_a_damaged_mask_is_refused(save, rng, damage):
    path = save(rng.integers(0, 9, (64, 64), np.uint8))
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(
        {
            "half": data[:middle],
            "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
            "text": b"not an image",
            "empty": b"",
        }[damage]
    )
    assert str(path) in refusal(read_mask, path, SHAPES)


def test_grey_images_become_rgb(tmp_path):
    Image.fromarray(MASK).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert image.shape == (2, 4, 3) and image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.repeat(MASK[..., None], 3, axis=2))


def test_a_pair_of_two_sizes_is_refused(save, tmp_path):
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(tmp_path / "image.png")
    record = Record("image", tmp_path / "image.png", save())
    message = refusal(read_pair, record, SHAPES)
    assert all(part in message for part in ("mask.png", "image.png", "4x2", "3x2"))


def test_a_record_without_mask_is_no_pair(tmp_path):
    assert "no mask" in refusal(read_pair, Record("a", tmp_path / "a.jpg", None), SHAPES)


@pytest.fixture
def tree(tmp_path):
    """Return a folder with images of both endings, their masks, and a list out of order."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in ("b.jpg", "a.png", "c.jpg", "unlisted.jpg"):
        (tmp_path / "images" / name).touch()
        (tmp_path / "masks" / name).with_suffix(".png").touch()
    (tmp_path / "list.txt").write_text("c\nsome/folder/a.png other\n\nb\n")
    return tmp_path


def pairs(tree):
    return pair_by_name(tree / "list.txt", tree / "images", tree / "masks", (".jpg", ".png"))


def test_records_are_paired_by_name_and_sorted(tree):
    records = pairs(tree)
    assert [record.name for record in records] == ["a", "b", "c"]
    assert [record.image_path.name for record in records] == ["a.png", "b.jpg", "c.jpg"]
    assert all(r.label_path == tree / "masks" / f"{r.name}.png" for r in records)


@pytest.mark.parametrize("gone", ["images/b.jpg", "masks/b.png"])
def test_a_half_pair_is_refused_naming_the_missing_file(tree, gone):
    (tree / gone).unlink()
    message = refusal(pairs, tree)
    assert message.startswith(f"{tree / gone}: missing") and "list.txt" in message


def test_a_list_without_any_mask_gives_records_without(tree):
    for path in (tree / "masks").iterdir():
        path.unlink()
    assert [record.label_path for record in pairs(tree)] == [None] * 3


@pytest.mark.parametrize(("text", "word"), [("a\nb\na\n", "a twice"), ("\n \n", "no image")])
def test_a_list_that_cannot_be_meant_is_refused(tree, text, word):
    (tree / "list.txt").write_text(text)
    message = refusal(pairs, tree)
    assert str(tree / "list.txt") in message and word in message


def test_a_missing_list_is_refused(tree):
    (tree / "list.txt").unlink()
    assert str(tree / "list.txt") in refusal(pairs, tree)


def test_an_unknown_split_is_refused_naming_those_there(tmp_path):
    dataset = Dataset("x", tmp_path, SHAPES, {"train": (), "val": ()})
    assert dataset.records("val") == ()
    assert dataset.counts() == {"train": 0, "val": 0}
    message = refusal(dataset.records, "tset")
    assert "'tset'" in message and "train, val" in message


def test_an_unknown_data_set_is_refused_naming_those_there(tmp_path):
    message = refusal(open_dataset, "cityscapes", tmp_path)
    assert "'cityscapes'" in message and all(name in message for name in names())


@pytest.mark.parametrize("name", names())
def test_a_folder_of_something_else_is_refused(tmp_path, name):
    assert str(tmp_path) in refusal(open_dataset, name, tmp_path)
