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
from fcntools.synthetic.generate import Progress


def _generated(name: str, about: str, open_layout: Callable[[Path], Dataset]) -> Format:
    def open_generated(root: Path) -> Dataset:
        if not (root / f"{name}.json").is_file():
            raise InputError(
                f"{root}: no {name} here ({name}.json is missing); `fcnlib data make --set "
                f"dataset={name} --set data_dir=DIR` generates them"
            )
        return open_layout(root)

    return Format(open_generated, about)


FORMATS |= {
    "shapes": _generated(
        "shapes",
        "generated objects on clutter, 9 classes; VOC's layout (fcnlib data make)",
        lambda root: voc.open_voc(root, SHAPES, "shapes"),
    ),
    "scenes": _generated(
        "scenes",
        "generated streets, landscapes and rooms, 150 classes; scene parsing's layout",
        lambda root: scene_parsing.open_scene_parsing(root, "scenes"),
    ),
    "streets": _generated(
        "streets",
        "generated streets, 11 classes; CamVid's layout (fcnlib data make)",
        lambda root: camvid.open_camvid(root, "streets"),
    ),
    "packed": Format(open_packed, "any of these, packed into TFRecords (fcnlib data pack)"),
}


def prepare(config: Config, progress: Progress | None = None) -> Dataset:
    """Open the data set of a configuration; a generated one is made first where it is missing.

    `progress` is called with (images done, images in all) while generating.

    Raises:
        InputError: the folder does not hold that data set.
    """
    name, root = config.data.dataset, config.path("data_dir")
    if name == "shapes":
        return shapes.ensure(root, config.shapes, progress)
    if name in ("scenes", "streets"):
        return scenes.ensure(root, config.scenes, progress, name)
    return open_dataset(name, root)
