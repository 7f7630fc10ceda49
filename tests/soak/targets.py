"""Every reader and parser, and bytes that it may get: valid files with damage, trees of junk."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import resource
import signal
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nbformat
import numpy as np
import scipy.io
import yaml
from hypothesis import strategies as st
from notebook_maker import write_notebook
from PIL import Image
from released_files import write_v1, write_v2

from fcnlib import builders, checkpoints, config
from fcnlib.datasets import describe_image, open_dataset, read_image, read_mask, voc
from fcnlib.datasets.records import pair_by_name
from fcnlib.errors import InputError
from fcnlib.labels import make_labels
from fcntools.cli import main, rerun
from fcntools.cli.options import read_scales
from fcntools.data.download import unpack
from fcntools.data.tfrecords import PackedFile
from fcntools.pretrained import imagenet, shapes_classifier
from fcntools.workbook import notebooks as notebooks
from fcntools.workbook import run_cache

SECONDS, MEMORY = 60, 2 << 30  # of one input, the seconds those of a processor
CORPUS = Path(__file__).with_name("corpus")


class Hang(BaseException):
    """An input took longer than it may."""


@dataclass(frozen=True)
class Target:
    """A reader: the file name its input gets, the inputs, and what is done with the file."""

    name: str
    file: str
    inputs: st.SearchStrategy[bytes]
    read: Callable[[Path], Any]

    def attempt(self, data: bytes) -> None:
        """Read an input; only InputError, of one line, may come of it, and no file elsewhere."""
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "a" / "b"
            place.mkdir(parents=True)
            (place / self.file).parent.mkdir(parents=True, exist_ok=True)
            (place / self.file).write_bytes(data)
            with limited(), warnings.catch_warnings(), contextlib.suppress(InputError):
                warnings.simplefilter("ignore")  # as a program started by a user does
                try:
                    self.read(place / self.file)
                except InputError as error:
                    assert "\n" not in str(error) and len(str(error)) < 5000 + 2 * len(data), (
                        "not one line"
                    )
                    raise
            outside = [p for p in Path(folder).rglob("*") if p.is_file() and place not in p.parents]
            assert not outside, f"written elsewhere: {outside}"


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Let the block have so many seconds and so much more memory."""

    def stop(*_: object) -> None:
        raise Hang

    def size() -> int:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (size() + MEMORY, before[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


@st.composite
def damaged(draw, seeds: Callable[[], Sequence[bytes]]) -> bytes:
    """Return a valid file, or one with up to six faults: bytes changed, cut, doubled, put in."""
    made = seeds()
    data = bytearray(draw(st.sampled_from(made)))
    for _ in range(draw(st.integers(0, 6))):
        at, size = draw(st.integers(0, len(data))), draw(st.sampled_from((1, 2, 4, 16, 200)))
        match draw(st.integers(0, 5)):
            case 0:
                data[at : at + size] = draw(st.binary(min_size=1, max_size=size))
            case 1:
                data[at : at + size] = draw(st.sampled_from((b"\xff", b"\0", b"\x7f"))) * size
            case 2:
                del data[at:]
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = data[at : at + size] * draw(st.sampled_from((1, 2, 50)))
            case 5:
                other = draw(st.sampled_from(made))
                data[at:] = other[draw(st.integers(0, len(other))) :]
    return bytes(data)


_SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.integers(-2, 300), st.text(max_size=8)),
    *(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(("../x", "/x", "a\nb"))),
)


def trees(*keys: str, like: Any = None) -> st.SearchStrategy[Any]:
    """Return junk of scalars, lists and dictionaries with these keys; or `like` with junk in it."""
    names = st.one_of(st.sampled_from(keys or ("a",)), st.text(max_size=4))
    junk = st.recursive(
        _SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4), st.dictionaries(names, inner, max_size=4)
        ),
        max_leaves=8,
    )
    return junk if like is None else _spoilt(like, junk)


