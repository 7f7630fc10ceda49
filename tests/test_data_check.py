"""Sixty broken files of twenty kinds: each is refused by name or put right; none slips through."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fcnlib import cli, data_check
from fcnlib.config import Config
from fcnlib.datasets import open_dataset, read_image, read_pair
from fcnlib.errors import InputError
from fcnlib.image_store import ImageStore
from fcnlib.input_pipeline import train_batches

NAMES = ("a", "b", "c")  # the broken file is one of these: 20 kinds x 3 places = 60 files
YAML = "classes: [soil, leaf, stem]\nsplits: [train]\n"
HEIGHT, WIDTH = 40, 56


def picture_of(name):
    """Return an image that no other is like, upright to be told from its turned forms."""
    rng = np.random.default_rng(ord(name))
    small = Image.fromarray(rng.integers(0, 255, (5, 7, 3), np.uint8))
    return small.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)


def mask_of(name):
    rng = np.random.default_rng(ord(name) + 1)
    return np.kron(rng.choice([0, 1, 2, 255], (5, 7)), np.ones((8, 8))).astype(np.uint8)


@pytest.fixture
def tree(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in NAMES:
        picture_of(name).save(tmp_path / "images" / f"{name}.png")
        Image.fromarray(mask_of(name)).save(tmp_path / "masks" / f"{name}.png")
    (tmp_path / "train.txt").write_text("\n".join(NAMES) + "\n")
    (tmp_path / "dataset.yaml").write_text(YAML)
    return tmp_path


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


def _edit_mask(change):
    def edit(path):
        mask = np.asarray(Image.open(path)).copy()
        Image.fromarray(change(mask)).save(path)

    return edit


def _one_pixel(value):
    def change(mask):
        mask[7, 9] = value
        return mask

    return _edit_mask(change)


def _rgb_mask(path):
    Image.open(path).convert("RGB").save(path)


def _jpeg_mask(path):
    Image.open(path).save(path, "JPEG")


def _two_pictures(path):
    mask = Image.open(path).copy()
    mask.save(path, "TIFF", save_all=True, append_images=[mask])


def _turned_mask(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)


def _bomb(path):
    """A PNG of a few bytes that claims 100,000 x 100,000 pixels."""
    header = (100_000).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    chunk = b"IHDR" + header
    data = b"\x89PNG\r\n\x1a\n" + len(header).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    path.write_bytes(data + b"\x00\x00\x00\x00IDAT" + zlib.crc32(b"IDAT").to_bytes(4))


def _exif_sideways(path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the mask is as the image is stored, so it does not fit what one sees
    Image.open(path).save(path, exif=exif)


REFUSED = [  # (kind, folder, how, what the fault says)
    ("no image", "images", Path.unlink, "missing"),
    ("no mask", "masks", Path.unlink, "missing"),
    ("image cut short", "images", _cut, "not a readable image"),
    ("mask cut short", "masks", _cut, "not a readable image"),
    ("flipped byte in a mask", "masks", _flip, "not a readable image"),
    ("empty image", "images", lambda p: p.write_bytes(b""), "not a readable image"),
    ("text for a mask", "masks", lambda p: p.write_text("0 1 2"), "not a readable image"),
    ("bomb", "images", _bomb, "not a readable image"),
    ("mask in colours", "masks", _rgb_mask, "this one is RGB"),
    ("mask saved as JPEG", "masks", _jpeg_mask, "has lost its values"),
    ("mask of two pictures", "masks", _two_pictures, "holds 2 pictures"),
    ("mask with an orientation", "masks", _turned_mask, "EXIF orientation"),
    ("value beyond the classes", "masks", _one_pixel(3), "value 3 at (x=9, y=7)"),
    ("value below void", "masks", _one_pixel(254), "value 254 at (x=9, y=7)"),
    ("mask smaller", "masks", _edit_mask(lambda m: m[1:]), "56x39"),
    ("mask transposed", "masks", _edit_mask(lambda m: m.T.copy()), "40x56"),
    ("image turned away from its mask", "images", _exif_sideways, "EXIF orientation 6"),
]
REPAIRED = [  # (kind, how the image is stored, what the report calls it)
    ("CMYK", lambda i, p: i.convert("CMYK").save(p, "TIFF"), "CMYK"),
    ("alpha", lambda i, p: i.convert("RGBA").save(p), "alpha"),
    ("turned by EXIF, mask upright", lambda i, p: _turn(i, p), "EXIF orientation 6"),
]


def _turn(image, path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me by 90 degrees clockwise": stored turned the other way
    image.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)


def check(tree):
    run = CliRunner().invoke(cli.main, ["data", "check", str(tree)])
    return run.exit_code, run.output


def test_there_are_sixty_broken_files_of_twenty_kinds():
    kinds = {kind for kind, *_ in (*REFUSED, *REPAIRED)}
    assert len(kinds) == 20 and len(kinds) * len(NAMES) == 60


def test_a_sound_set_passes(tree):
    status, output = check(tree)
    assert status == 0 and output.rstrip().endswith("0 faults") and "unusual" not in output


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "folder", "how", "said"), REFUSED, ids=[r[0] for r in REFUSED])
def test_what_is_broken_is_refused_by_name(tree, name, kind, folder, how, said):
    path = tree / folder / f"{name}.png"
    how(path)
    status, output = check(tree)
    faults = [line for line in output.splitlines() if line.startswith("fault: ")]
    assert status == 1 and len(faults) == 1, output
    assert f"/{name}." in faults[0] and said in faults[0]
    assert "Traceback" not in output
    with pytest.raises(InputError, match=rf"/{name}\."):
        start_training(tree)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "how", "said"), REPAIRED, ids=[r[0] for r in REPAIRED])
def test_what_is_unusual_is_named_and_read_rightly(tree, name, kind, how, said):
    path = tree / "images" / f"{name}.png"
    before = np.asarray(picture_of(name)).astype(int)
    how(picture_of(name), path)
    status, output = check(tree)
    assert status == 0 and f"unusual, {said}: {name}.png" in output
    dataset = open_dataset("folder", tree)
    record = next(r for r in dataset.records("train") if r.name == name)
    image, mask = read_pair(record, dataset.labels)
    assert np.abs(image - before).max() <= 2
    np.testing.assert_array_equal(mask, mask_of(name))
    start_training(tree)


def start_training(tree):
    """Do what a training does before its first step, then take its first batch."""
    dataset = open_dataset("folder", tree)
    store = ImageStore(dataset.records("train"), dataset.labels)
    data = Config().data
    return next(iter(train_batches(store, data, 2, 0, 0, 1)))


def test_a_training_is_refused_before_its_first_step(tree):
    """The first batch may not hold the broken file; it is refused all the same."""
    for name in "defgh":
        picture_of(name).save(tree / "images" / f"{name}.png")
        Image.fromarray(mask_of(name)).save(tree / "masks" / f"{name}.png")
    (tree / "train.txt").write_text("\n".join([*NAMES, *"defgh"]))
    _one_pixel(77)(tree / "masks" / "h.png")
    dataset = open_dataset("folder", tree)
    store = ImageStore(dataset.records("train"), dataset.labels)
    with pytest.raises(InputError, match=r"h\.png: value 77"):
        train_batches(store, Config().data, 1, 0, 0, 1)


def test_the_report_counts_what_the_files_hold(tree):
    report = data_check.check(open_dataset("folder", tree))
    masks = np.stack([mask_of(name) for name in NAMES])
    np.testing.assert_array_equal(report.pixels, np.bincount(masks.ravel(), minlength=256))
    assert report.images[1] == sum((mask == 1).any() for mask in masks)
    assert report.sizes == {(HEIGHT, WIDTH): 3} and report.faults == ()
    text = "\n".join(report.lines())
    assert "train 3" in text and f"{(masks == 2).sum():,}" in text and "void" in text


def test_an_image_in_train_and_val_is_a_fault(tree):
    (tree / "val.txt").write_text("b\n")
    (tree / "dataset.yaml").write_text("classes: [soil, leaf, stem]\n")
    status, output = check(tree)
    assert status == 1 and "b.png: is in train and in val" in output


def test_every_fault_is_found_not_only_the_first(tree):
    (tree / "images" / "a.png").unlink()
    _one_pixel(77)(tree / "masks" / "b.png")
    _rgb_mask(tree / "masks" / "c.png")
    status, output = check(tree)
    assert status == 1 and output.rstrip().endswith("3 faults")
    with pytest.raises(InputError, match=r"a\.jpg: missing"):
        open_dataset("folder", tree)


def test_grey_and_palette_and_wide_images_are_named(tree):
    grey = picture_of("a").convert("L")
    grey.save(tree / "images" / "a.png")
    picture_of("b").quantize(64).save(tree / "images" / "b.png")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tree / "images" / "c.png")
    _, output = check(tree)
    for what in ("grey: a.png", "palette: b.png", "16 bits: c.png"):
        assert f"unusual, {what}" in output
    wide, narrow = (read_image(tree / "images" / f"{name}.png") for name in "ca")
    np.testing.assert_array_equal(wide, narrow)


def test_a_format_must_be_said_where_there_is_no_description(tree):
    (tree / "dataset.yaml").unlink()
    status, output = check(tree)
    assert status == 2 and "--format" in output and "voc2012" in output


def test_classes_that_never_occur_are_named(tree):
    (tree / "dataset.yaml").write_text("classes: [soil, leaf, stem, thorn]\nsplits: [train]\n")
    assert "no pixel of these classes: thorn" in check(tree)[1]
