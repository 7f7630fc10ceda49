"""What `fcnlib predict` reads and writes: the images named, and the answers beside each other."""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageDraw, ImageFont

from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.records import files_in
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, LabelSet, make_labels, voc_palette
from fcnlib.runtime.files import read_json, replacing, write_json
from fcntools.figures.pictures import overlay

LEGEND = "legend.png"
_LINE = 22  # pixels a line of the legend
_ENDINGS = (".png", "_overlay.jpg", ".json")
_LONGEST = 200  # bytes of a name, which with ending and number may have 255
_LARGEST_JPEG = 65_500  # pixels a side


def find_images(places: Sequence[Path]) -> list[Path]:
    """List the images that a user names.

    Args:
        places: files, or folders whose images are meant, not those of folders inside.

    Returns:
        The files, those of a folder by name, none twice.

    Raises:
        InputError: a place is not there, or a folder holds no image.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder")
        inside = [place]
        if place.is_dir():
            inside = files_in(place)
            if not inside:
                raise InputError(f"{place}: no image in this folder")
        found += inside
    return list(dict.fromkeys(path.resolve() for path in found))


def choose_names(images: Sequence[Path], out: Path) -> list[str]:
    """Name the answers: as the image, with a number where two are named alike, or as the legend.

    Args:
        images: from `find_images`.
        out: where the answers go.

    Returns:
        A name an image, without ending; a very long one is cut, and what is no UTF-8 replaced.

    Raises:
        InputError: an answer, or the legend, would take the place of an image, or of another file
            that is no earlier answer.
    """
    names = [Path(LEGEND).stem]
    for image in images:
        number = 1
        name = stem = os.fsencode(image.stem)[:_LONGEST].decode("utf-8", "replace")
        while name in names:
            number += 1
            name = f"{stem}-{number}"
        names.append(name)
    del names[0]
    targets = {(out / (name + ending)).resolve() for name in names for ending in _ENDINGS}
    for image in images:
        if image in targets | {(out / LEGEND).resolve()}:
            raise InputError(f"--out {out}: an answer would overwrite {image}; name another folder")
    known = {path.stem for path in out.glob("*.json") if _is_answer(path)}
    strange = [name + ending for name in names if name not in known for ending in _ENDINGS]
    for file in strange if known else [LEGEND, *strange]:
        if (out / file).exists():
            raise InputError(f"{out / file}: is there, and no earlier answer; name another --out")
    return names


def _is_answer(path: Path) -> bool:
    said = read_json(path)
    return isinstance(said, dict) and {"image", "shares"} <= said.keys()


def labels_of(meta: Mapping[str, Any]) -> LabelSet:
    """Return the label set that a checkpoint tells of.

    Args:
        meta: what it says of itself; "labels", or as older ones "classes" alone.

    Returns:
        The label set; by classes alone a known one, or one in the colours of PASCAL VOC.
    """
    if "labels" in meta:
        return LabelSet.from_dict(meta["labels"])
    classes = tuple(meta["classes"])
    for known in (SCENE_PARSING, VOC, CAMVID, SHAPES):
        if known.classes == classes:
            return known
    return make_labels("own", classes, voc_palette(len(classes)))


def write_answer(
    out: Path, name: str, image: np.ndarray, answer: np.ndarray, labels: LabelSet, said: dict
) -> dict[str, float]:
    """Write an answer: NAME.png, NAME_overlay.jpg, NAME.json with class shares.

    The PNG has the values that stand for the classes in the data set's masks, and its colours.

    Args:
        out: the folder, made where it is missing.
        name: without ending.
        image: uint8 [H, W, 3].
        answer: uint8 [H, W], 0..C-1.
        labels: names and colours.
        said: what else the JSON says.

    Returns:
        {class: share of the pixels}, the classes that are there, largest first.
    """
    counts = np.bincount(answer.ravel(), minlength=labels.num_classes)
    shares = {labels.classes[i]: float(counts[i] / answer.size) for i in np.argsort(-counts)}
    shares = {name: share for name, share in shares.items() if share}
    values, size = labels.values, {"width": answer.shape[1], "height": answer.shape[0]}
    said = {**size, **said, "values": dict(zip(labels.classes, values, strict=True))}
    # First: by it the rest is known as an answer, also after a kill.
    write_json(out / f"{name}.json", {"image": name, **said, "shares": shares})
    picture = Image.fromarray(values[answer])
    picture.putpalette(labels.png_palette())
    _save(picture, out / f"{name}.png")
    painted = np.empty_like(image)
    for top in range(0, len(image), 512):  # in strips: it takes eight bytes a colour on the way
        rows = slice(top, top + 512)
        painted[rows] = overlay(image[rows], answer[rows], labels)
    shown = Image.fromarray(painted)
    shown.thumbnail((_LARGEST_JPEG, _LARGEST_JPEG))
    _save(shown, out / f"{name}_overlay.jpg", quality=92)
    return shares


def write_legend(out: Path, labels: LabelSet) -> None:
    """Write legend.png: the colour, the value in the PNGs and the name of every class."""
    lines = [f"{v}  {name}" for v, name in zip(labels.values, labels.classes, strict=True)]
    file, known = _font("".join(lines))
    lines = ["".join(c if ord(c) in known else ascii(c)[1:-1] for c in line) for line in lines]
    font = ImageFont.truetype(file, 14)
    width = 50 + math.ceil(max(map(font.getlength, lines)))
    sheet = Image.new("RGB", (width, _LINE * labels.num_classes + 8), "white")
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        y = 4 + _LINE * index
        colour = tuple(int(part) for part in labels.palette[index])
        pen.rectangle((8, y + 3, 32, y + _LINE - 4), colour, "#777777")
        pen.text((40, y + _LINE // 2), line, "#222222", font, anchor="lm")
    _save(sheet, out / LEGEND)


def _font(text: str) -> tuple[str, Collection[int]]:
    """Return a font's file and letters: one that has all of a text's, or Matplotlib's own."""
    own = font_manager.findfont("DejaVu Sans")
    # "Last Resort" has a box for every letter; the list may name what was uninstalled since.
    others = [e.fname for e in font_manager.fontManager.ttflist if "Last Resort" not in e.name]
    for file in (own, *filter(os.path.exists, others), own):
        known = FT2Font(file).get_charmap().keys()
        if known >= set(map(ord, text)):
            break
    return file, known


def _save(picture: Image.Image, path: Path, **options) -> None:
    with replacing(path) as part:
        picture.save(part, **options)
