"""Any folder of images and masks, described by a `dataset.yaml`; data/README.md has examples."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fcnlib.datasets.records import Dataset, pair_by_name, read_text
from fcnlib.datasets.voc import open_voc
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet, make_labels, voc_palette

_KEYS = ("name", "layout", "root", "classes", "palette", "void", "images", "masks", "splits")
_ID, _HEX = re.compile("[0-9]{1,3}"), re.compile("#?[0-9a-fA-F]{6}")


def open_folder(root: Path) -> Dataset:
    """Open what a `dataset.yaml`, the file or the folder that holds it, describes.

    Raises:
        InputError: no such file, or one that cannot be meant; the message names the key.
    """
    paths = [root / "dataset.yaml", root / "dataset.yml"]
    if root.suffix in (".yaml", ".yml"):
        paths = [root]
    path = next((path for path in paths if path.is_file()), paths[0])
    try:
        about = _read(path)
        base = path.parent / _place("root", about.get("root", "."))
        name = str(about.get("name", base.resolve().name))
        labels = _labels(name, about)
        if about.get("layout") == "voc":
            return open_voc(base, labels, name)
        faults, splits = [], {}
        places = [_place(key, about.get(key, key)) for key in ("images", "masks")]
        for split, names in _splits(about).items():
            folders = [base / place.replace("{split}", split) for place in places]
            listed = None if "{split}" in places[0] else base / names
            splits[split] = pair_by_name(listed, *folders, faults)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; see data/README.md") from None
    except (OSError, ValueError, OverflowError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())}") from None
    return Dataset(name, base, labels, splits, tuple(faults))


def _read(path: Path) -> dict[str, Any]:
    text, depth = read_text(path), 0
    for event in yaml.parse(text):  # as a stream: to build the whole can take hours
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > 9:
            raise ValueError("holds *aliases or ten brackets in brackets; write it out")
    about = yaml.safe_load(text)
    if isinstance(about, dict) and "names" in about and "classes" not in about:
        about["classes"] = about.pop("names")  # as in the files of Ultralytics and Roboflow,
        about.pop("nc", None)  # which count them here
    if not isinstance(about, dict) or not about.get("classes"):
        raise ValueError("has no `classes`; list their names")
    for key in about:
        if key not in _KEYS:
            raise ValueError(f"no key {key!r}; use {', '.join(_KEYS)}")
    if about.get("layout", "folders") not in ("folders", "voc"):
        raise ValueError(f"layout = {about['layout']!r}; use folders or voc")
    return about


def _splits(about: dict[str, Any]) -> dict[str, str]:
    splits = about.get("splits", ["train", "val"])
    splits = {str(s): f"{s}.txt" for s in splits} if isinstance(splits, list) else splits
    if not isinstance(splits, dict):
        raise ValueError(f"splits = {splits!r}; use [train, val] or {{train: LIST.txt}}")
    return {_place("splits", s): _place(f"splits: {s}", listed) for s, listed in splits.items()}


def _place(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} = {value!r:.99} is no path; write the name of a folder or file")
    return os.path.expanduser(value.replace("\\", "/"))


def _labels(name: str, about: dict[str, Any]) -> LabelSet:
    classes, void = about["classes"], about.get("void")
    if not isinstance(classes, list | dict):
        raise ValueError(f"classes = {classes!r}; write a list of names")
    words = list(classes)
    values = list(classes.values()) if isinstance(classes, dict) else list(range(len(classes)))
    named = all(type(value) is int or _code(value) is not None for value in values)
    if (int in map(type, words) or not named) and all(_ID.fullmatch(str(w)) for w in words):
        words, values = values, [int(word) for word in words]  # {0: soil, 1: leaf}
    for word in words:
        if not isinstance(word, str) or not word.strip():
            raise ValueError(f"classes: {word!r} is no name; write a word or put it in quotes")
    if len(set(words)) < len(words):
        raise ValueError(f"classes: {len(set(words))} different names of {len(words)}")
    if len(words) > VOID:
        raise ValueError(f"{len(words)} classes; there may be {VOID}, as {VOID} is void")
    if all(type(value) is int for value in values):
        voids = [v for v in [VOID] if v not in values] if void is None else _listed(void)
        every = [*values, *voids]
        wrong = [v for v in every if type(v) is not int or not 0 <= v <= 255]
        if wrong or len(set(every)) < len(every):
            raise ValueError(f"values {values}, void {voids}: each once, and 0..255")
        palette = voc_palette(len(words))
        if "palette" in about:
            palette = _palette(_codes(_listed(about["palette"])), len(words))
        return make_labels(name, words, palette, values, voids)
    voids = [] if void is None else [void] if _code(void) is not None else _listed(void)
    codes = _codes([*values, *voids])
    if len(set(codes)) < len(codes):
        raise ValueError("classes: two classes, or a class and void, share a colour")
    meaning = dict(zip(codes, [*range(len(words)), *[VOID] * len(voids)], strict=True))
    palette = _palette(codes[: len(words)], len(words))
    return make_labels(name, words, palette, void_values=(), colours=meaning)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _palette(codes: list[int], count: int) -> np.ndarray:
    if len(codes) != count:
        raise ValueError(f"palette has {len(codes)} colours for {count} classes")
    return np.array([[*code.to_bytes(3)] for code in codes], np.uint8)


def _codes(colours: list[Any]) -> list[int]:
    for colour in colours:
        if _code(colour) is None:
            raise ValueError(f'{colour!r} is no colour; write [R, G, B] (0..255) or "#RRGGBB"')
    return [_code(colour) for colour in colours]


def _code(value: Any) -> int | None:
    """Return a colour as 0xRRGGBB; None where it is none."""
    if isinstance(value, str) and _HEX.fullmatch(value):
        return int(value[-6:], 16)
    numbers = isinstance(value, list) and len(value) == 3 and all(type(v) is int for v in value)
    return int.from_bytes(value) if numbers and 0 <= min(value) <= max(value) <= 255 else None