@st.composite
def _spoilt(draw, like: Any, junk: st.SearchStrategy[Any]) -> Any:
    tree = json.loads(json.dumps(like))
    for _ in range(draw(st.integers(0, 3))):
        at = tree
        while True:
            places = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not places:
                break
            key = draw(st.sampled_from(places))
            if isinstance(at[key], dict | list) and draw(st.booleans()):
                at = at[key]
                continue
            if isinstance(at, dict) and draw(st.booleans()):
                del at[key]
            else:
                at[key] = draw(junk)
            break
    return tree


def as_json(tree: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Write trees as JSON."""
    return tree.map(lambda value: json.dumps(value).encode())


def lines(*parts: str) -> st.SearchStrategy[bytes]:
    """Return words, some of them these, with a zero byte between them, as the kernel has them."""
    word = st.one_of(st.sampled_from(parts), st.text(max_size=12))
    return st.lists(word, max_size=5).map(lambda words: "\0".join(words).encode("utf-8", "ignore"))


@functools.cache
def pictures() -> list[bytes]:
    """Return a small picture in every format and mode that users have."""
    grey = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10) % 20
    made = []
    for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16", "I", "F"):
        picture = Image.fromarray(grey)
        if mode in ("I;16", "I", "F"):
            kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
            picture = Image.fromarray(grey.astype(kind))
        elif mode != "L":
            picture = picture.convert(mode)
        for form in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP"):
            data = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError):
                picture.save(data, form)
                made.append(data.getvalue())
    return made


@functools.cache
def checkpoints_of_ours() -> list[bytes]:
    """Return a checkpoint, whole and half."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        made = []
        for half in (False, True):
            checkpoints.save(path, {"a/weights": np.ones((3, 4), np.float32)}, _META, half)
            made.append(path.read_bytes())
        return made


_SETTINGS = {"backbone": "vgg_16", "depth_multiplier": 0.01, "min_depth": 2}
_META = {"kind": "fcn", "stride": 32, "classes": ["a", "b"], "settings": _SETTINGS, "name": "x"}


_CLASSIFIER = {"kind": "classifier", "classes": ["a", "b"], **_SETTINGS, "batch_norm": True}


def with_meta(meta: Any) -> bytes:
    """Return a checkpoint that says this of itself, and holds the arrays of a small FCN."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, array in arrays_of_a_network().items():
            archive.writestr(name, array)
        archive.writestr("meta.json", json.dumps(meta))
    return data.getvalue()


@functools.cache
def arrays_of_a_network() -> dict[str, bytes]:
    """Return the entries of the checkpoint of the network that _META describes."""
    network = builders.build_fcn(config.Config().replace(**_SETTINGS), 2, 32)
    arrays = {name: variable.numpy() for name, variable in network.named_variables().items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.npz"
        checkpoints.save(path, arrays, _META)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist() if name != "meta.json"}


@functools.cache
def released(form: str) -> list[bytes]:
    """Return a small file in the form of the released weights."""
    arrays = {"InceptionV3/Conv2d_1a_3x3/weights": np.ones((3, 3, 3, 32), np.float32)}
    arrays |= {"InceptionV3/Conv2d_1a_3x3/BatchNorm/beta": np.ones(32, np.float32)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c"
        if form == "v1":
            return [write_v1(path, arrays).read_bytes()]
        if form == "v2":
            return [Path(f"{write_v2(path, arrays)}.index").read_bytes()]
        with h5py.File(path, "w") as file:
            file["conv2d_1/conv2d_1/kernel:0"] = np.ones((3, 3, 3, 32), np.float32)
            file.create_dataset("x/y:0", data=np.zeros(100, np.float32), compression="gzip")
        return [path.read_bytes()]


@functools.cache
def mats() -> list[bytes]:
    """Return SBD's kind of mask, compressed and not."""
    made = []
    for small in (False, True):
        data = io.BytesIO()
        mask = np.arange(20, dtype=np.uint8).reshape(4, 5)
        scipy.io.savemat(data, {"GTcls": {"Segmentation": mask}}, do_compression=small)
        made.append(data.getvalue())
    return made


@functools.cache
def arrays() -> list[bytes]:
    """Return masks as NumPy saves them."""
    made = []
    for kind in (np.uint8, np.int64, np.float32, object):
        data = io.BytesIO()
        np.save(data, np.arange(20).reshape(4, 5).astype(kind))
        made.append(data.getvalue())
    return made


@functools.cache
def archives() -> list[bytes]:
    """Return a zip and tars, one that climbs out of its folder among them."""
    made = []
    for names in (("a/b.txt", "a/c.txt"), ("../b.txt",), ("/b.txt", "a")):
        for mode in ("zip", "w", "w:gz", "w:xz"):
            data = io.BytesIO()
            if mode == "zip":
                with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
                    for name in names:
                        archive.writestr(name, b"text" * 20)
            else:
                with tarfile.open(fileobj=data, mode=mode) as archive:
                    for name in names:
                        entry = tarfile.TarInfo(name)
                        entry.size = 80
                        archive.addfile(entry, io.BytesIO(b"text" * 20))
            made.append(data.getvalue())
    return made


@functools.cache
def notebook() -> list[bytes]:
    """Return a notebook as stored."""
    with tempfile.TemporaryDirectory() as folder:
        return [write_notebook(Path(folder) / "00_a.ipynb", "1").read_bytes()]


def texts(folder: Path, pattern: str) -> Callable[[], list[bytes]]:
    """Return what reads all files of a folder."""
    return functools.cache(lambda: [p.read_bytes() for p in sorted(folder.glob(pattern))])


_YAML = {
    "name": "own",
    "classes": {"sky": 0, "road": 7},
    "void": [255],
    "palette": ["#00ff00", [1, 2, 3]],
    "splits": {"train": "train.txt"},
    "images": "images/{split}",
    "masks": "masks",
}
_COLOURS = {"classes": {"sky": "#102030", "road": [1, 2, 3]}, "void": "#ffffff", "layout": "voc"}
_INDEX = {
    "version": 2,
    "name": "shapes",
    "labels": {"name": "s", "classes": ["a"], "palette": [[0, 0, 0]], "lut": [0] * 256}
    | {"colours": None},
    "splits": {"train": [0]},
    "pairs": [
        {"name": "n", "shard": "t.gz", "record": [0, 9]}
        | {"image": ["image/i.jpg", "0" * 64, [0, 9]], "mask": ["mask/m.png", "0" * 64, [0, 9]]}
    ],
}
_RECORD = {"command": "fcnlib train --out x", "config": {"seed": 1, "strides": [32]}}
_RECORD |= {"versions": {"numpy": "1"}, "machine": {"cpu": "x"}, "notebooks": {"00_a": {}}}
_STAMP = {"digest": "0", "id": "1", "seconds": 1.0}
_BY_COLOUR = make_labels(
    *("own", ("a", "b"), np.zeros((2, 3), np.uint8)), None, (), {0: 0, 0xFFFFFF: 255}
)
_NB = {"cells": [{"cell_type": "code", "source": "profile = 'q'", "metadata": {"tags": ["x"]}}]}
_NB |= {"metadata": {}, "nbformat": 4, "nbformat_minor": 5}
_KEYS = tuple(f"{key}=" for key in config.Config().to_dict())


def _folder_of(path: Path) -> Any:
    dataset = open_dataset("folder", path, faulty=True)
    return dataset.counts()


_LISTS = [b"a.png\nb c\n/x/d.jpg\n", "a\\b.png\r\nc\n".encode("utf-16")]


def _list(path: Path) -> None:
    pair_by_name(path, path.parent, path.parent, [])


def _words(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").split("\0")


def _settings(path: Path) -> None:
    for word in _words(path):
        with contextlib.suppress(InputError):
            config.Config().replace(**dict([config.parse_setting(word)]))
        with contextlib.suppress(InputError):
            read_scales(word)
        notebooks.split_settings([word], [_NOTEBOOK])


_NOTEBOOK = notebooks.Notebook(
    Path("00_a.ipynb"), nbformat.v4.new_notebook(), {"n": 1, "x": 0.5, "t": "", "l": [1], "b": True}
)


def _command_line(path: Path) -> None:
    import click

    words = _words(path)
    try:
        context = main.main.make_context("fcnlib", words)
        name, command, rest = main.main.resolve_command(context, context.args or ["-"])
        command.make_context(name, rest, parent=context)
    except (click.ClickException, click.exceptions.Exit):
        pass


def _packed(path: Path) -> None:
    for records in open_dataset("packed", path.parent).splits.values():
        for record in records:
            assert Path(record.name).name == record.name, "a name that leads elsewhere"
            read_mask(record.label_path, voc.VOC)


def _shard(path: Path) -> None:
    PackedFile("mask/m", "0" * 64, path, (0, path.stat().st_size), (8, 2**40)).read_bytes()


def _words_of_commands() -> tuple[str, ...]:
    found = ["--help", "-h"]
    for name, command in main.main.commands.items():
        found += [name, *(option for p in command.params for option in p.opts)]
        found += getattr(command, "commands", {})
    return tuple(found)


TARGETS = (
    Target(
        *("profile", "p.toml", damaged(texts(config.PROFILES, "*.toml"))),
        lambda p: config.load_profile(str(p)),
    ),
    Target("setting", "words", lines(*_KEYS, "n=", "x=", "l=", "b=", "1e400", "nan"), _settings),
    Target("command line", "words", lines(*_words_of_commands()), _command_line),
    Target("image", "i.png", damaged(pictures), lambda p: (describe_image(p), read_image(p))),
    Target("mask", "m.png", damaged(pictures), lambda p: read_mask(p, voc.VOC)),
    Target("mask in colours", "m.png", damaged(pictures), lambda p: read_mask(p, _BY_COLOUR)),
    Target("mask as array", "m.npy", damaged(arrays), lambda p: read_mask(p, voc.VOC)),
    Target("mask of SBD", "m.mat", damaged(mats), lambda p: read_mask(p, voc.VOC)),
    Target(
        *("dataset.yaml", "dataset.yaml"),
        st.one_of(
            trees(*_YAML, like=_YAML).map(lambda t: yaml.safe_dump(t).encode()),
            trees(*_COLOURS, like=_COLOURS).map(lambda t: yaml.safe_dump(t).encode()),
            damaged(lambda: [yaml.safe_dump(_YAML).encode()]),
        ),
        _folder_of,
    ),
    Target("list of a split", "train.txt", damaged(lambda: _LISTS), _list),
    Target("checkpoint", "c.npz", damaged(checkpoints_of_ours), checkpoints.load),
    Target(
        *("checkpoint's words", "c.npz", trees(*_META, *_SETTINGS, like=_META).map(with_meta)),
        builders.load_fcn,
    ),
    Target(
        *("classifier's words", "c.npz", trees(*_CLASSIFIER, like=_CLASSIFIER).map(with_meta)),
        shapes_classifier.load_classifier,
    ),
    Target("slim checkpoint, V1", "c.ckpt", damaged(lambda: released("v1")), imagenet.read),
    Target("slim checkpoint, V2", "c.index", damaged(lambda: released("v2")), imagenet.read),
    Target("Keras h5", "c.h5", damaged(lambda: released("h5")), imagenet.read),
    Target("packed index", "index.json", as_json(trees(like=_INDEX)), _packed),
    Target("packed shard", "t.gz", damaged(lambda: [gzip.compress(bytes(range(99)))]), _shard),
    Target("run record", "record.json", as_json(trees(*_RECORD, like=_RECORD)), rerun.read),
    Target(
        *("stamp", "out/.stamps/a.json", as_json(trees(*_STAMP, like=_STAMP))),
        lambda p: (run_cache.read(p.parents[1], "a"), run_cache.clean(p.parents[1])),
    ),
    Target(
        *("notebook", "00_a.ipynb", st.one_of(damaged(notebook), as_json(trees(like=_NB)))),
        notebooks.read_notebook,
    ),
    Target(*("archive", "a.zip", damaged(archives)), lambda p: unpack(p, p.with_name("new"))),
)


def past_failures() -> list[tuple[Target, Path]]:
    """Return the inputs that once escaped, each with its target."""
    by_name = {target.name: target for target in TARGETS}
    return [(by_name[p.parent.name], p) for p in sorted(CORPUS.glob("*/*"))]
