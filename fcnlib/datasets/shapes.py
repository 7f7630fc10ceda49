"""The embedded data set `shapes`: generated scenes in VOC layout, and single objects in folders.

Every picture has its own generator seeded by (seed, split, class, index), so the set is the same
whatever the order or the number of processes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fcnlib.config import ShapesConfig
from fcnlib.datasets import shape_scenes
from fcnlib.datasets.records import Dataset
from fcnlib.datasets.voc import IMAGES, LISTS, MASKS, open_voc
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES

VERSION = 1  # of the generator: raise it when the pictures change
STAMP = "shapes.json"
OBJECT_SIZE = 97  # side of a single-object image, pixels
SPLITS = ("train", "val")
_SMALLEST_IMAGE = 65
_JPEG = {"quality": 92, "subsampling": 0}
_PROCESSES = 2
_CHUNK = 50  # pictures handed to a process at once
_FOR_A_POOL = 400  # fewer pictures are drawn sooner than two processes start

Job = tuple[str, int, int]  # split, class (-1: a scene), index
Progress = Callable[[int, int], None]


def open_shapes(root: Path) -> Dataset:
    """Open a generated data set.

    Args:
        root: its folder.

    Returns:
        The data set with splits "train" and "val" (and "trainval").

    Raises:
        InputError: there is none, or files are missing.
    """
    if not (root / STAMP).is_file():
        raise InputError(
            f"{root}: no shapes here ({STAMP} is missing); `fcnlib data make` generates them"
        )
    return open_voc(root, SHAPES, "shapes")


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
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        generate(root, config, progress)
    found = _read_stamp(root)
    differing = [key for key, value in _stamp(config).items() if found.get(key) != value]
    if differing:
        key = differing[0]
        raise InputError(
            f"{root}: holds shapes of other settings ({key} is {found.get(key)!r}, asked for "
            f"{_stamp(config)[key]!r}); delete the folder or choose another data_dir"
        )
    return open_shapes(root)


def generate(root: Path, config: ShapesConfig, progress: Progress | None = None) -> None:
    """Generate the data set in a folder beside `root` and move it there when it is whole.

    Args:
        root: where it shall be: a folder that does not exist or is empty.
        config: how much to make and from which seed.
        progress: called with (pictures done, pictures in all).

    Raises:
        InputError: a setting cannot be met, or the folder cannot be written.
    """
    _check(config)
    # a name of its own: two runs that generate at the same time must not share a half-made folder
    root = root.absolute()
    half = root.with_name(f"{root.name}.partial-{os.getpid()}")
    try:
        shutil.rmtree(half, ignore_errors=True)
        _make_folders(half, config)
        _draw_all(half, config, progress or (lambda done, total: None))
        (half / STAMP).write_text(json.dumps(_stamp(config), indent=2) + "\n", encoding="utf-8")
        _move(half, root)
    except OSError as error:
        raise InputError(f"{root}: cannot generate shapes here: {error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _move(half: Path, root: Path) -> None:
    try:
        half.rename(root)
    except OSError:
        if not (root / STAMP).is_file():  # it is, where another run was faster
            raise


def _stamp(config: ShapesConfig) -> dict[str, Any]:
    return {"generator": VERSION, "classes": list(SHAPES.classes), **asdict(config)}


def _read_stamp(root: Path) -> dict[str, Any]:
    try:
        stamp = json.loads((root / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        stamp = None
    if not isinstance(stamp, dict):
        raise InputError(
            f"{root}: is not a folder of shapes (no readable {STAMP}); choose another data_dir"
        )
    return stamp


def _check(config: ShapesConfig) -> None:
    for key, value in asdict(config).items():
        least = {"image_size": _SMALLEST_IMAGE, "train_images": 1, "val_images": 1}.get(key, 0)
        if value < least:
            raise InputError(f"{key} = {value}: it must be at least {least}")


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


def _jobs(config: ShapesConfig) -> Iterator[Job]:
    for split, scenes, objects in (
        ("train", config.train_images, config.objects_per_class),
        ("val", config.val_images, config.objects_val_per_class),
    ):
        yield from ((split, -1, index) for index in range(scenes))
        for class_index in range(SHAPES.num_classes):
            yield from ((split, class_index, index) for index in range(objects))


def _draw_all(root: Path, config: ShapesConfig, progress: Progress) -> None:
    jobs = list(_jobs(config))
    chunks = [jobs[i : i + _CHUNK] for i in range(0, len(jobs), _CHUNK)]
    draw = partial(_draw_chunk, root, config)
    if len(jobs) >= _FOR_A_POOL:
        # spawn: a process forked from one in which TensorFlow runs its threads may hang
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(_PROCESSES, mp_context=context) as pool:
                return _count(pool.map(draw, chunks), len(jobs), progress)
        except BrokenExecutor:  # such as a script without `if __name__ == "__main__"`
            pass
    return _count(map(draw, chunks), len(jobs), progress)


def _count(drawn: Iterator[int], total: int, progress: Progress) -> None:
    done = 0
    for number in drawn:
        done += number
        progress(done, total)


def _draw_chunk(root: Path, config: ShapesConfig, jobs: list[Job]) -> int:
    for split, class_index, index in jobs:
        entropy = [config.shapes_seed, SPLITS.index(split), class_index + 1, index]
        rng = np.random.default_rng(entropy)
        if class_index < 0:
            _write_scene(root, rng, config.image_size, split, index)
        else:
            picture = shape_scenes.draw_object(rng, OBJECT_SIZE, class_index)
            folder = root / "objects" / split / SHAPES.classes[class_index]
            Image.fromarray(picture).save(folder / f"{index:04d}.jpg", **_JPEG)
    return len(jobs)


def _write_scene(root: Path, rng: np.random.Generator, size: int, split: str, index: int) -> None:
    first_class = 1 + index % (SHAPES.num_classes - 1)  # every class occurs in any 8 scenes
    picture, mask = shape_scenes.draw_scene(rng, size, first_class)
    name = _scene_name(split, index)
    Image.fromarray(picture).save(root / IMAGES / f"{name}.jpg", **_JPEG)
    indexed = Image.fromarray(mask)
    indexed.putpalette(SHAPES.png_palette())
    indexed.save(root / MASKS / f"{name}.png")
