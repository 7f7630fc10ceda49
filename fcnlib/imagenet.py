"""ImageNet weights as others released them, read into our variable names.

Our names are those of the slim checkpoints; those of Keras are computed (`keras_files.py`). Every
tensor of a file is copied, known to be skipped, or refused by its name; nothing is unpickled.

Source: https://github.com/tensorflow/models/tree/master/research/slim (checkpoints and their
preprocessing), https://github.com/tensorflow/models/issues/7808 (the auxiliary classifier's names).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fcnlib import keras_files, weights
from fcnlib.blocks import BACKBONES, Backbone, Conv, Fork, Layer, Mixed, Pool
from fcnlib.compat import tf
from fcnlib.errors import InputError

# What the released checkpoints hold beside the network. The auxiliary classifier of Inception-v3
# is needed for training it on ImageNet only; its kernel is called 5x5 or, at 224 pixels, 3x3.
_BESIDE = {
    "inception_v3": ("InceptionV3/AuxLogits/", "global_step"),
    "vgg_16": ("vgg_16/mean_rgb", "global_step"),
}
_SLIM_CLASSES = {"inception_v3": 1001, "vgg_16": 1000}  # 1001: class 0 is "background"
_KERAS_CLASSES = 1000
_UNREADABLE = (tf.errors.OpError, OSError, LookupError, ValueError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Imported:
    """A released file as a checkpoint of ours: `arrays` and `meta` are what `weights.save` takes.

    The account calls the variables as the file does.
    """

    backbone: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    account: weights.Transfer

    def __str__(self) -> str:
        parts = {
            "copied": self.account.copied,
            "skipped": self.account.skipped,
            "missing": self.account.missing,
        }
        return ", ".join(f"{what} {len(names)}{_groups(names)}" for what, names in parts.items())


def _groups(names: tuple[str, ...]) -> str:
    counts = Counter("/".join(name.split("/")[:2]) for name in names)
    shown = ", ".join(f"{name} {count}" for name, count in counts.items())
    return f" ({shown})" if len(counts) <= 5 and shown else ""


def read(path: Path) -> Imported:
    """Read a slim checkpoint or a Keras h5 file; every variable is accounted for by name.

    Args:
        path: a checkpoint of slim (one file, or a prefix with .index and .data files) of a backbone
            in `blocks.BACKBONES`, or an h5 file of keras.applications.InceptionV3, with or without
            its classifier.

    Returns:
        The weights. Without a classifier the meta data say kind "backbone" and name no classes.

    Raises:
        InputError: the file is neither, is damaged, or a tensor is missing, unexpected, of another
            shape or type, or not finite; the tensor is named.
    """
    if not path.is_file() and not path.with_name(f"{path.name}.index").is_file():
        raise InputError(f"{path}: no such file; give the .ckpt or .h5 file itself")
    return _from_keras(path) if h5py.is_hdf5(path) else _from_slim(path)


def _from_slim(path: Path) -> Imported:
    prefix = re.sub(r"\.(index|data-\d{5}-of-\d{5})$", "", str(path))
    try:
        reader = tf.train.load_checkpoint(prefix)
        arrays = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    scopes = {name.split("/")[0] for name in arrays}
    backbone = next((n for n, made in BACKBONES.items() if made.scope in scopes), None)
    if backbone is None:
        known = " or ".join(f"{made.scope}/..." for made in BACKBONES.values())
        raise InputError(f"{path}: holds no variables {known}; give a released slim checkpoint")
    classes = _SLIM_CLASSES[backbone]
    names = {name: name for name in expected_shapes(BACKBONES[backbone], classes)}
    for name in names:
        if name in arrays and arrays[name].dtype != np.float32:
            raise InputError(f"{path}: {name} is of type {arrays[name].dtype}, not float32")
    return _collect(path, backbone, arrays, names, classes, _BESIDE[backbone])


def _from_keras(path: Path) -> Imported:
    backbone = "inception_v3"
    made = BACKBONES[backbone]
    try:
        with h5py.File(path, "r") as file:
            found = keras_files.datasets(path, file)
            names = keras_files.names(made, list(_kernels(made)[0]), found)
            return _collect(path, backbone, found, names, _KERAS_CLASSES, ())
    except InputError:
        raise
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def _collect(
    path: Path,
    backbone: str,
    found: Mapping[str, Any],
    names: Mapping[str, str],
    classes: int,
    beside: tuple[str, ...],
) -> Imported:
    """Check what was found against what is wanted, and give it our names."""
    made = BACKBONES[backbone]
    wanted = expected_shapes(made, classes)
    shapes = {theirs: wanted[ours] for theirs, ours in names.items()}
    head = [theirs for theirs, ours in names.items() if ours.startswith(made.logits)]
    if "predictions/kernel" in shapes:  # a matrix, where a 1 x 1 convolution has four axes
        shapes["predictions/kernel"] = shapes["predictions/kernel"][2:]
    headless = not any(name in found for name in head)
    account = weights.account(
        found, shapes, may_miss=head if headless else (), may_skip=beside, source=str(path)
    )
    arrays = {names[n]: np.asarray(found[n]).reshape(wanted[names[n]]) for n in account.copied}
    labels = [str(number) for number in range(1, 1001)]  # as ILSVRC numbers them, by WordNet id
    meta = {
        "kind": "backbone" if headless else "classifier",
        "classes": [] if headless else ["background"] * (classes - 1000) + labels,
        "backbone": backbone,
        "depth_multiplier": 1.0,
        "min_depth": 16,
        "inputs": f"RGB 0..255 minus {made.mean}" if made.mean else "RGB 0..255 / 127.5 - 1",
        "source": path.name,
    }
    return Imported(backbone, arrays, meta, account)


def expected_shapes(made: Backbone, classes: int) -> dict[str, tuple[int, ...]]:
    """Return {our variable name: shape} of the whole classifier at full width, in table order."""
    kernels, channels = _kernels(made)
    kernels = kernels | {made.logits: (1, 1, channels, classes)}
    shapes = {}
    for scope, kernel in kernels.items():
        shapes[f"{scope}/weights"] = kernel
        norm = made.batch_norm and scope != made.logits
        parts = [f"BatchNorm/{part}" for part in keras_files.NORM] if norm else ["biases"]
        shapes |= {f"{scope}/{part}": kernel[3:] for part in parts}
    return shapes


def _kernels(made: Backbone) -> tuple[dict[str, tuple[int, ...]], int]:
    """Return ({variable scope: kernel shape} in the order of the table, channels at the end)."""
    found: dict[str, tuple[int, ...]] = {}
    channels = 3
    for layer in made.table:
        channels = _walk(layer, made.scope, channels, found)
    return found, channels


def _walk(layer: Layer, scope: str, channels: int, found: dict[str, tuple[int, ...]]) -> int:
    match layer:
        case Conv():
            found[f"{scope}/{layer.name}"] = (*layer.kernel, channels, layer.depth)
            return layer.depth
        case Pool():
            return channels
        case Fork():
            return sum(_walk(part, scope, channels, found) for part in layer.layers)
        case Mixed():
            total = 0
            for number, branch in enumerate(layer.branches):
                out = channels
                for part in branch:
                    out = _walk(part, f"{scope}/{layer.name}/Branch_{number}", out, found)
                total += out
            return total


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
    return InputError(
        f"{path}: not a whole TensorFlow checkpoint or Keras h5 file ({reason}); get it again"
    )
