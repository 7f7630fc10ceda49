"""Broken files of many kinds: each is refused by name or put right, none slips through."""

import os
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fcnlib import input_pipeline
from fcnlib.config import Config
from fcnlib.datasets import open_dataset, read_image, read_pair
from fcnlib.errors import InputError
from fcnlib.input_pipeline import ImageStore, train_batches
from fcntools.cli import main
from fcntools.data.check import check_dataset

NAMES = ("a", "b", "c")  # the broken file is the second
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


def make_tree(root):
    for folder in ("images", "masks"):
        (root / folder).mkdir()
    for name in NAMES:
        picture_of(name).save(root / "images" / f"{name}.png")
        Image.fromarray(mask_of(name)).save(root / "masks" / f"{name}.png")
    (root / "train.txt").write_text("\n".join(NAMES) + "\n")
    (root / "dataset.yaml").write_text(YAML)
    return root


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path)


def _write(data):
    """Return what replaces a file by these bytes, or by what they become of its own."""
    return lambda p: p.write_bytes(data(p.read_bytes()) if callable(data) else data)


def _cut(share):
    return _write(lambda data: data[: int(len(data) * share)])


def _flip(place):
    """Turn a byte over, `place` from the start or, as a share, into the file."""

    def change(data):
        at = place if isinstance(place, int) else int(len(data) * place)
        return data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :]

    return _write(change)


def _mask(change, form="PNG", **options):
    """Store a changed mask: an array, or a picture, of the array that was there."""

    def edit(path):
        changed = change(np.asarray(Image.open(path)).copy())
        changed = changed if isinstance(changed, Image.Image) else Image.fromarray(changed)
        changed.save(path, form, **options)

    return edit


def _as(mode, form="PNG", **options):
    return lambda p: Image.open(p).convert(mode).save(p, form, **options)


def _pixel(value, x=9, y=7, kind=np.uint8, form="PNG"):
    def change(mask):
        mask = mask.astype(kind)
        mask[y, x] = value
        return mask

    return _mask(change, form)


def _exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def _several(form, **options):
    def edit(path):
        mask = Image.open(path).copy()
        other = mask.transpose(Image.Transpose.ROTATE_180)
        mask.save(path, form, save_all=True, append_images=[other], **options)

    return edit


