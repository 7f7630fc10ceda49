"""The h5 files of keras.applications.InceptionV3: what is in them, and which variable is which.

Keras numbers its layers in the order in which it makes them, which is the order of our table:
blocks, branches, layers of a branch. So the n-th convolution of the one is the n-th of the other,
and no list of names is needed. Kernels have the same layout; batch norm has no gamma in either.

Source: keras.applications.inception_v3; https://docs.hdfgroup.org/hdf5/ (external storage, links).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fcnlib.blocks import Backbone
from fcnlib.errors import InputError

NORM = ("beta", "moving_mean", "moving_variance")  # slim and Keras agree on these names


def datasets(path: Path, file: h5py.File) -> dict[str, h5py.Dataset]:
    """Find the tensors of an h5 file; nothing is read yet.

    They lie at LAYER/.../VARIABLE:0, below model_weights where a whole model was saved. Links to
    other places and files are not followed.

    Args:
        path: what to call the file in an error.
        file: the open file.

    Returns:
        {layer/variable: dataset of float32}.

    Raises:
        InputError: a tensor is of another type (objects among them), is there twice, or has its
            numbers in another file.
    """
    whole = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    found: dict[str, h5py.Dataset] = {}

    def note(place: str | bytes, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            whole = place if isinstance(place, str) else place.decode("utf-8", "replace")
            parts = whole.split("/")
            name = f"{parts[0]}/{parts[-1].removesuffix(':0')}"
            if item.dtype != np.float32:
                raise InputError(f"{path}: {name} is of type {item.dtype}, not float32")
            if name in found or item.external or item.is_virtual:
                raise InputError(f"{path}: {name} is there twice or lies in another file")
            found[name] = item

    (file["model_weights"] if whole else file).visititems(note)  # of links, hard ones only
    return found


def names(made: Backbone, scopes: Sequence[str], found: Iterable[str]) -> dict[str, str]:
    """Compute what a file calls our variables.

    The first layer of a kind has no number in a fresh Keras 3, 1 in the released files (Keras 2),
    and a later one where other networks were made before.

    Args:
        made: the backbone.
        scopes: of its convolutions, in the order of the table.
        found: the names in the file, for the first number.

    Returns:
        {name in the file, as `datasets` gives it: our name}.
    """
    result = {}
    layers = zip(
        scopes,
        _numbered("conv2d", found, len(scopes)),
        _numbered("batch_normalization", found, len(scopes)),
        strict=True,
    )
    for scope, convolution, norm in layers:
        result[f"{convolution}/kernel"] = f"{scope}/weights"
        result |= {f"{norm}/{part}": f"{scope}/BatchNorm/{part}" for part in NORM}
    result["predictions/kernel"] = f"{made.logits}/weights"
    result["predictions/bias"] = f"{made.logits}/biases"
    return result


def _numbered(kind: str, found: Iterable[str], count: int) -> Iterator[str]:
    matches = [re.match(rf"{kind}(?:_(\d{{1,9}}))?/", name) for name in found]
    first = min((int(match[1] or 0) for match in matches if match), default=0)
    return (f"{kind}_{n}" if n else kind for n in range(first, first + count))
