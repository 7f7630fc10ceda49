"""The embedded data set `streets`: the streets of `scenes` with CamVid's classes, in its layout.

What a network learns here it brings to photographs: where roads, houses, trees and sky are, that
poles are thin and stand. Every picture has its own generator seeded by (seed, split, index).
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
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcntools.synthetic import generate, scenes
from fcntools.synthetic.generate import Progress, Recipe
from fcntools.synthetic.scene_canvas import Canvas
from fcntools.synthetic.scene_outdoor import draw_street

VERSION = 1  # of what is made here of the generator of `scenes`
# {class of CamVid: what the generator calls things that it holds}; all else is void.
_MEANS = {
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


def values() -> np.ndarray:
    """Return the value in CamVid's masks of each in those of scene parsing: uint8 [151]."""
    found = np.full(len(SCENE_PARSING.classes) + 1, CAMVID.num_classes, np.uint8)
    for index, name in enumerate(CAMVID.classes):
        for meant in _MEANS[name]:
            found[SCENE_PARSING.classes.index(meant) + 1] = index
    return found


def ensure(root: Path, config: ScenesConfig, progress: Progress | None = None) -> Dataset:
    """Open the data set, generating it first where the folder is not there.

    Args:
        root: its folder.
        config: how much to make and from which seed, as for `scenes`.
        progress: called with (pictures done, pictures in all).

    Returns:
        The data set.

    Raises:
        InputError: a setting cannot be met, or the folder holds something else.
    """
    settings = {"generator": [scenes.VERSION, VERSION], **scenes.checked(config)}
    draw, jobs = partial(_draw, config), scenes.jobs(config)
    generate.ensure(
        root, Recipe("streets", settings, partial(_folders, jobs), jobs, draw), progress
    )
    return open_dataset("streets", root)


def _name(job: scenes.Job) -> str:
    split, index = job
    return f"street_{split}_{index + 1:06d}"


def _folders(jobs: Sequence[scenes.Job], root: Path) -> None:
    for split in scenes.FOLDERS:
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        names = "".join(f"{_name(job)}\n" for job in jobs if job[0] == split)
        (root / f"{split}.txt").write_text(names, encoding="utf-8")


def _draw(config: ScenesConfig, root: Path, jobs: Sequence[scenes.Job]) -> None:
    meaning = values()
    for job in jobs:
        canvas = Canvas(scenes.generator(config, job), config.scenes_image_size)
        draw_street(canvas)
        picture, mask = canvas.finish()
        place = Path(job[0]) / _name(job)
        Image.fromarray(picture).save(root / "images" / f"{place}.jpg", **scenes.JPEG)
        Image.fromarray(meaning[mask]).save(root / "labels" / f"{place}.png")
