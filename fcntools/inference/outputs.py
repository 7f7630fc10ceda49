"""What `fcnlib predict` reads and writes: the images named, and the answers beside each other."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping, Sequence
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
    """Return the files that a user names, none twice: images, or folders of images.

    Raises:
        InputError: a place is not there, or a folder holds no image.
    """
    found = []
    for place in places:
        if not place.exists():
            raise InputError(f"{place}: no such file or folder")
        inside = files_in(place) if place.is_dir() else [place]
        if not inside:
            raise InputError(f"{place}: no image in this folder")
        found += inside
    return list(dict.fromkeys(path.resolve() for path in found))


def choose_names(images: Sequence[Path], out: Path) -> list[str]:
    """Return a name, without ending, for the answer to each image in a folder: that of the image.

    It has a number where two are named alike, or one as the legend; a very long one is cut, and
    what is no UTF-8 replaced.

    Raises:
        InputError: an answer, or the legend, would take the place of an image, or of another file
            that is no earlier answer.
    """
    names = [Path(LEGEND).stem]
    for image in images:
        stem = os.fsencode(image.stem)[:_LONGEST].decode("utf-8", "replace")
        numbered = (f"{stem}-{number}" for number in itertools.count(2))
        names.append(next(n for n in itertools.chain([stem], numbered) if n not in names))
    files = {name: [out / (name + ending) for ending in _ENDINGS] for name in names[1:]}
    targets = {path.resolve() for path in (out / LEGEND, *itertools.chain(*files.values()))}
    for image in images:
        if image in targets:
            raise InputError(f"--out {out}: an answer would overwrite {image}; name another folder")
    earlier = {path.stem for path in out.glob("*.json") if _is_answer(path)}
    strange = [path for name in files if name not in earlier for path in files[name]]
    for path in strange if earlier else [out / LEGEND, *strange]:
        if path.exists():
            raise InputError(f"{path}: is there, and no earlier answer; name another --out")
    return names[1:]


def _is_answer(path: Path) -> bool:
    said = read_json(path)
    return isinstance(said, dict) and {"image", "shares"} <= said.keys()


def labels_of(meta: Mapping[str, Any]) -> LabelSet:
    """Return the label set that a checkpoint's meta data tell of; older ones name classes alone."""
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
    """Write NAME.png, NAME_overlay.jpg and NAME.json with the shares of the classes.

    Args:
        out: the folder, made where it is missing.
        name: without ending.
        image: uint8 [H, W, 3].
        answer: uint8 [H, W], 0..C-1; the PNG has the values that stand for them in the data set's
            masks, and the data set's colours.
        labels: names, values and colours.
        said: what else the JSON says.

    Returns:
        {class: share of the pixels}, the classes that are there, largest first.
    """
    counts = np.bincount(answer.ravel(), minlength=labels.num_classes)
    shares = {labels.classes[i]: counts[i] / answer.size for i in np.argsort(-counts) if counts[i]}
    said = {"image": name, "width": answer.shape[1], "height": answer.shape[0], **said}
    said |= {"values": dict(zip(labels.classes, labels.values, strict=True)), "shares": shares}
    write_json(out / f"{name}.json", said)  # first: by it the rest is known as an answer
    picture = Image.fromarray(labels.values[answer])
    picture.putpalette(labels.png_palette())
    _save(picture, out / f"{name}.png")
    parts = (slice(top, top + 512) for top in range(0, len(image), 512))
    # In strips: it takes eight bytes a colour on the way.
    shown = Image.fromarray(np.concatenate([overlay(image[p], answer[p], labels) for p in parts]))
    shown.thumbnail((_LARGEST_JPEG, _LARGEST_JPEG))
    _save(shown, out / f"{name}_overlay.jpg", quality=92)
    return shares


def write_legend(out: Path, labels: LabelSet) -> None:
    """Write legend.png: the colour, the value in the PNGs and the name of every class."""
    lines = [f"{v}  {name}" for v, name in zip(labels.values, labels.classes, strict=True)]
    file = font_manager.findfont("DejaVu Sans")  # Matplotlib's own
    known = FT2Font(file).get_charmap()
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


def _save(picture: Image.Image, path: Path, **options) -> None:
    with replacing(path) as part:
        picture.save(part, **options)
