"""Reading pairs: what is right is read by index, what is wrong is refused by name."""

import codecs
import contextlib
import struct
import unicodedata
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fcnlib.datasets import (
    FORMATS,
    Dataset,
    Record,
    describe_image,
    open_dataset,
    read_image,
    read_mask,
    read_pair,
)
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.records import pair_by_name
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, VOID, make_labels

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


def test_no_flipped_byte_of_a_png_passes(save, rng):
    """Pillow reads on where a checksum is wrong: another class, and nobody would know."""
    mask = np.kron(rng.integers(0, 9, (4, 4)), np.ones((8, 8))).astype(np.uint8)
    path = save(mask, palette=False)
    data = path.read_bytes()
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with contextlib.suppress(InputError):
            np.testing.assert_array_equal(read_mask(path, VOC), mask)


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


RGB = (200, 100, 50)


def test_colours_of_every_mode_come_out_as_rgb(tmp_path):
    picture = Image.new("RGB", (3, 2), RGB)
    alpha = picture.convert("RGBA")
    alpha.putalpha(0)  # hidden, and yet stored
    for name, image in {
        "alpha.png": alpha,
        "palette.png": picture.quantize(4),
        "cmyk.tif": picture.convert("CMYK"),
        "cmyk.jpg": picture.convert("CMYK"),
    }.items():
        image.save(tmp_path / name, quality=100)
        np.testing.assert_allclose(read_image(tmp_path / name)[0, 0], RGB, atol=3, err_msg=name)
    image = picture.quantize(4)
    image.save(tmp_path / "see-through.png", transparency=b"\x00\x80\xff")
    np.testing.assert_allclose(read_image(tmp_path / "see-through.png")[0, 0], RGB, atol=3)


def test_sixteen_bits_are_divided_and_not_cut_off(tmp_path):
    wide = np.array([[0, 257, 25700, 65535]], np.uint16)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert read_image(tmp_path / "wide.png")[0, :, 0].tolist() == [0, 1, 100, 255]
    Image.fromarray(wide.astype(np.int32)).save(tmp_path / "wider.tif")  # or of 0..2**32?
    assert "32 bits" in refusal(read_image, tmp_path / "wider.tif")
    Image.fromarray(wide.astype(np.float32)).save(tmp_path / "float.tif")
    assert "fractions" in refusal(read_image, tmp_path / "float.tif")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_exif_orientation_is_carried_out(tmp_path, orientation):
    upright = np.zeros((4, 6, 3), np.uint8)
    upright[0, 0], upright[0, 5], upright[3, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    # How a camera stores it: the inverse of what the tag asks a viewer to do (EXIF 2.3, 4.6.4).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), upright)
    size, unusual = describe_image(tmp_path / "a.png")
    assert size == (4, 6)
    assert unusual == (() if orientation == 1 else (f"EXIF orientation {orientation}",))


@pytest.mark.parametrize("fault", ["junk", "profile", "words", "text"])
def test_a_png_is_read_whatever_stands_beside_its_pixels(tmp_path, fault):
    """Its EXIF as of a JPEG: what cannot be understood turns nothing."""
    picture = Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3))
    notes = PngInfo()
    if fault == "profile":  # as ImageMagick keeps EXIF
        notes.add_text("Raw profile type exif", "\nexif\n 8\n0008000201120003\n")
    elif fault == "text":
        notes.add_text("XML:com.adobe.xmp", "x" * (3 << 20), zip=True)
    word = struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, 0x0112, 2, 4, b"abc", 0)
    exif = {"junk": b"Exif\0\0\0\x08\0\x02", "words": b"Exif\0\0" + word}.get(fault, b"")
    picture.save(tmp_path / "a.png", pnginfo=notes, exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(picture))
    assert describe_image(tmp_path / "a.png") == ((3, 4), ())
    Image.fromarray(MASK).save(tmp_path / "m.png", pnginfo=notes, exif=exif)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", SHAPES), MASK)


