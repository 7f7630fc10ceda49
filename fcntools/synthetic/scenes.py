"""The embedded data sets `scenes` and `streets`: drawn streets, landscapes and rooms.

`scenes` has the layout of MIT Scene Parsing and some sixty of its 150 classes, as unequal as they
are in photographs. `streets` has the streets alone, with CamVid's classes and layout.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.config import ScenesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.scene_parsing import FOLDERS, SCENE_PARSING_NAMES
from fcntools.synthetic import generate
from fcntools.synthetic.scene_canvas import NUMBERS, Canvas
from fcntools.synthetic.scene_indoor import draw_room
from fcntools.synthetic.scene_outdoor import draw_landscape, draw_street

# Of the generators: raise one when its pictures change. That of streets draws on that of scenes.
VERSION, STREETS_VERSION = 1, 1
VIEWS = {"street": draw_street, "landscape": draw_landscape, "room": draw_room}
_SHARES = (0.45, 0.3, 0.25)
# What decides the pictures, and the least that each can be.
_LEAST = {"scenes_seed": 0, "scenes_train_images": 1, "scenes_val_images": 1}
_LEAST["scenes_image_size"] = 65
# The classes of scenes that each of CamVid's holds, in the order of those; all else is void.
_STANDS_FOR = (
    *(("sky",), ("building", "house", "awning"), ("pole", "streetlight"), ("road",)),
    *(("sidewalk",), ("tree", "plant"), ("signboard", "traffic light"), ("fence",)),
    *(("car", "bus", "truck", "van"), ("person",), ("bicycle", "minibike")),
)
_INDICES = {name: i for i, names in enumerate(_STANDS_FOR) for name in names}
# The value in CamVid's masks of each value in those of scene parsing, uint8 [151].
CAMVID_VALUES = np.array([_INDICES.get(name, CAMVID.num_classes) for name in NUMBERS], np.uint8)

ImageSpec = tuple[str, int]  # split, index


def ensure(root: Path, config: ScenesConfig, name: str = "scenes") -> Dataset:
    """Return a data set, generated first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed.
        name: "scenes" or "streets".
    """
    counts = {"train": config.scenes_train_images, "val": config.scenes_val_images}
    images = [(split, index) for split, count in counts.items() for index in range(count)]
    if name == "streets":
        version, finish = [VERSION, STREETS_VERSION], partial(_write_lists, images)
    else:
        version, finish = VERSION, partial(_describe, config)
    how = {"generator": version}, images, partial(_draw, config, name), finish
    generate.ensure(root, generate.GeneratorSpec(name, config, _LEAST, *how))
    return open_dataset(name, root)


def generator(config: ScenesConfig, image: ImageSpec) -> np.random.Generator:
    """Return the random numbers that a picture is made of."""
    split, index = image
    return np.random.default_rng([config.scenes_seed, list(FOLDERS).index(split), index])


def _view(rng: np.random.Generator) -> str:
    return str(rng.choice(list(VIEWS), p=_SHARES))


def _draw(config: ScenesConfig, name: str, root: Path, image: ImageSpec) -> None:
    split, index = image
    canvas = Canvas(generator(config, image), config.scenes_image_size)
    VIEWS["street" if name == "streets" else _view(canvas.rng)](canvas)
    picture, mask = canvas.finish()
    file, masks = f"{FOLDERS[split]}/ADE_{split}_{index + 1:08d}", "annotations"
    if name == "streets":
        file, masks, mask = f"{split}/{_street_name(*image)}", "labels", CAMVID_VALUES[mask]
    generate.write(root / "images" / f"{file}.jpg", Image.fromarray(picture))
    generate.write(root / masks / f"{file}.png", Image.fromarray(mask))


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


def _street_name(split: str, index: int) -> str:
    return f"street_{split}_{index + 1:06d}"


def _write_lists(images: list[ImageSpec], root: Path) -> None:
    for split in FOLDERS:
        names = "".join(f"{_street_name(*image)}\n" for image in images if image[0] == split)
        (root / f"{split}.txt").write_text(names, encoding="utf-8")
