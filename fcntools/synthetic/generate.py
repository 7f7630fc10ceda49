"""Making a generated data set: whole or not at all, with a stamp of its settings.

Every picture has its own random generator, so that a larger set begins with a smaller one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from fcnlib.errors import InputError
from fcnlib.runtime import progress
from fcnlib.runtime.files import read_json, scratch


class GeneratorSpec(NamedTuple):
    """What to generate."""

    name: str  # of the data set; the stamp is the file NAME.json in its folder
    config: Any  # has the settings
    least: Mapping[str, int]  # the settings that decide the pictures, and the least of each
    about: dict[str, Any]  # what else decides them, ready for JSON
    images: Sequence[Any]  # one a picture: whatever `draw` understands
    draw: Callable[[Path, Any], None]  # draws one into the folder
    finish: Callable[[Path], None]  # writes into the folder what is no picture, when all are drawn


def ensure(root: Path, spec: GeneratorSpec) -> None:
    """Generate a data set where its folder is missing or empty.

    Raises:
        InputError: a setting is less than it can be; the folder holds something else, or a set of
            other settings or of another version of the generator. Nothing is deleted.
    """
    name, settings = spec.name, dict(spec.about)
    for key, least in spec.least.items():
        settings[key] = value = getattr(spec.config, key)
        if value < least:
            raise InputError(f"{key} = {value}: it must be at least {least}")
    stamp = f"{name}.json"
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        try:
            _generate(root, settings, spec)
        except OSError as error:
            raise InputError(f"{root}: cannot generate {name} here: {error}") from error
    found = read_json(root / stamp)
    if not isinstance(found, dict):
        raise InputError(
            f"{root}: is not a folder of {name} (no readable {stamp}); choose another data_dir"
        )
    for key, value in settings.items():
        if found.get(key) != value:
            raise InputError(
                f"{root}: holds {name} of other settings ({key} is {found.get(key)!r}, asked "
                f"for {value!r}); delete the folder or choose another data_dir"
            )


def _generate(root: Path, settings: dict[str, Any], spec: GeneratorSpec) -> None:
    """Generate a data set in a folder beside `root` and move it there when it is whole."""
    with scratch(root) as half:
        half.mkdir()
        with progress.bar(len(spec.images), spec.name, "image") as bar:
            for image in spec.images:
                spec.draw(half, image)
                bar.update()
        spec.finish(half)
        stamp = f"{spec.name}.json"
        (half / stamp).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        try:
            half.rename(root)
        except OSError:
            if not (root / stamp).is_file():  # it is, where another run was faster
                raise


def write(path: Path, image: Image.Image) -> None:
    """Write an image or a mask as its file's ending says, in a folder made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=92, subsampling=0)