def test_masks_of_one_bit_and_of_sixteen_are_read_by_value(tmp_path):
    Image.fromarray(MASK[:, :2] > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "bits.png", VOC), [[0, 1], [1, 1]])
    Image.fromarray(MASK.astype(np.uint16)).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "wide.png", VOC), MASK)
    Image.fromarray(MASK.astype(np.uint16) + 300).save(tmp_path / "wide.png")
    assert "value 300 at (x=0, y=0)" in refusal(read_mask, tmp_path / "wide.png", VOC)


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_masks_of_few_bits_are_read_by_value(tmp_path, bits):
    """Pillow stretches them to 0..255: class 1 of 4 bits would be read as 17, a sheep."""
    stored = np.arange(2**bits, dtype=np.uint8)  # a row of every value
    packed = np.packbits(np.unpackbits(stored[:, None], axis=1)[:, 8 - bits :].ravel())
    header = struct.pack(">IIBBBBB", len(stored), 1, bits, 0, 0, 0, 0)
    body = zlib.compress(b"\0" + packed.tobytes())
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    whole = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    (tmp_path / "m.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(whole))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", VOC), stored[None])


def test_a_mask_in_colours_is_read_by_its_colours(tmp_path):
    labels = make_labels(
        "x", ["a", "b"], np.zeros((2, 3), np.uint8), colours={0: 0, 0xFF8000: 1, 0xFFFFFF: 255}
    )
    picture = np.array([[(0, 0, 0), (255, 128, 0), (255, 255, 255)]], np.uint8)
    Image.fromarray(picture).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", labels), [[0, 1, 255]])
    Image.fromarray(picture).quantize(8).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png", labels), [[0, 1, 255]])
    picture[0, 1, 1] = 127
    Image.fromarray(picture).save(tmp_path / "mask.png")
    message = refusal(read_mask, tmp_path / "mask.png", labels)
    assert "colour #ff7f00 at (x=1, y=0)" in message


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
    """Return (records, faults)."""
    faults = []
    return pair_by_name(tree / "list.txt", tree / "images", tree / "masks", faults), faults


def test_records_are_paired_by_name_and_sorted(tree):
    records, faults = pairs(tree)
    assert faults == []
    assert [record.name for record in records] == ["a", "b", "c"]
    assert [record.image_path.name for record in records] == ["a.png", "b.jpg", "c.jpg"]
    assert all(r.label_path == tree / "masks" / f"{r.name}.png" for r in records)


@pytest.mark.parametrize("gone", ["images/b.jpg", "masks/b.png"])
def test_a_half_pair_is_left_out_and_the_missing_file_named(tree, gone):
    (tree / gone).unlink()
    records, (fault,) = pairs(tree)
    assert [record.name for record in records] == ["a", "c"]
    assert fault.startswith(f"{tree / gone}: missing")


def test_a_list_without_any_mask_gives_records_without(tree):
    for path in (tree / "masks").iterdir():
        path.unlink()
    records, faults = pairs(tree)
    assert [record.label_path for record in records] == [None] * 3 and faults == []


def test_a_list_to_train_on_must_have_masks(tree):
    """A misspelt folder of masks would pass for a split without any."""
    (tree / "list.txt").rename(tree / "train.txt")
    faults = []
    assert pair_by_name(tree / "train.txt", tree / "images", tree / "mask", faults) == ()
    assert len(faults) == 3 and str(tree / "mask" / "a.png") in faults[0]


@pytest.mark.parametrize(("text", "word"), [("a\nb\na\n", "a twice"), ("\n \n", "no image")])
def test_a_list_that_cannot_be_meant_is_a_fault(tree, text, word):
    (tree / "list.txt").write_text(text)
    _, (fault,) = pairs(tree)
    assert str(tree / "list.txt") in fault and word in fault


