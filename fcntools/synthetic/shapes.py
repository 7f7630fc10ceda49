"""The embedded data set `shapes`: generated scenes in VOC layout, and single objects in folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.config import ShapesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.voc import IMAGES, LISTS, MASKS
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcntools.synthetic import generate as generation
from fcntools.synthetic import shape_scenes
from fcntools.synthetic.generate import GeneratorSpec, Progress

VERSION = 1  # of the generator: raise it when the pictures change
OBJECT_SIZE = 97  # side of a single-object image, pixels
SPLITS = ("train", "val")
_SMALLEST_IMAGE = 65
_JPEG = {"quality": 92, "subsampling": 0}

ImageSpec = tuple[str, int, int]  # split, class (-1: a scene), index


def ensure(root: Path, config: ShapesConfig, progress: Progress | None = None) -> Dataset:
    """Open the data set, generating it first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed.
        progress: called with (pictures done, pictures in all).

    Returns:
        The data set.

    Raises:
        InputError: the folder holds something else, or shapes of other settings or another version
            of the generator. Nothing is deleted.
    """
    generation.ensure(root, _spec(config), progress)
    return open_dataset("shapes", root)


def _spec(config: ShapesConfig) -> GeneratorSpec:
    for key, value in asdict(config).items():
        least = {"image_size": _SMALLEST_IMAGE, "train_images": 1, "val_images": 1}.get(key, 0)
        if value < least:
            raise InputError(f"{key} = {value}: it must be at least {least}")
    settings = {"generator": VERSION, "classes": list(SHAPES.classes), **asdict(config)}
    folders = partial(_make_folders, config=config)
    return GeneratorSpec("shapes", settings, folders, list(_images(config)), partial(_draw, config))


def _scene_name(split: str, index: int) -> str:
    return f"{split}_{index:05d}"


def _make_folders(root: Path, config: ShapesConfig) -> None:
    for folder in (IMAGES, MASKS, LISTS):
        (root / folder).mkdir(parents=True)
    counts = {"train": config.train_images, "val": config.val_images}
    lists = {split: [_scene_name(split, i) for i in range(n)] for split, n in counts.items()}
    lists["trainval"] = lists["train"] + lists["val"]
    for split, lines in lists.items():
        (root / LISTS / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split in SPLITS:
        for name in SHAPES.classes:
            (root / "objects" / split / name).mkdir(parents=True)


def _images(config: ShapesConfig) -> Iterator[ImageSpec]:
    for split, scenes, objects in (
        ("train", config.train_images, config.objects_per_class),
        ("val", config.val_images, config.objects_val_per_class),
    ):
        yield from ((split, -1, index) for index in range(scenes))
        for class_index in range(SHAPES.num_classes):
            yield from ((split, class_index, index) for index in range(objects))


def _draw(config: ShapesConfig, root: Path, images: Sequence[ImageSpec]) -> None:
    for split, class_index, index in images:
        entropy = [config.shapes_seed, SPLITS.index(split), class_index + 1, index]
        rng = np.random.default_rng(entropy)
        if class_index < 0:
            _write_scene(root, rng, config.image_size, split, index)
        else:
            picture = shape_scenes.draw_object(rng, OBJECT_SIZE, class_index)
            folder = root / "objects" / split / SHAPES.classes[class_index]
            Image.fromarray(picture).save(folder / f"{index:04d}.jpg", **_JPEG)


def _write_scene(root: Path, rng: np.random.Generator, size: int, split: str, index: int) -> None:
    first_class = 1 + index % (SHAPES.num_classes - 1)  # every class occurs in any 8 scenes
    picture, mask = shape_scenes.draw_scene(rng, size, first_class)
    name = _scene_name(split, index)
    Image.fromarray(picture).save(root / IMAGES / f"{name}.jpg", **_JPEG)
    indexed = Image.fromarray(mask)
    indexed.putpalette(SHAPES.png_palette())
    indexed.save(root / MASKS / f"{name}.png")
