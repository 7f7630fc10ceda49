"""What the skip inspector can choose from: trained networks, images of a split, the user's own."""

from __future__ import annotations

import functools
import io
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from fcnlib.builders import load_fcn, require_classes
from fcnlib.datasets import Dataset, Record
from fcnlib.datasets.image_io import read_image, read_pair
from fcnlib.errors import InputError
from fcnlib.network import FCN
from fcnlib.training import CHECKPOINT
from fcntools.analysis import variants  # noqa: F401  (builds and loads networks of 2017)
from fcntools.inspector.what_if import Reading, read

_LONGEST_SIDE = 512  # pixels of a picture of the user's own; a larger one is made smaller
_KEPT = 32  # readings; one of a 500 x 375 image with 21 classes takes some 5 MB


def open_picture(data: bytes, name: str) -> np.ndarray:
    """Decode a picture of the user's own: any format and mode that PIL knows.

    Args:
        data: the file.
        name: of the file, for the message.

    Returns:
        uint8 [H, W, 3], turned upright, transparency on white, 16 bits and floats stretched to 8,
        the longer side at most 512 pixels.

    Raises:
        InputError: no picture that can be read.
    """
    try:
        with Image.open(io.BytesIO(data)) as file:
            picture = ImageOps.exif_transpose(file)
            if picture.mode[0] in "IF":
                values = np.asarray(picture, np.float64)
                span = np.ptp(values) or 1.0
                picture = Image.fromarray(((values - values.min()) / span * 255).astype(np.uint8))
            if picture.has_transparency_data:
                picture = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
            picture = picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        raise InputError(f"{name}: not a readable picture; choose another file") from None
    picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    return np.asarray(picture)


class Readings:
    """The trained networks of a run and what they say, each loaded and run when first asked for.

    Attributes:
        networks: {name such as "fcn-8s": folder}, coarse to fine.
        images: {name: record of the data set, or uint8 [H, W, 3] of the user's own}.
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
        stride = {
            p.parent: re.fullmatch(r"fcn-(\d+)s", p.parent.name)
            for p in models.glob(f"*/{CHECKPOINT}")
        }
        found = sorted((p for p, m in stride.items() if m), key=lambda p: -int(stride[p][1]))
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

    def add(self, name: str, image: np.ndarray) -> None:
        """Offer an image of the user's own, uint8 [H, W, 3]; one of that name is replaced."""
        self.images[name] = image
        self._read.cache_clear()

    def read(self, network: str, image: str) -> Reading:
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

    def _run(self, name: str, image: str) -> Reading:
        network, item = self._network(name), self.images[image]
        if isinstance(item, np.ndarray):
            return read(network, item)
        if item.label_path is None:
            return read(network, read_image(item.image_path))
        return read(network, *read_pair(item, self.labels))