def test_a_missing_list_is_a_fault(tree):
    (tree / "list.txt").unlink()
    assert str(tree / "list.txt") in pairs(tree)[1][0]


def test_two_folders_are_paired_by_name(tree):
    faults = []
    records = pair_by_name(None, tree / "images", tree / "masks", faults)
    assert [r.name for r in records] == ["a", "b", "c", "unlisted"] and faults == []
    (tree / "images" / "b.jpg").unlink()
    (tree / "masks" / "c.png").unlink()
    (tree / "images" / "a.jpg").touch()
    records = pair_by_name(None, tree / "images", tree / "masks", faults)
    assert [r.name for r in records] == ["a", "unlisted"]
    assert sorted(fault.split(":")[0].rpartition("/")[2] for fault in faults) == [
        *("a.png", "b.png", "c.png")
    ]


def made(root, *names):
    """Make empty files; return the folders of images and of masks."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root / "images", root / "masks"


@pytest.mark.parametrize(
    "text",
    [
        "images\\a 1.jpg\r\nimages\\é.jpg\r\n".encode(),
        "C:\\x\\images\\a 1.jpg C:\\x\\masks\\a 1.png\né".encode(),
        "a 1\r\né\r\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a 1\né\n".encode("utf-16-be"),
        "a 1\r\né\r\n".encode("utf-16")[:-1],
        "a 1\u200b\n\ufeffe\u0301\u00a0\n".encode(),
        unicodedata.normalize("NFD", "a 1\né.jpg").encode(),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_list_is_read_as_other_systems_write_it(tmp_path, text, form):
    names = [unicodedata.normalize(form, name) for name in ("images/é.jpg", "masks/é.png")]
    folders = made(tmp_path, "images/a 1.jpg", "masks/a 1.png", *names)
    (tmp_path / "train.txt").write_bytes(text)
    faults = []
    records = pair_by_name(tmp_path / "train.txt", *folders, faults)
    assert faults == [] and [record.name for record in records] == ["a 1", "é"]
    assert all(r.image_path.is_file() and r.label_path.is_file() for r in records)


CITY = ["c_gtFine_color.png", "c_gtFine_labelIds.png"]
MARKED = [  # (files of images, of masks, {image: its mask})
    (["a.jpg", "ab.jpg"], ["a_mask.png", "ab_mask.png"], {"a": "a_mask", "ab": "ab_mask"}),
    (["c_leftImg8bit.png"], CITY, {"c_leftImg8bit": "c_gtFine_labelIds"}),
    (["a.jpg", "b.jpg"], ["a.png", "b_gt.tif"], {"a": "a", "b": "b_gt"}),
    (["a.jpg", "a_mask.jpg"], ["a_mask.png"], {"a_mask": "a_mask"}),  # it is the other's
    (["a.jpg"], ["a_gt.png", "a_mask.png"], {}),  # which one?
    (["a.jpg"], ["a_color.png"], {}),
]


@pytest.mark.parametrize(("images", "masks", "wanted"), MARKED)
@pytest.mark.parametrize("listed", [True, False])
def test_a_mask_may_be_called_one_where_it_is_certain(tmp_path, images, masks, wanted, listed):
    files = [f"images/{name}" for name in images] + [f"masks/{name}" for name in masks]
    folders, faults = made(tmp_path, *files), []
    (tmp_path / "train.txt").write_text("\n".join(images))
    if listed:
        records = pair_by_name(tmp_path / "train.txt", *folders, faults)
    else:
        records = pair_by_name(None, *folders, faults)
    assert {r.name: r.label_path.stem for r in records} == wanted
    lacking = [fault for fault in faults if "a.png: missing" in fault]
    assert len(lacking) == len(images) - len(wanted)


def test_images_and_masks_may_lie_in_one_folder(tmp_path):
    folder, _ = made(tmp_path, *(f"images/{n}" for n in ("a.jpg", "a.png", "b.png", "b_mask.png")))
    faults = []
    found = [
        (r.image_path.name, r.label_path.name) for r in pair_by_name(None, folder, folder, faults)
    ]
    assert found == [("a.jpg", "a.png"), ("b.png", "b_mask.png")] and faults == []
    made(tmp_path, "images/c.png")  # which is not its own mask
    assert len(pair_by_name(None, folder, folder, faults)) == 2
    assert len(faults) == 1 and "c.png: missing, though" in faults[0]


@pytest.mark.parametrize("listed", [True, False])
def test_a_name_may_occur_in_several_folders(tmp_path, listed):
    names = ("walk/1", "drive/1", "drive/2", ".cache/1")
    files = [f"images/{name}.jpg" for name in names] + [f"masks/{name}.png" for name in names]
    folders, faults = made(tmp_path, *files), []
    lines = ("walk/1.jpg", "./images/drive/1.jpg masks/drive/1.png", "drive\\2")
    (tmp_path / "train.txt").write_text("\n".join(lines))
    if listed:
        records = pair_by_name(tmp_path / "train.txt", *folders, faults)
    else:
        records = pair_by_name(None, *folders, faults)
    assert faults == [] and [r.name for r in records] == ["drive_1", "drive_2", "walk_1"]
    for kind in ("image_path", "label_path"):
        assert [getattr(r, kind).parent.name for r in records] == ["drive", "drive", "walk"]


def test_two_lines_for_one_file_may_be_two_images(tmp_path):
    folders, faults = made(tmp_path, "images/1.jpg", "masks/1.png"), []
    (tmp_path / "train.txt").write_text("walk/1.jpg\ndrive/1.jpg\n")
    pair_by_name(tmp_path / "train.txt", *folders, faults)
    assert len(faults) == 1 and "names 1 twice, as walk/1.jpg and drive/1.jpg" in faults[0]
    assert "keep two images in folders of these names" in faults[0]


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint16, bool])
def test_a_mask_may_be_an_array(tmp_path, kind):
    mask = MASK.astype(kind)
    np.save(tmp_path / "a.npy", mask)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.npy", SHAPES), mask)


def test_an_array_that_is_no_mask_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    coloured = make_labels("x", ["a"], np.zeros((1, 3), np.uint8), colours={0: 0})
    for array, labels, said in (
        (MASK.astype(np.float32), SHAPES, "float32 of shape (2, 4)"),
        (MASK[None], SHAPES, "of shape (1, 2, 4)"),
        (MASK[:0], SHAPES, "of shape (0, 4)"),
        (np.array([[object()]]), SHAPES, "not a readable"),
        (MASK.astype(np.int32) - 1, SHAPES, "value -1 at (x=0, y=0)"),
        (MASK * 0, coloured, "given by colours"),
    ):
        np.save(path, array, allow_pickle=True)
        assert said in refusal(read_mask, path, labels)
    np.save(path, MASK)
    whole = path.read_bytes()
    huge = whole.replace(b"(2, 4), }      ", b"(99999, 99999)}")
    assert len(huge) == len(whole) and huge != whole
    for data in (whole[:-1], whole[:20], b"", b"junk", huge):
        path.write_bytes(data)
        assert "not a readable" in refusal(read_mask, path, SHAPES)


def test_an_unknown_split_is_refused_naming_those_there(tmp_path):
    dataset = Dataset("x", tmp_path, SHAPES, {"train": (), "val": ()})
    assert dataset.records("val") == ()
    assert dataset.counts() == {"train": 0, "val": 0}
    message = refusal(dataset.records, "tset")
    assert "'tset'" in message and "train, val" in message


def test_an_unknown_data_set_is_refused_naming_those_there(tmp_path):
    message = refusal(open_dataset, "cityscapes", tmp_path)
    assert "'cityscapes'" in message and all(name in message for name in FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_a_folder_of_something_else_is_refused(tmp_path, name):
    assert str(tmp_path) in refusal(open_dataset, name, tmp_path)
