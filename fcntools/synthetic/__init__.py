"""The generated data sets; importing this registers them, and the packed ones, in `FORMATS`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fcnlib.config import Config
from fcnlib.datasets import FORMATS, Dataset, Format, camvid, open_dataset, scene_parsing, voc
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcntools.data.tfrecords import open_packed
from fcntools.synthetic import scenes, shapes


def _add(name: str, about: str, open_layout: Callable[..., Dataset], *given) -> None:
    def open_generated(root: Path) -> Dataset:
        if not (root / f"{name}.json").is_file():
            raise InputError(
                f"{root}: no {name} here ({name}.json is missing); `fcnlib data make --set "
                f"dataset={name} --set data_dir=DIR` generates them"
            )
        return open_layout(root, *given, name)

    FORMATS[name] = Format(open_generated, f"generated {about} (fcnlib data make)")


_add("shapes", "objects on clutter, 9 classes; VOC's layout", voc.open_voc, SHAPES)
_SCENES = "streets, landscapes and rooms, 150 classes; scene parsing's layout"
_add("scenes", _SCENES, scene_parsing.open_scene_parsing)
_add("streets", "streets, 11 classes; CamVid's layout", camvid.open_camvid)
FORMATS["packed"] = Format(open_packed, "any of these, packed into TFRecords (fcnlib data pack)")


def prepare(config: Config) -> Dataset:
    """Return the data set of a configuration; a generated one is made where it is missing."""
    name, root = config.data.dataset, config.path("data_dir")
    if name == "shapes":
        return shapes.ensure(root, config.shapes)
    if name in ("scenes", "streets"):
        return scenes.ensure(root, config.scenes, name)
    return open_dataset(name, root)
