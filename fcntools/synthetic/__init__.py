"""The generated data sets."""

from __future__ import annotations

from fcnlib.config import Config
from fcnlib.datasets import Dataset, open_dataset
from fcntools.synthetic import scenes, shapes
from fcntools.synthetic.generate import Progress


def prepare(config: Config, progress: Progress | None = None) -> Dataset:
    """Open the data set of a configuration; a generated one is made first where it is missing.

    Args:
        config: gives dataset, data_dir and what to generate.
        progress: called with (images done, images in all) while generating.

    Returns:
        The data set.

    Raises:
        InputError: the folder does not hold that data set.
    """
    name, root = config.data.dataset, config.path("data_dir")
    if name == "shapes":
        return shapes.ensure(root, config.shapes, progress)
    if name in ("scenes", "streets"):
        return scenes.ensure(root, config.scenes, progress, name)
    return open_dataset(name, root)
