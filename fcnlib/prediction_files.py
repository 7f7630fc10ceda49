"""What `fcnlib predict` reads and writes: the images named, and the answers beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from fcnlib import labels as label_sets
from fcnlib.datasets.records import files_in
from fcnlib.errors import InputError
from fcnlib.files import replacing, write_json
from fcnlib.labels import LabelSet, make_labels, voc_palette
from fcnlib.pictures import overlay

LEGEND = "legend.png"
_LINE = 22  # pixels a line of the legend
_ENDINGS = (".png", "_overlay.jpg", ".json")
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
        A name an image, without ending.

    Raises:
        InputError: an answer, or the legend, would take the place of an image.
    """
    names = [Path(LEGEND).stem]
    for image in images:
        number, name = 1, image.stem
        while name in names:
            number += 1
            name = f"{image.stem}-{number}"
        names.append(name)
    del names[0]
    targets = {(out / (name + ending)).resolve() for name in names for ending in _ENDINGS}
    for image in images:
        if image in targets | {(out / LEGEND).resolve()}:
            raise InputError(f"--out {out}: an answer would overwrite {image}; name another folder")
    return names


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
    for known in vars(label_sets).values():
        if isinstance(known, LabelSet) and known.classes == classes:
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
    values = labels.values
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
    size = {"width": answer.shape[1], "height": answer.shape[0]}
    said = {**size, **said, "values": dict(zip(labels.classes, values, strict=True))}
    write_json(out / f"{name}.json", {"image": name, **said, "shares": shares})
    return shares


def write_legend(out: Path, labels: LabelSet) -> None:
    """Write legend.png: the colour, the value in the PNGs and the name of every class."""
    lines = [f"{v}  {name}" for v, name in zip(labels.values, labels.classes, strict=True)]
    longest = max(map(len, lines))
    sheet = Image.new("RGB", (50 + 8 * longest, _LINE * labels.num_classes + 8), "white")
    pen = ImageDraw.Draw(sheet)
    for index, line in enumerate(lines):
        y = 4 + _LINE * index
        colour = tuple(int(part) for part in labels.palette[index])
        pen.rectangle((8, y + 3, 32, y + _LINE - 4), colour, "#777777")
        pen.text((40, y + _LINE // 2), line, "#222222", anchor="lm", font_size=14)
    _save(sheet, out / LEGEND)


def _save(picture: Image.Image, path: Path, **options) -> None:
    with replacing(path) as part:
        picture.save(part, **options)
