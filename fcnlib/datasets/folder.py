"""Any folder of images and masks, described by a `dataset.yaml`; data/README.md has examples."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fcnlib.datasets.records import Dataset, pair_by_name, pair_folders, read_text
from fcnlib.datasets.voc import open_voc
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet, make_labels, voc_palette

_FILES = ("dataset.yaml", "dataset.yml")
_KEYS = ("name", "layout", "root", "classes", "palette", "void", "images", "masks", "splits")
_DEPTH = 8
_LONGEST_NAME, _LONGEST_PATH = 200, 2000  # bytes; systems take 255 and some 4000
_LAYOUTS = ("folders", "voc")
_ID, _HEX = re.compile("[0-9]{1,3}"), re.compile("#?[0-9a-fA-F]{6}")


def description(root: Path) -> Path:
    """Return the path of the `dataset.yaml` that is meant, which need not be there.

    Args:
        root: the file itself, or the folder that holds it.
    """
    if root.suffix in (".yaml", ".yml"):
        return root
    first, *others = (root / name for name in _FILES)
    return next((path for path in others if path.is_file() and not first.is_file()), first)


def open_folder(root: Path) -> Dataset:
    """Open what a `dataset.yaml` describes.

    Args:
        root: the file, or the folder that holds it.

    Returns:
        The data set.

    Raises:
        InputError: no such file, or one that cannot be meant; the message names the key.
    """
    path = description(root)
    about = _read(path)
    base = path.parent / _place(path, "root", about.get("root", "."))
    name = str(about.get("name", base.resolve().name))
    labels = _labels(path, name, about)
    if about.get("layout", "folders") == "voc":
        return open_voc(base, labels, name)
    faults: list[str] = []
    splits = {}
    images, masks = (_place(path, key, about.get(key, key)) for key in ("images", "masks"))
    for split, listed in _splits(path, about).items():
        folders = base / images.replace("{split}", split), base / masks.replace("{split}", split)
        if "{split}" in images:
            splits[split] = pair_folders(*folders, faults)
        else:
            splits[split] = pair_by_name(base / listed, *folders, faults)
    return Dataset(name, base, labels, splits, tuple(faults))


def _read(path: Path) -> dict[str, Any]:
    try:
        text = read_text(path)
        _look_through(text)
        about = yaml.safe_load(text)
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; it says what the classes are, see data/README.md"
        ) from None
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable: {' '.join(str(error).split())}") from None
    if isinstance(about, dict) and "names" in about and "classes" not in about:
        about["classes"] = about.pop("names")  # as in the files of Ultralytics and Roboflow,
        about.pop("nc", None)  # which count them here
    if not isinstance(about, dict) or not about.get("classes"):
        raise InputError(f"{path}: has no `classes`; list their names")
    for key in about:
        if key not in _KEYS:
            raise InputError(f"{path}: no key {key!r}; use {', '.join(_KEYS)}")
    if about.get("layout", "folders") not in _LAYOUTS:
        raise InputError(f"{path}: layout = {about['layout']!r}; use {', '.join(_LAYOUTS)}")
    return about


def _look_through(text: str) -> None:
    depth = 0
    for event in yaml.parse(text):  # an alias can stand for a billion words
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH or isinstance(event, yaml.AliasEvent):
            raise ValueError("nested too deeply, or with *aliases; write it out")


def _splits(path: Path, about: dict[str, Any]) -> dict[str, str]:
    splits = about.get("splits", ["train", "val"])
    if isinstance(splits, list) and all(isinstance(split, str) for split in splits):
        splits = {split: f"{split}.txt" for split in splits}
    if not isinstance(splits, dict) or not all(
        isinstance(word, str) for pair in splits.items() for word in pair
    ):
        raise InputError(f"{path}: splits = {splits!r}; use [train, val] or {{train: LIST.txt}}")
    return {
        _place(path, "splits", split): _place(path, f"splits: {split}", listed)
        for split, listed in splits.items()
    }


def _place(path: Path, key: str, value: Any) -> str:
    """Return a path of the file, which must be text that a path can be."""
    if not isinstance(value, str) or "\0" in value:
        raise InputError(
            f"{path}: {key} = {value!r} is no path; write the name of a folder or file"
        )
    whole = value.encode("utf-8", "surrogatepass")
    if len(whole) > _LONGEST_PATH or max(map(len, whole.split(b"/"))) > _LONGEST_NAME:
        raise InputError(f"{path}: {key}: a path of {len(whole)} bytes is too long; shorten it")
    return os.path.expanduser(value.replace("\\", "/"))


def _labels(path: Path, name: str, about: dict[str, Any]) -> LabelSet:
    classes = about["classes"]
    if not isinstance(classes, list | dict):
        raise InputError(f"{path}: classes = {classes!r}; write a list of names")
    listed = isinstance(classes, list)
    words, values = list(classes), list(range(len(classes)) if listed else classes.values())
    named = int in map(type, words) or None in map(_as_code, values)
    if named and all(_ID.fullmatch(str(word)) for word in words):
        words, values = values, [int(word) for word in words]  # {0: soil, 1: leaf}
    names = [_text(path, word) for word in words]
    if len(set(names)) < len(names):
        raise InputError(f"{path}: classes: {len(set(names))} different names of {len(names)}")
    if len(names) > VOID:
        raise InputError(f"{path}: {len(names)} classes; there may be {VOID}, as {VOID} is void")
    void = about.get("void")
    if all(type(value) is int for value in values):
        voids = [v for v in [VOID] if v not in values] if void is None else _listed(void)
        wrong = [v for v in (*values, *voids) if type(v) is not int or not 0 <= v <= 255]
        if wrong or len({*values, *voids}) < len(values) + len(voids):
            raise InputError(f"{path}: values {values}, void {voids}: each once, and 0..255")
        palette = _listed(about.get("palette") or _codes(voc_palette(len(names))).tolist())
        return make_labels(name, names, _palette(path, names, palette), values, voids)
    palette = _palette(path, names, values)
    voids = [] if void is None else [void] if _is_colour(void) else _listed(void)
    every = [*_codes(palette).tolist(), *(_code(path, v) for v in voids)]
    if len(set(every)) < len(every):
        raise InputError(f"{path}: classes: two classes, or a class and void, share a colour")
    meaning = [*range(len(names)), *[VOID] * len(voids)]
    return make_labels(
        name, names, palette, void_values=(), colours=dict(zip(every, meaning, strict=True))
    )


def _text(path: Path, name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{path}: classes: {name!r} is no name; write a word or put it in quotes")
    return name


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _palette(path: Path, names: list[str], colours: list[Any]) -> np.ndarray:
    if len(colours) != len(names):
        raise InputError(f"{path}: palette has {len(colours)} colours for {len(names)} classes")
    codes = np.array([_code(path, colour) for colour in colours])
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8)


def _codes(palette: np.ndarray) -> np.ndarray:
    return palette.astype(int) @ np.array([1 << 16, 1 << 8, 1])


def _is_colour(value: Any) -> bool:
    parts = value if isinstance(value, list) and len(value) == 3 else []
    return isinstance(value, str) or bool(parts and all(type(p) is int for p in parts))


def _code(path: Path, colour: Any) -> int:
    code = _as_code(colour)
    if code is None:
        raise InputError(f'{path}: {colour!r} is no colour; write [R, G, B] (0..255) or "#RRGGBB"')
    return code


def _as_code(colour: Any) -> int | None:
    """Return 0xRRGGBB of [R, G, B], "#RRGGBB" or 0xRRGGBB, None of anything else."""
    if isinstance(colour, str):
        return int(colour[-6:], 16) if _HEX.fullmatch(colour) else None
    if isinstance(colour, list):
        fits = len(colour) == 3 and all(type(v) is int and 0 <= v <= 255 for v in colour)
        return int.from_bytes(colour) if fits else None
    return colour if type(colour) is int and 0 <= colour < 1 << 24 else None
