"""The embedded data sets `scenes` and `streets`: drawn streets, landscapes and rooms.

`scenes` has the layout of MIT Scene Parsing and some sixty of its 150 classes, as unequal as they
are in photographs: sky and wall fill half the pixels, and flags, clocks and tents are rare.
`streets` has the streets alone, with CamVid's classes and layout. Every picture has its own
generator seeded by (seed, split, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.config import ScenesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.scene_parsing import FOLDERS, SCENE_PARSING, SCENE_PARSING_NAMES
from fcnlib.errors import InputError
from fcntools.synthetic import generate
from fcntools.synthetic.generate import GeneratorSpec, Progress
from fcntools.synthetic.scene_canvas import Canvas
from fcntools.synthetic.scene_indoor import draw_room
from fcntools.synthetic.scene_outdoor import draw_landscape, draw_street

# Of the generators: raise one when its pictures change. That of streets draws on that of scenes.
VERSION, STREETS_VERSION = 1, 1
VIEWS = {"street": draw_street, "landscape": draw_landscape, "room": draw_room}
_SHARES = (0.45, 0.3, 0.25)
# What decides the pictures, and the least that each can be.
_LEAST = {"scenes_seed": 0, "scenes_train_images": 1, "scenes_val_images": 1}
_LEAST["scenes_image_size"] = 65
_JPEG = {"quality": 92, "subsampling": 0}
# {class of CamVid: the classes of scenes that it holds}; all else is void.
_STANDS_FOR = {
    "Sky": ("sky",),
    "Building": ("building", "house", "awning"),
    "Pole": ("pole", "streetlight"),
    "Road": ("road",),
    "Pavement": ("sidewalk",),
    "Tree": ("tree", "plant"),
    "SignSymbol": ("signboard", "traffic light"),
    "Fence": ("fence",),
    "Car": ("car", "bus", "truck", "van"),
    "Pedestrian": ("person",),
    "Bicyclist": ("bicycle", "minibike"),
}

ImageSpec = tuple[str, int]  # split, index


def ensure(
    root: Path, config: ScenesConfig, progress: Progress | None = None, name: str = "scenes"
) -> Dataset:
    """Open a data set, generating it first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed.
        progress: called with (pictures done, pictures in all).
        name: "scenes" or "streets".

    Returns:
        The data set.

    Raises:
        InputError: a setting cannot be met, or the folder holds something else.
    """
    settings = {key: getattr(config, key) for key in _LEAST}
    for key, value in settings.items():
        if value < _LEAST[key]:
            raise InputError(f"{key} = {value}: it must be at least {_LEAST[key]}")
    counts = {"train": config.scenes_train_images, "val": config.scenes_val_images}
    images = [(split, index) for split, count in counts.items() for index in range(count)]
    if name == "streets":
        settings = {"generator": [VERSION, STREETS_VERSION], **settings}
        folders, draw = partial(_street_folders, images), partial(_draw_streets, config)
        spec = GeneratorSpec("streets", settings, folders, images, draw)
    else:
        settings = {"generator": VERSION, **settings}
        draw, finish = partial(_draw_scenes, config), partial(_describe, config)
        spec = GeneratorSpec("scenes", settings, _scene_folders, images, draw, finish)
    generate.ensure(root, spec, progress)
    return open_dataset(name, root)


def generator(config: ScenesConfig, image: ImageSpec) -> np.random.Generator:
    """Return the random numbers that a picture is made of."""
    split, index = image
    return np.random.default_rng([config.scenes_seed, list(FOLDERS).index(split), index])


def _scene_folders(root: Path) -> None:
    for folder in FOLDERS.values():
        for kind in ("images", "annotations"):
            (root / kind / folder).mkdir(parents=True)


def _draw_scenes(config: ScenesConfig, root: Path, images: Sequence[ImageSpec]) -> None:
    for split, index in images:
        rng = generator(config, (split, index))
        canvas = Canvas(rng, config.scenes_image_size)
        VIEWS[_view(rng)](canvas)
        picture, mask = canvas.finish()
        place = Path(FOLDERS[split]) / f"ADE_{split}_{index + 1:08d}"
        Image.fromarray(picture).save(root / "images" / f"{place}.jpg", **_JPEG)
        Image.fromarray(mask).save(root / "annotations" / f"{place}.png")


def _view(rng: np.random.Generator) -> str:
    return str(rng.choice(list(VIEWS), p=_SHARES))


def _describe(config: ScenesConfig, root: Path) -> None:
    """Write the benchmark's two text files: how common each class is, and what each picture is."""
    pixels, images, views = np.zeros(151, np.int64), {}, []
    for split, folder in FOLDERS.items():
        images[split] = np.zeros(151, np.int64)
        for index, path in enumerate(sorted((root / "annotations" / folder).iterdir())):
            with Image.open(path) as mask:
                counts = np.bincount(np.asarray(mask).ravel(), minlength=151)
            pixels += counts if split == "train" else 0
            images[split] += counts > 0
            views.append(f"{path.stem} {_view(generator(config, (split, index)))}")
    share = pixels / max(pixels[1:].sum(), 1)
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    for i, name in enumerate(SCENE_PARSING_NAMES, start=1):
        lines.append(f"{i}\t{share[i]:.4f}\t{images['train'][i]}\t{images['val'][i]}\t{name}")
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "sceneCategories.txt").write_text("\n".join(views) + "\n", encoding="utf-8")


def camvid_values() -> np.ndarray:
    """Return the value in CamVid's masks of each value in those of scene parsing: uint8 [151]."""
    values = np.full(len(SCENE_PARSING.classes) + 1, CAMVID.num_classes, np.uint8)
    for index, name in enumerate(CAMVID.classes):
        values[[SCENE_PARSING.classes.index(meant) + 1 for meant in _STANDS_FOR[name]]] = index
    return values


def _street_name(image: ImageSpec) -> str:
    split, index = image
    return f"street_{split}_{index + 1:06d}"


def _street_folders(images: Sequence[ImageSpec], root: Path) -> None:
    for split in FOLDERS:
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        names = "".join(f"{_street_name(image)}\n" for image in images if image[0] == split)
        (root / f"{split}.txt").write_text(names, encoding="utf-8")


def _draw_streets(config: ScenesConfig, root: Path, images: Sequence[ImageSpec]) -> None:
    values = camvid_values()
    for image in images:
        canvas = Canvas(generator(config, image), config.scenes_image_size)
        draw_street(canvas)
        picture, mask = canvas.finish()
        place = Path(image[0]) / _street_name(image)
        Image.fromarray(picture).save(root / "images" / f"{place}.jpg", **_JPEG)
        Image.fromarray(values[mask]).save(root / "labels" / f"{place}.png")
