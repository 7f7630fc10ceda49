"""No input gets past a reader but with one line that says what is wrong."""

import hashlib
import zipfile
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from ledger import NOTES, SOAK, note, share
from PIL import Image
from targets import TARGETS, past_failures

from fcnlib import builders, checkpoints
from fcnlib.datasets import read_image
from fcnlib.errors import InputError

INPUTS = share(10_000, 10)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_no_input_escapes(target):
    tried, escaped = [0], {}

    @settings(
        max_examples=INPUTS,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(target.inputs)
    def attempt(data):
        tried[0] += 1
        try:
            target.attempt(data)
        except BaseException as error:
            escaped[type(error).__name__] = data
            raise

    try:
        attempt()
    finally:
        for data in escaped.values() if SOAK else ():
            (NOTES / "escaped" / target.name).mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(data).hexdigest()[:8]
            (NOTES / "escaped" / target.name / name).write_bytes(data)
        note(f"bad input: {target.name}", "Hypothesis", tried[0], sorted(escaped))


@pytest.mark.parametrize(
    ("target", "path"), past_failures(), ids=lambda v: getattr(v, "stem", getattr(v, "name", ""))
)
def test_what_once_escaped_does_so_no_more(target, path):
    target.attempt(path.read_bytes())


LAUGHS = "a: &a [1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghijklm")
)
BOMBS = [  # (target, what would take the memory of a machine or its stack)
    ("dataset.yaml", f"{LAUGHS}name: *m\nclasses: [x]\n"),
    ("dataset.yaml", "[" * 100_000),
    ("dataset.yaml", "classes: [a]\nname: 2001-99-99\n"),
    ("profile", "a = " + "[" * 100_000),
    ("run record", "[" * 100_000),
    ("packed index", "[" * 100_000),
    ("setting", f"n={'-' * 100_000}1\0l={'(' * 1000}\0l={{[]:1}}\0n={'9' * 100_000}"),
    ("notebook", "[" * 100_000),
]


@pytest.mark.parametrize(("name", "text"), BOMBS, ids=[f"{n} {len(t)}" for n, t in BOMBS])
def test_a_text_that_explodes_is_refused(name, text):
    next(t for t in TARGETS if t.name == name).attempt(text.encode())


def test_a_checkpoint_that_explodes_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(300 << 20))
        archive.writestr("meta.json", "{}")
    with pytest.raises(InputError, match=r"unpacks to 0\.3 GiB"):
        checkpoints.load(tmp_path / "c.npz")


@pytest.mark.parametrize("depth", [{"min_depth": 10**6}, {"depth_multiplier": 1e6}])
def test_a_checkpoint_that_asks_for_a_giant_network_is_refused(tmp_path, depth):
    meta = {"kind": "fcn", "stride": 32, "classes": ["a"], "settings": depth}
    checkpoints.save(tmp_path / "c.npz", {}, meta)
    with pytest.raises(InputError, match="is not in"):
        builders.load_fcn(tmp_path / "c.npz")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_read(tmp_path):
    Image.new("1", (14_200, 14_200)).save(tmp_path / "i.png")
    with pytest.raises(InputError, match=r"\(201640000 pixels\) exceeds limit"):
        read_image(tmp_path / "i.png")


@pytest.mark.skipif(not SOAK, reason="a minute and gigabytes: in `make soak`")
@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_the_largest_picture_takes_less_than_two_gigabytes(tmp_path, mode):
    form = "tiff" if mode == "CMYK" else "png"
    for name, side in (("image", 14_100), ("mask", 9_480), ("mask in colours", 9_480)):
        Image.new(mode, (side, side)).save(tmp_path / f"i.{form}", compression="tiff_lzw")
        data = (tmp_path / f"i.{form}").read_bytes()
        target = next(t for t in TARGETS if t.name == name)
        target.attempt(data)
