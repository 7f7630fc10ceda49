"""What the skip inspector can choose from: trained networks, images of a split, the user's own."""

from __future__ import annotations

import functools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.builders import load_fcn, require_classes
from fcnlib.datasets import Dataset, Record
from fcnlib.datasets.image_io import read_image, read_pair
from fcnlib.errors import InputError
from fcnlib.network import FCN
from fcnlib.training import CHECKPOINT
from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
from fcntools.inspector.what_if import ScoreMaps, read

_LONGEST_SIDE = 512  # pixels of a picture of the user's own; a larger one is made smaller
_KEPT = 32  # images; the score maps of one of 500 x 375 pixels and 21 classes take some 5 MB


class ScoreMapCache:
    """The trained networks of a run and what they say, each loaded and run when first asked for.

    Attributes:
        networks: {name such as "fcn-8s": folder}, coarse to fine.
        images: {name: record of the data set, or uint8 [H, W, 3] of the user's own}.
        labels: names and colours of the classes.
    """

    def __init__(self, models: Path, dataset: Dataset, split: str, limit: int = 0):
        """List what there is; nothing is loaded yet.

        Args:
            models: the folder of the trained networks.
            dataset: whose images to offer.
            split: of the data set.
            limit: offer the first images only; 0 for all.

        Raises:
            InputError: there is no trained network.
        """
        folders = [p.parent for p in models.glob(f"*/{CHECKPOINT}")]
        strides = {p: re.fullmatch(r"fcn-(\d+)s", p.name) for p in folders}
        found = sorted((p for p in folders if strides[p]), key=lambda p: -int(strides[p][1]))
        if not found:
            raise InputError(f"{models}: no trained network here; run 03_skip_fusion.ipynb first")
        self.labels = dataset.labels
        self.networks = {path.name: path for path in found}
        self.images: dict[str, Record | np.ndarray] = {
            record.name: record for record in dataset.records(split)[: limit or None]
        }
        # A network of tf-slim layers answers rightly in the thread that built it alone; in another
        # one its template finds no variables and makes new ones. JupyterLab's widgets call from a
        # thread of their own, so all networks live in one thread here.
        self._worker = ThreadPoolExecutor(max_workers=1)
        # Of this object, not of the class: its networks go when it goes.
        self._network = functools.cache(self._load)
        self._read = functools.lru_cache(_KEPT)(self._run)

    def add(self, name: str, content: bytes) -> None:
        """Offer an image of the user's own, at most 512 pixels a side; it replaces one of its name.

        Raises:
            InputError: the content is no image that can be read.
        """
        picture = Image.fromarray(read_image(Path(name), content))
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        self.images[name] = np.asarray(picture)
        self._read.cache_clear()

    def read(self, network: str, image: str) -> ScoreMaps:
        """Return what a network says about an image, from memory where it was asked before.

        Args:
            network: a name of `networks`.
            image: a name of `images`.

        Raises:
            InputError: a file cannot be read, or the network was trained for other classes.
        """
        return self._worker.submit(self._read, network, image).result()

    def _load(self, name: str) -> FCN:
        network, meta = load_fcn(self.networks[name])
        require_classes(self.networks[name], meta, self.labels)
        return network

    def _run(self, name: str, image: str) -> ScoreMaps:
        network, item = self._network(name), self.images[image]
        if isinstance(item, np.ndarray):
            return read(network, item)
        if item.label_path is None:
            return read(network, read_image(item.image_path))
        return read(network, *read_pair(item, self.labels))
