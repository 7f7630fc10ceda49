"""The embedded data set `scenes`: streets, landscapes and rooms in the layout of MIT Scene Parsing.

Every picture has its own generator seeded by (seed, split, index). Its classes are some sixty of
the 150 official ones, as unequal as they are in photographs: sky and wall fill half the pixels, and
flags, clocks and tents are rare.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.config import ScenesConfig
from fcnlib.datasets import Dataset, open_dataset
from fcnlib.datasets.scene_parsing import FOLDERS, SCENE_PARSING_NAMES
from fcnlib.errors import InputError
from fcntools.synthetic import generate
from fcntools.synthetic.generate import Progress, Recipe
from fcntools.synthetic.scene_canvas import Canvas
from fcntools.synthetic.scene_indoor import draw_room
from fcntools.synthetic.scene_outdoor import draw_landscape, draw_street

VERSION = 1  # of the generator: raise it when the pictures change
VIEWS = {"street": draw_street, "landscape": draw_landscape, "room": draw_room}
_SHARES = (0.45, 0.3, 0.25)
# What decides the pictures, and the least that each can be.
_LEAST = {
    "scenes_seed": 0,
    "scenes_train_images": 1,
    "scenes_val_images": 1,
    "scenes_image_size": 65,
}
JPEG = {"quality": 92, "subsampling": 0}

Job = tuple[str, int]  # split, index


def ensure(root: Path, config: ScenesConfig, progress: Progress | None = None) -> Dataset:
    """Open the data set, generating it first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed.
        progress: called with (pictures done, pictures in all).

    Returns:
        The data set.

    Raises:
        InputError: a setting cannot be met, or the folder holds something else.
    """
    settings = {"generator": VERSION, **checked(config)}
    draw, finish = partial(_draw, config), partial(_describe, config)
    recipe = Recipe("scenes", settings, _folders, jobs(config), draw, finish)
    generate.ensure(root, recipe, progress)
    return open_dataset("scenes", root)


def checked(config: ScenesConfig) -> dict[str, int]:
    """Return what decides the pictures.

    Raises:
        InputError: a number is too small.
    """
    settings = {key: getattr(config, key) for key in _LEAST}
    for key, value in settings.items():
        if value < _LEAST[key]:
            raise InputError(f"{key} = {value}: it must be at least {_LEAST[key]}")
    return settings


def jobs(config: ScenesConfig) -> list[Job]:
    """List the pictures to make, as (split, index in it)."""
    counts = {"train": config.scenes_train_images, "val": config.scenes_val_images}
    return [(split, index) for split, count in counts.items() for index in range(count)]


def generator(config: ScenesConfig, job: Job) -> np.random.Generator:
    """Return the random numbers that a picture is made of."""
    split, index = job
    return np.random.default_rng([config.scenes_seed, list(FOLDERS).index(split), index])


def _folders(root: Path) -> None:
    for folder in FOLDERS.values():
        for kind in ("images", "annotations"):
            (root / kind / folder).mkdir(parents=True)


def _name(split: str, index: int) -> str:
    return f"ADE_{split}_{index + 1:08d}"


def _draw(config: ScenesConfig, root: Path, jobs: Sequence[Job]) -> None:
    for split, index in jobs:
        rng = generator(config, (split, index))
        canvas = Canvas(rng, config.scenes_image_size)
        VIEWS[_view(rng)](canvas)
        picture, mask = canvas.finish()
        place = Path(FOLDERS[split]) / _name(split, index)
        Image.fromarray(picture).save(root / "images" / f"{place}.jpg", **JPEG)
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
            rng = generator(config, (split, index))
            views.append(f"{path.stem} {_view(rng)}")
    share = pixels / max(pixels[1:].sum(), 1)
    lines = ["Idx\tRatio\tTrain\tVal\tName"]
    for i, name in enumerate(SCENE_PARSING_NAMES, start=1):
        lines.append(f"{i}\t{share[i]:.4f}\t{images['train'][i]}\t{images['val'][i]}\t{name}")
    (root / "objectInfo150.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "sceneCategories.txt").write_text("\n".join(views) + "\n", encoding="utf-8")