def _raw_png(width, height, bits, colour, rows=b""):
    """Write a PNG that Pillow would not, such as one of 16 bits a channel."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    whole = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(whole)


def _wide(channels, factor):
    """Store a picture in 16 bits a channel; factor 257 fills them."""

    def edit(path):
        mode, colour = {1: ("L", 0), 3: ("RGB", 2), 4: ("RGBA", 6)}[channels]
        values = np.asarray(Image.open(path).convert(mode)).astype(np.uint16) * np.uint16(factor)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        path.write_bytes(_raw_png(WIDTH, HEIGHT, 16, colour, rows))

    return edit


def _array(kind, form="TIFF"):
    def edit(path):
        grey = np.asarray(Image.open(path).convert("L"))
        Image.fromarray(grey.astype(kind)).save(path, form)

    return edit


def _link(target):
    def edit(path):
        path.unlink()
        path.symlink_to(target)

    return edit


def _folder(path):
    path.unlink()
    path.mkdir()


def _inverted(path):
    Image.open(path).save(path, "TIFF", tiffinfo={262: 0})  # white is zero


def _second(ending):
    return lambda p: Image.open(p).save(p.with_suffix(ending))


def _instead(ending):
    return lambda p: (_second(ending)(p), p.unlink())


NO_IMAGE, COLOURS = "not a readable image", "a mask must store one index a pixel"
REFUSED = [  # (kind, folder, how, what the fault says)
    ("no image", "images", Path.unlink, "missing"),
    ("no image", "images", _link("gone.png"), "no such file"),
    ("no mask", "masks", Path.unlink, "missing"),
    ("no mask", "masks", _link("gone.png"), "no such file"),
    ("image cut short", "images", _cut(0.5), NO_IMAGE),
    ("image cut short", "images", _cut(0.98), NO_IMAGE),
    ("image cut short", "images", lambda p: (_as("RGB", "JPEG")(p), _cut(0.7)(p)), "truncated"),
    ("image cut short", "images", lambda p: (_as("RGB", "TIFF")(p), _cut(0.4)(p)), NO_IMAGE),
    ("mask cut short", "masks", _cut(0.5), NO_IMAGE),
    ("mask cut short", "masks", _write(lambda data: data[:20]), NO_IMAGE),
    ("mask cut short", "masks", lambda p: (_as("L", "BMP")(p), _cut(0.9)(p)), NO_IMAGE),
    ("flipped byte", "masks", _flip(0.5), NO_IMAGE),
    ("flipped byte", "masks", _flip(0.8), NO_IMAGE),
    ("flipped byte", "images", _flip(0.3), NO_IMAGE),
    ("wrong header", "images", _flip(1), NO_IMAGE),
    ("wrong header", "masks", _flip(24), NO_IMAGE),  # bits a pixel
    ("wrong header", "masks", _write(_raw_png(0, 0, 8, 0)), NO_IMAGE),
    ("wrong header", "images", _write(_raw_png(8, 8, 8, 9)), NO_IMAGE),  # no such kind of colour
    ("empty file", "images", _write(b""), NO_IMAGE),
    ("empty file", "masks", _write(b""), NO_IMAGE),
    ("zeros", "images", _write(lambda data: bytes(len(data))), NO_IMAGE),
    ("zeros", "masks", _write(lambda data: data[:60] + bytes(len(data) - 60)), NO_IMAGE),
    ("text", "masks", _write(b"0 1 2"), NO_IMAGE),
    ("text", "images", _write(b"<html>404</html>"), NO_IMAGE),
    ("bomb", "images", _write(_raw_png(100_000, 100_000, 8, 0)), "exceeds limit"),
    ("bomb", "masks", _write(_raw_png(9_500, 9_500, 8, 0)), "over 90 megapixels"),
    ("mask in colours", "masks", _as("RGB"), f"{COLOURS} (PIL mode P or L), this one is RGB;"),
    ("mask in colours", "masks", _as("RGBA"), "this one is RGBA"),
    ("mask in colours", "masks", _as("LA"), "this one is LA"),
    ("mask in colours", "masks", _as("CMYK", "TIFF"), "this one is CMYK"),
    ("mask in colours", "masks", _array(np.float32), "this one is F"),
    ("mask by a lossy format", "masks", _as("L", "JPEG"), "saved as JPEG has lost its values"),
    ("mask by a lossy format", "masks", _instead(".jpg"), "saved as JPEG has lost its values"),
    ("mask by a lossy format", "masks", _instead(".gif"), "saved as GIF has lost its values"),
    ("mask by a lossy format", "masks", _as("RGB", "WEBP"), "saved as WEBP has lost its values"),
    ("mask by a lossy format", "masks", _mask(lambda m: m * 0 + 2, "GIF"), "as GIF has lost"),
    ("mask of two pictures", "masks", _several("TIFF"), "holds 2 pictures"),
    ("mask of two pictures", "masks", _several("PNG"), "holds 2 pictures"),
    ("mask with an orientation", "masks", _mask(lambda m: m, **_exif(6)), "EXIF orientation"),
    ("mask with an orientation", "masks", _mask(lambda m: m, **_exif(2)), "EXIF orientation"),
    ("inverted mask", "masks", _inverted, "stores its values inverted"),
    ("value of no class", "masks", _pixel(3), "value 3 at (x=9, y=7)"),
    ("value of no class", "masks", _pixel(254, 0, 0), "value 254 at (x=0, y=0)"),
    ("value of no class", "masks", _pixel(300, 55, 39, np.uint16), "value 300 at (x=55, y=39)"),
    ("value of no class", "masks", _pixel(-1, 5, 6, np.int32, "TIFF"), "value -1 at (x=5, y=6)"),
    ("mask of another size", "masks", _mask(lambda m: m[1:]), "56x39"),
    ("mask of another size", "masks", _mask(lambda m: m.T.copy()), "40x56"),
    ("mask of another size", "masks", _mask(lambda m: np.kron(m, np.uint8([[1, 1]]))), "112x40"),
    ("mask of another size", "masks", _mask(lambda m: m[:1, :1] * 0), "1x1"),
    ("image turned away", "images", lambda p: Image.open(p).save(p, **_exif(6)), "turned upright"),
    ("image turned away", "images", lambda p: Image.open(p).save(p, **_exif(5)), "turned upright"),
    ("unknown range", "images", _array(np.float32), "holds fractions"),
    ("unknown range", "images", _array(np.int32), "holds fractions or 32 bits"),
    ("12 of 16 bits", "images", _wide(1, 16), "uses 14 of its 16 bits at most"),
    ("12 of 16 bits", "images", _wide(3, 16), "uses 14 of its 16 bits at most"),
    ("12 of 16 bits", "images", _wide(4, 64), "uses 14 of its 16 bits at most"),
    ("a folder", "images", _folder, "directory"),
    ("a folder", "masks", _folder, "directory"),
    ("a link to itself", "images", lambda p: _link(p.name)(p), "symbolic links"),
    ("a link to itself", "masks", lambda p: _link(p.name)(p), "symbolic links"),
    ("two files of a name", "images", _second(".bmp"), "a second file named"),
    ("two files of a name", "masks", _second(".tif"), "a second file named"),
]


def _named(**files):
    """Write lists and the like, given as text, bytes, or None for a file that is to go."""

    def edit(tree):
        for name, content in files.items():
            path = tree / name.replace("__", ".")
            content = content.encode() if isinstance(content, str) else content
            path.unlink() if content is None else path.write_bytes(content)

    return edit


def _emptied(folder):
    def edit(tree):
        for path in (tree / folder).iterdir():
            path.unlink()

    return edit


PAIRED = {"dataset__yaml": YAML + 'images: "images{split}"\nmasks: masks{split}\n'}
BROKEN_LISTS = [  # (kind, how, how many faults, what one says)
    ("list", _named(train__txt="a\nb\na\n"), 1, "train.txt: names a twice"),
    ("list", _named(train__txt="\n"), 1, "train.txt: names no image"),
    ("list", _named(train__txt=b"a\n\xff\n"), 1, "train.txt: cannot read this list"),
    ("list", _named(train__txt=None), 1, "train.txt: cannot read this list"),
    ("list", _named(train__txt="a\nno such.png\n"), 1, "images/no such.jpg: missing, though"),
    ("empty folder", _emptied("images"), 3, "b.jpg: missing"),
    ("empty folder", _emptied("masks"), 3, "b.png: missing"),
    ("empty folder", _named(**PAIRED), 1, "imagestrain: no images here"),
]


def _turn(orientation, method):
    return lambda i, p: i.transpose(method).save(p, **_exif(orientation))


def _see_through(picture, path):
    levels = picture.convert("L").point(lambda v: v // 8 * 8)
    palette = levels.convert("P")
    palette.putpalette([v for v in range(256) for _ in range(3)])
    palette.save(path, transparency=bytes(range(256)))


TURN = Image.Transpose
REPAIRED = [  # (kind, how the image is stored, what the report calls it)
    ("CMYK", lambda i, p: i.convert("CMYK").save(p, "TIFF"), "CMYK"),
    ("CMYK", lambda i, p: i.convert("CMYK").save(p, "JPEG", quality=100), "CMYK"),
    ("alpha", lambda i, p: i.convert("RGBA").save(p), "alpha"),
    ("alpha", lambda i, p: (i.putalpha(0), i.save(p)), "alpha"),
    ("alpha", lambda i, p: i.convert("LA").save(p), "alpha"),
    ("alpha", _see_through, "palette"),
    ("turned by EXIF, mask upright", _turn(6, TURN.ROTATE_90), "EXIF orientation 6"),
    ("turned by EXIF, mask upright", _turn(3, TURN.ROTATE_180), "EXIF orientation 3"),
    ("turned by EXIF, mask upright", _turn(7, TURN.TRANSVERSE), "EXIF orientation 7"),
    ("grey", lambda i, p: i.convert("L").save(p), "grey"),
    ("black and white", lambda i, p: i.convert("1").save(p), "black and white"),
    ("16 bits", lambda i, p: (i.save(p), _wide(1, 257)(p)), "16 bits"),
    ("16 bits", lambda i, p: (i.save(p), _wide(3, 257)(p)), "16 bits"),
    ("16 bits", lambda i, p: (i.save(p), _wide(4, 257)(p)), "16 bits"),
    ("several pictures", lambda i, p: (i.save(p), _several("TIFF")(p)), "several pictures"),
    ("another ending", lambda i, p: i.save(p, "BMP"), ""),
]


def check(tree):
    run = CliRunner().invoke(main.main, ["data", "check", str(tree)])
    return run.exit_code, run.output


def test_there_are_sixty_broken_files_of_twenty_kinds():
    rows = [*REFUSED, *BROKEN_LISTS, *REPAIRED]
    assert len(rows) >= 60 and len({kind for kind, *_ in rows}) >= 20


def test_a_sound_set_passes(tree):
    status, output = check(tree)
    assert status == 0 and output.rstrip().endswith("0 faults") and "unusual" not in output


def numbered(rows):
    return [pytest.param(*row[1:], id=f"{number} {row[0]}") for number, row in enumerate(rows)]


def faults_of(tree):
    status, output = check(tree)
    assert status == 1 and "Traceback" not in output
    return [line for line in output.splitlines() if line.startswith("fault: ")]


@pytest.mark.parametrize(("folder", "how", "said"), numbered(REFUSED))
def test_what_is_broken_is_refused_by_name(tree, folder, how, said):
    how(tree / folder / "b.png")
    (fault,) = faults_of(tree)
    assert f"{tree / folder / 'b.'}" in fault and said in fault
    with pytest.raises(InputError, match=r"/b\."):
        start_training(tree)


@pytest.mark.parametrize(("how", "count", "said"), numbered(BROKEN_LISTS))
def test_a_broken_list_or_folder_is_refused_by_name(tree, how, count, said):
    how(tree)
    faults = faults_of(tree)
    assert len(faults) == count and any(said in fault for fault in faults)
    with pytest.raises(InputError, match=str(tree)):
        start_training(tree)


@pytest.mark.parametrize(("how", "said"), numbered(REPAIRED))
def test_what_is_unusual_is_named_and_read_rightly(tree, how, said):
    path = tree / "images" / "b.png"
    how(picture_of("b"), path)
    status, output = check(tree)
    assert status == 0 and (f"unusual, {said}: b.png" in output or not said)
    dataset = open_dataset("folder", tree)
    image, mask = read_pair(dataset.records("train")[1], dataset.labels)
    before = picture_of("b").convert({"grey": "L", "black and white": "1"}.get(said, "RGB"))
    grey = (image == image[..., :1]).all()
    before = np.asarray(before.convert("L" if grey else "RGB").convert("RGB")).astype(int)
    assert np.abs(image - before).max() <= (8 if said == "palette" else 2)
    np.testing.assert_array_equal(mask, mask_of("b"))
    start_training(tree)


COLOURED = """classes: {soil: [0, 0, 0], leaf: "#00ff00", stem: [200, 100, 0]}
void: "#ffffff"
splits: [train]
"""


@pytest.mark.parametrize(
    ("mode", "colour", "said"),
    [
        ("RGB", (0, 254, 0), "colour #00fe00 at (x=9, y=7) is the colour of no class"),
        ("RGB", (100, 50, 0), "colour #643200 at (x=9, y=7)"),  # an edge that was smoothed
        ("RGBA", (0, 1, 0, 0), "colour #000100 at (x=9, y=7)"),
        ("P", (200, 100, 1), "colour #c86401 at (x=9, y=7)"),
        ("JPEG", (0, 0, 0), "saved as JPEG has lost its values"),
    ],
)
def test_a_mask_in_colours_of_no_class_is_refused_by_name(tree, mode, colour, said):
    (tree / "dataset.yaml").write_text(COLOURED)
    colours = np.full((256, 3), 255, np.uint8)
    colours[:3] = (0, 0, 0), (0, 255, 0), (200, 100, 0)
    for name in NAMES:
        Image.fromarray(colours[mask_of(name)]).save(tree / "masks" / f"{name}.png")
    assert check(tree)[0] == 0
    path = tree / "masks" / "b.png"
    picture = Image.open(path).convert("RGBA" if mode == "RGBA" else "RGB")
    picture.putpixel((9, 7), colour)
    picture = picture.quantize(8) if mode == "P" else picture
    picture.save(path, "JPEG" if mode == "JPEG" else "PNG")
    (fault,) = faults_of(tree)
    assert f"{path}: " in fault and said in fault
    with pytest.raises(InputError, match=r"/b\.png"):
        start_training(tree)


@pytest.mark.parametrize("what", ["images/b.png", "masks/b.png", "masks", "train.txt"])
def test_what_may_not_be_read_is_refused_by_name(what):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own may be closed to anyone else
        tree = make_tree(Path(folder))
        tree.chmod(0o755)
        assert check(tree)[0] == 0
        (tree / what).chmod(0)
        nobody = os.geteuid() == 0  # to whom nothing is closed
        os.seteuid(65534) if nobody else None
        try:
            status, output = check(tree)
        finally:
            os.seteuid(0) if nobody else None
            (tree / what).chmod(0o755)
        (said,) = (line for line in output.splitlines() if "ermission" in line)
        assert status and str(tree / what) in said and "Traceback" not in output


def test_names_with_spaces_are_read_and_a_files_mark_is_no_part_of_a_name(tree):
    for folder in ("images", "masks"):
        (tree / folder / "b.png").rename(tree / folder / "plot 2.png")
        (tree / folder / "c.png").rename(tree / folder / "plot 2  left.v1.png")
        (tree / folder / "._a.png").write_bytes(b"what macOS leaves")
    lines = ["/x y/images/plot 2.png /x y/masks/plot 2.png", "images/a.png\t1", "plot 2  left.v1"]
    (tree / "train.txt").write_text("\n".join(lines) + "\r\n", encoding="utf-8-sig")
    assert check(tree)[0] == 0
    names = [record.name for record in open_dataset("folder", tree).records("train")]
    assert names == ["a", "plot 2", "plot 2  left.v1"]


def start_training(tree):
    """Do what a training does before its first step, then take its first batch."""
    dataset = open_dataset("folder", tree)
    store = ImageStore(dataset.records("train"), dataset.labels)
    return next(iter(train_batches(store, Config().data, 2, 0, 0, 1)))


def test_a_training_is_refused_before_its_first_step(tree):
    """The first batch may not hold the broken file; it is refused all the same."""
    for name in "defgh":
        picture_of(name).save(tree / "images" / f"{name}.png")
        Image.fromarray(mask_of(name)).save(tree / "masks" / f"{name}.png")
    (tree / "train.txt").write_text("\n".join([*NAMES, *"defgh"]))
    _pixel(77)(tree / "masks" / "h.png")
    dataset = open_dataset("folder", tree)
    store = ImageStore(dataset.records("train"), dataset.labels)
    with pytest.raises(InputError, match=r"h\.png: value 77"):
        train_batches(store, Config().data, 1, 0, 0, 1)


def test_the_reading_of_a_large_split_shows_how_far_it_is(tree, monkeypatch, capfd):
    monkeypatch.setattr(input_pipeline, "_MANY", len(NAMES))
    start_training(tree)
    assert "checking: 3/3 [" in capfd.readouterr().err


def test_the_report_counts_what_the_files_hold(tree):
    report = check_dataset(open_dataset("folder", tree))
    masks = np.stack([mask_of(name) for name in NAMES])
    np.testing.assert_array_equal(report.pixels, np.bincount(masks.ravel(), minlength=256))
    assert report.images[1] == sum((mask == 1).any() for mask in masks)
    assert report.sizes == {(HEIGHT, WIDTH): 3} and report.faults == []
    text = "\n".join(report.lines())
    assert "train 3" in text and f"{(masks == 2).sum():,}" in text and "void" in text


PALETTE = [0, 0, 0, 255, 0, 0, 0, 255, 0]  # of soil, leaf, stem


def _coloured(path, palette):
    picture = Image.open(path)
    picture.putpalette(palette + [9] * 759)
    picture.save(path)


def test_palettes_that_disagree_are_refused_by_name_index_and_colours(tree):
    """What a tool does that numbers the colours of each mask anew: leaf is stem in one."""
    for name in NAMES:
        _coloured(tree / "masks" / f"{name}.png", PALETTE)
    assert check(tree)[0] == 0
    _coloured(tree / "masks" / "c.png", PALETTE[:3] + PALETTE[6:] + PALETTE[3:6])
    a, c = tree / "masks" / "a.png", tree / "masks" / "c.png"
    (fault,) = faults_of(tree)
    said = "index 1 is #00ff00 in its palette, but #ff0000 in that of"
    assert f"{c}: {said} {a}; save all masks" in fault
    with pytest.raises(InputError, match=r"index 1 is #.* in its palette, but #.* in that of"):
        start_training(tree)


def test_palettes_may_differ_where_no_pixel_is_and_in_void(tree):
    _coloured(tree / "masks" / "a.png", PALETTE)
    picture = Image.open(tree / "masks" / "b.png")
    picture.putpalette(PALETTE + [7] * 759)  # 255 among them
    picture.save(tree / "masks" / "b.png")
    assert check(tree)[0] == 0
    one = Image.new("P", (WIDTH, HEIGHT), 0)
    one.putpalette([0, 0, 0, 1, 1, 1])
    one.save(tree / "masks" / "c.png")
    assert check(tree)[0] == 0
    start_training(tree)


@pytest.mark.parametrize("split", ["val", "test", "other"])
def test_an_image_in_two_splits_is_a_fault_or_said(tree, split):
    (tree / f"{split}.txt").write_text("b2\n")
    (tree / "images" / "b2.png").symlink_to(tree / "images" / "b.png")
    (tree / "masks" / "b2.png").symlink_to(tree / "masks" / "b.png")
    (tree / "dataset.yaml").write_text(YAML.replace("[train]", f"[{split}, train]"))
    status, output = check(tree)
    if split == "other":  # such as VOC's trainval: a training on both is refused
        assert status == 0 and "unusual, in train and in other: b.png" in output
    else:
        said = f"b.png: is in train and in {split} ({tree / 'images' / 'b2.png'}); remove it"
        assert status == 1 and said in output


def test_every_fault_is_found_not_only_the_first(tree):
    (tree / "images" / "a.png").unlink()
    _pixel(77)(tree / "masks" / "b.png")
    _as("RGB")(tree / "masks" / "c.png")
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
    assert status == 2 and "dataset.yaml: no such file" in output


def test_classes_that_never_occur_are_named(tree):
    (tree / "dataset.yaml").write_text("classes: [soil, leaf, stem, thorn]\nsplits: [train]\n")
    assert "no pixel of these classes: thorn" in check(tree)[1]
