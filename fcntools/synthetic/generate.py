"""Making a generated data set: whole or not at all, by two processes, with a stamp of its settings.

Every picture has its own random generator, seeded by what it is, so a set is the same whatever the
order or the number of processes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fcnlib.errors import InputError
from fcnlib.runtime.files import scratch

_PROCESSES = 2
_CHUNK = 50  # pictures handed to a process at once
_FOR_A_POOL = 400  # fewer pictures are drawn sooner than two processes start

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GeneratorSpec:
    """What to generate.

    Attributes:
        name: of the data set; the stamp is the file NAME.json in its folder.
        settings: what decides the pictures, ready for JSON.
        folders: makes the folders and lists in an empty folder.
        images: one a picture: whatever `draw` understands.
        draw: draws such images into the folder; a function of a module, so that processes find it.
        finish: called with the folder when everything is drawn.
    """

    name: str
    settings: dict[str, Any]
    folders: Callable[[Path], None]
    images: Sequence[Any]
    draw: Callable[[Path, Sequence[Any]], None]
    finish: Callable[[Path], None] = lambda root: None

    @property
    def stamp(self) -> str:
        """The name of the file with the settings that a folder was made with."""
        return f"{self.name}.json"


def ensure(root: Path, spec: GeneratorSpec, progress: Progress | None = None) -> None:
    """Generate a data set where its folder is missing or empty.

    Args:
        root: its folder.
        spec: what to make.
        progress: called with (pictures done, pictures in all).

    Raises:
        InputError: the folder holds something else, or a set of other settings or of another
            version of the generator. Nothing is deleted.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        _generate(root, spec, progress)
    try:
        found = json.loads((root / spec.stamp).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(
            f"{root}: is not a folder of {spec.name} (no readable {spec.stamp}); choose "
            f"another data_dir"
        )
    differing = [key for key, value in spec.settings.items() if found.get(key) != value]
    if differing:
        key = differing[0]
        raise InputError(
            f"{root}: holds {spec.name} of other settings ({key} is {found.get(key)!r}, asked "
            f"for {spec.settings[key]!r}); delete the folder or choose another data_dir"
        )


def _generate(root: Path, spec: GeneratorSpec, progress: Progress | None) -> None:
    """Generate a data set in a folder beside `root` and move it there when it is whole."""
    try:
        with scratch(root) as half:
            half.mkdir()
            spec.folders(half)
            _draw_all(half, spec, progress or (lambda done, total: None))
            spec.finish(half)
            text = json.dumps(spec.settings, indent=2)
            (half / spec.stamp).write_text(text + "\n", encoding="utf-8")
            try:
                half.rename(root)
            except OSError:
                if not (root / spec.stamp).is_file():  # it is, where another run was faster
                    raise
    except OSError as error:
        raise InputError(f"{root}: cannot generate {spec.name} here: {error}") from error


def _draw_all(root: Path, spec: GeneratorSpec, progress: Progress) -> None:
    images = spec.images
    chunks = [images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK)]
    draw = partial(spec.draw, root)
    if len(images) >= _FOR_A_POOL:
        # spawn: a process forked from one in which TensorFlow runs its threads may hang
        context = multiprocessing.get_context("spawn")
        try:
            with ProcessPoolExecutor(_PROCESSES, context, _leave_with_parent) as pool:
                return _count(chunks, pool.map(draw, chunks), progress)
        except BrokenExecutor:  # such as a script without `if __name__ == "__main__"`
            pass
    return _count(chunks, map(draw, chunks), progress)


def _leave_with_parent() -> None:
    """End this process when its parent is killed; else it would wait for work for ever."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _count(chunks: list[Sequence[Any]], drawn: Iterator[None], progress: Progress) -> None:
    done, total = 0, sum(map(len, chunks))
    for chunk, _ in zip(chunks, drawn, strict=True):
        done += len(chunk)
        progress(done, total)
