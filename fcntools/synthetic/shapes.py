"""The embedded data set `shapes`: generated scenes in VOC layout, and single objects in folders."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.config import ShapesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.voc import IMAGES, LISTS, MASKS
from fcnlib.labels import SHAPES
from fcntools.synthetic import generate, shape_scenes

VERSION = 1  # of the generator: raise it when the pictures change
OBJECT_SIZE = 97  # side of a single-object image, pixels
SPLITS = ("train", "val")
# What decides the pictures, and the least that each can be.
_LEAST = {"shapes_seed": 0, "train_images": 1, "val_images": 1, "image_size": 65}
_LEAST |= {"objects_per_class": 0, "objects_val_per_class": 0}

_Image = tuple[str, int, int]  # split, class (-1: a scene), index


def ensure(root: Path, config: ShapesConfig, progress: generate.Progress | None = None) -> Dataset:
    """Return the data set, generated first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed.
        progress: told of the pictures.
    """
    settings = generate.settings_of(config, _LEAST)
    settings = {"generator": VERSION, "classes": list(SHAPES.classes), **settings}
    draw, finish = partial(_draw, config), partial(_write_lists, config)
    recipe = generate.Recipe("shapes", settings, list(_images(config)), draw, finish)
    generate.ensure(root, recipe, progress)
    return open_dataset("shapes", root)


def _scene_name(split: str, index: int) -> str:
    return f"{split}_{index:05d}"


def _object_folder(root: Path, split: str, class_index: int) -> Path:
    return root / "objects" / split / SHAPES.classes[class_index]


def _images(config: ShapesConfig) -> Iterator[_Image]:
    scenes = config.train_images, config.val_images
    objects = config.objects_per_class, config.objects_val_per_class
    for split, count, each in zip(SPLITS, scenes, objects, strict=True):
        yield from ((split, -1, index) for index in range(count))
        for class_index in range(SHAPES.num_classes):
            yield from ((split, class_index, index) for index in range(each))


def _draw(config: ShapesConfig, root: Path, image: _Image) -> None:
    split, class_index, index = image
    rng = np.random.default_rng([config.shapes_seed, SPLITS.index(split), class_index + 1, index])
    if class_index >= 0:
        picture = shape_scenes.draw_object(rng, OBJECT_SIZE, class_index)
        generate.write(
            _object_folder(root, split, class_index) / f"{index:04d}.jpg", Image.fromarray(picture)
        )
        return
    first_class = 1 + index % (SHAPES.num_classes - 1)  # every class occurs in any 8 scenes
    picture, mask = shape_scenes.draw_scene(rng, config.image_size, first_class)
    generate.write(root / IMAGES / f"{_scene_name(split, index)}.jpg", Image.fromarray(picture))
    indexed = Image.fromarray(mask)
    indexed.putpalette(SHAPES.png_palette())
    generate.write(root / MASKS / f"{_scene_name(split, index)}.png", indexed)


def _write_lists(config: ShapesConfig, root: Path) -> None:
    train = [_scene_name("train", index) for index in range(config.train_images)]
    val = [_scene_name("val", index) for index in range(config.val_images)]
    (root / LISTS).mkdir(parents=True)
    for split, names in (("train", train), ("val", val), ("trainval", train + val)):
        (root / LISTS / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    for split in SPLITS:
        for class_index in range(SHAPES.num_classes):  # a class without any object, too
            _object_folder(root, split, class_index).mkdir(parents=True, exist_ok=True)
