"""Making a generated data set: whole or not at all, by two processes, with a stamp of its settings.

Every picture has its own random generator, seeded by what it is, so a set is the same whatever the
order or the number of processes.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, scratch

_PROCESSES = 2
_CHUNK = 50  # pictures handed to a process at once
_FOR_A_POOL = 400  # fewer pictures are drawn sooner than two processes start

Progress = Callable[[int, int], None]  # called with (pictures done, pictures in all)


class Recipe(NamedTuple):
    """What to generate."""

    name: str  # of the data set; the stamp is the file NAME.json in its folder
    settings: dict[str, Any]  # what decides the pictures, ready for JSON
    images: Sequence[Any]  # one a picture: whatever `draw` understands
    draw: Callable[[Path, Any], None]  # draws one into the folder; processes can find it by name
    finish: Callable[[Path], None]  # writes into the folder what is no picture, when all are drawn


def settings_of(config, least: Mapping[str, int]) -> dict[str, int]:
    """Return the settings named, as a configuration has them.

    Raises:
        InputError: one is less than it can be.
    """
    settings = {key: getattr(config, key) for key in least}
    for key, value in settings.items():
        if value < least[key]:
            raise InputError(f"{key} = {value}: it must be at least {least[key]}")
    return settings


def ensure(root: Path, recipe: Recipe, progress: Progress | None = None) -> None:
    """Generate a data set where its folder is missing or empty.

    Args:
        root: its folder.
        recipe: what to make.
        progress: told of the pictures.

    Raises:
        InputError: the folder holds something else, or a set of other settings or of another
            version of the generator. Nothing is deleted.
    """
    name, stamp = recipe.name, f"{recipe.name}.json"
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        try:
            _generate(root, stamp, recipe, progress or (lambda done, total: None))
        except OSError as error:
            raise InputError(f"{root}: cannot generate {name} here: {error}") from error
    found = read_json(root / stamp)
    if not isinstance(found, dict):
        raise InputError(
            f"{root}: is not a folder of {name} (no readable {stamp}); choose another data_dir"
        )
    for key, value in recipe.settings.items():
        if found.get(key) != value:
            raise InputError(
                f"{root}: holds {name} of other settings ({key} is {found.get(key)!r}, asked "
                f"for {value!r}); delete the folder or choose another data_dir"
            )


def _generate(root: Path, stamp: str, recipe: Recipe, progress: Progress) -> None:
    """Generate a data set in a folder beside `root` and move it there when it is whole."""
    with scratch(root) as half:
        half.mkdir()
        _draw_all(half, recipe, progress)
        recipe.finish(half)
        text = json.dumps(recipe.settings, indent=2)
        (half / stamp).write_text(text + "\n", encoding="utf-8")
        try:
            half.rename(root)
        except OSError:
            if not (root / stamp).is_file():  # it is, where another run was faster
                raise


def _draw_all(root: Path, recipe: Recipe, progress: Progress) -> None:
    images, draw = recipe.images, partial(_draw_some, recipe.draw, root)
    chunks = [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]

    def count(drawn: Iterable[int]) -> None:
        done = 0
        for number in drawn:
            done += number
            progress(done, len(images))

    if len(images) >= _FOR_A_POOL:
        # spawn: a process forked from one in which TensorFlow runs its threads may hang
        context = multiprocessing.get_context("spawn")
        # broken: such as by a script without `if __name__ == "__main__"`
        with (
            contextlib.suppress(BrokenExecutor),
            ProcessPoolExecutor(_PROCESSES, context, _leave_with_parent) as pool,
        ):
            return count(pool.map(draw, chunks))
    return count(map(draw, chunks))


def _draw_some(draw: Callable[[Path, Any], None], root: Path, images: Sequence[Any]) -> int:
    for image in images:
        draw(root, image)
    return len(images)


def _leave_with_parent() -> None:
    """End this process when its parent is killed; else it would wait for work for ever."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def write(path: Path, image: Image.Image) -> None:
    """Write an image or a mask as its file's ending says, in a folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92, subsampling=0)
