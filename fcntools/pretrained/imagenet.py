"""ImageNet weights as others released or saved them, read into our variable names.

Our names are those of the slim checkpoints. Keras numbers its layers in the order in which it makes
them, which is that of our table, so the n-th convolution of the one is the n-th of the other, and
no list of names is needed. Kernels have the same layout; batch norm has no gamma in either. A
backbone must be whole, what is beside it is left out by name. Nothing is unpickled.

Source: https://github.com/tensorflow/models/tree/master/research/slim (checkpoints and their
preprocessing), keras.applications.inception_v3, keras.src.saving.saving_lib (from 3.6 on it writes
the layers' names), https://docs.hdfgroup.org/hdf5/ (external storage, links).
"""

from __future__ import annotations

import functools
import io
import operator
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fcnlib import checkpoints
from fcnlib.blocks import BACKBONES
from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcntools.pretrained.shapes_classifier import Classifier

_SLIM_CLASSES = {"inception_v3": 1001, "vgg_16": 1000}  # 1001: class 0 is "background"
_KERAS_CLASSES = 1000
_NORM = ("beta", "moving_mean", "moving_variance")  # slim and Keras agree on these names
_NAMELESS = "?"
_PART = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")  # ends of TensorFlow's checkpoint files
_TABLE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # ends their older form, a single file
_RESAVE = "load it in Keras, write it with model.save('X.h5') and `fcnlib weights import X.h5`"
_DOWNLOAD = "`fcnlib weights download NAME` gets ImageNet's inception_v3 or vgg_16"


@dataclass(frozen=True)
class Imported:
    """A file of others as a checkpoint of ours, `arrays` and `meta` for `checkpoints.save`."""

    backbone: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    account: checkpoints.Transfer  # which calls the variables as the file does

    def __str__(self) -> str:
        said = [f"{what} {len(names)}" for what, names in vars(self.account).items()]
        alone = "; the backbone alone: it has no head of ImageNet's classes"
        return ", ".join(said) + (alone if self.meta["kind"] == "backbone" else "")


def read(path: Path) -> Imported:
    """Read a slim checkpoint or a file of Keras; every variable is accounted for by name.

    `path` is a checkpoint of slim (one file, or a prefix with .index and .data files) of a backbone
    in `blocks.BACKBONES`, or what Keras saved (.h5, .weights.h5, .keras) of a network with
    keras.applications.InceptionV3 in it. Without ImageNet's classifier it is of kind "backbone".

    Raises:
        InputError: the file is something else or damaged, or a tensor of the backbone is missing,
            unexpected, of another shape or type, or not finite; it is named.
    """
    try:
        if _is_checkpoint(path):
            return _from_slim(path)
        if h5py.is_hdf5(path):
            return _from_keras(path, path)
        with zipfile.ZipFile(path) as archive:  # a .keras file
            if checkpoints.META in archive.namelist():
                said = "is fcnlib's own; start from it with --set init_checkpoint=FILE"
                raise InputError(f"{path}: {said}")
            checkpoints.refuse_bomb(archive, path.stat().st_size)
            return _from_keras(path, io.BytesIO(archive.read("model.weights.h5")))
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except Exception as error:  # a damaged file fails in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InputError(
            f"{path}: no whole TensorFlow checkpoint, .h5 or .keras file ({reason}); another model "
            f"of Keras: {_RESAVE}; {_DOWNLOAD}, with --archive FILE from a release at hand"
        ) from None


def _is_checkpoint(path: Path) -> bool:
    parts = (_PART.subn("", other.name) for other in path.parent.iterdir())
    if (_PART.sub("", path.name), 1) in parts:  # a part of it lies there
        return True
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TABLE)))
        return file.read() == _TABLE


def _from_slim(path: Path) -> Imported:
    prefix = _PART.sub("", str(path))
    if not Path(prefix).is_file() and not Path(f"{prefix}.index").is_file():
        raise InputError(f"{prefix}.index: missing; its .data files alone are no checkpoint")
    reader = tf.train.load_checkpoint(prefix)
    arrays = {n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()}
    if any(".ATTRIBUTES/" in name for name in arrays):
        raise InputError(f"{path}: weights of Keras as a TensorFlow checkpoint; {_RESAVE}")
    scopes = {name.split("/")[0] for name in arrays}
    backbone = next((n for n, made in BACKBONES.items() if made.scope in scopes), None)
    if backbone is None:
        known = " or ".join(f"{made.scope}/..." for made in BACKBONES.values())
        raise InputError(f"{path}: holds no variables {known}; give a released slim checkpoint")
    classes = _SLIM_CLASSES[backbone]
    names = {name: name for name in expected_shapes(backbone, classes)}
    return _collect(path, backbone, arrays, names, classes)


def _from_keras(path: Path, content: Path | io.BytesIO) -> Imported:
    with h5py.File(content, "r") as file:
        found = _datasets(file)
        names = _keras_names(path, found)
        if doubtful := [name for name in names if found.get(name, "") is None]:
            raise InputError(f"{path}: {doubtful[0]} is there twice or lies in another file")
        return _collect(path, "inception_v3", found, names, _KERAS_CLASSES)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset | None]:
    """Find {layer/variable: tensor} in an h5 file; nothing is read yet.

    They lie at .../LAYER/VARIABLE:0, below model_weights where a whole model was saved, or, with
    the layer's name as an attribute, at .../vars/NUMBER. Links to other places and files are not
    followed. None stands for a tensor that is there twice or has its numbers in another file.
    """
    whole = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
    found: dict[str, h5py.Dataset | None] = {}

    def note(place: str | bytes, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            place = place if isinstance(place, str) else place.decode("utf-8", "replace")
            layer, variable = f"/{place}".removesuffix(":0").split("/")[-2:]
            if layer == "vars":
                layer = str(item.parent.attrs.get("name", _NAMELESS))
                kinds = _NORM if layer.startswith("batch_") else ("kernel", "bias")
                variable = dict(zip("012", kinds, strict=False)).get(variable, variable)
            name = f"{layer}/{variable}"
            found[name] = None if name in found or item.external or item.is_virtual else item

    (file["model_weights"] if whole else file).visititems(note)  # of links, hard ones only
    return found


def _keras_names(path: Path, found: Mapping[str, Any]) -> dict[str, str]:
    """Compute {name in the file, as `_datasets` gives it: our name}, or say what else is in it."""
    logits = BACKBONES["inception_v3"].logits
    shapes = expected_shapes("inception_v3", _KERAS_CLASSES)
    kernels = {n.removesuffix("/weights"): s for n, s in shapes.items() if n.endswith("/weights")}
    del kernels[logits]
    (fit, convolutions), *others = _runs("conv2d", "kernel", list(kernels.values()), found)
    if fit < len(kernels) / 2:
        layers = list(dict.fromkeys(name.rpartition("/")[0] for name in found))
        if _NAMELESS in layers:
            raise InputError(f"{path}: of a Keras before 3.6, names no layers; {_RESAVE}")
        said = f"but the layers {', '.join(layers[:5]) or 'none'} ...; {_DOWNLOAD}"
        raise InputError(f"{path}: holds no InceptionV3 of keras.applications {said}")
    if others and others[0][0] == len(kernels):
        raise InputError(f"{path}: holds two InceptionV3; save the one that you mean by itself")
    norms = _runs("batch_normalization", "beta", [k[3:] for k in kernels.values()], found)[0][1]
    names = {"predictions/kernel": f"{logits}/weights", "predictions/bias": f"{logits}/biases"}
    for scope, convolution, norm in zip(kernels, convolutions, norms, strict=True):
        names[f"{convolution}/kernel"] = f"{scope}/weights"
        names |= {f"{norm}/{part}": f"{scope}/BatchNorm/{part}" for part in _NORM}
    return names


def _runs(
    kind: str, part: str, shapes: Sequence[tuple[int, ...]], found: Mapping[str, Any]
) -> list[tuple[int, list[str]]]:
    """Name so many layers of a kind in a row, from each number on; the best fit is first."""
    # The first: no number in a fresh Keras 3, 1 in Keras 2, a later one where others came before.
    matches = [re.fullmatch(rf"{kind}(?:_(\d{{1,9}}))?/{part}", name) for name in found]
    runs = []
    for first in sorted({int(match[1] or 0) for match in matches if match} or {0}):
        run = [f"{kind}_{n}" if n else kind for n in range(first, first + len(shapes))]
        have = [getattr(found.get(f"{layer}/{part}"), "shape", None) for layer in run]
        runs.append((sum(map(operator.eq, have, shapes)), run))
    return sorted(runs, key=lambda run: -run[0])


def _collect(
    path: Path, backbone: str, found: Mapping[str, Any], names: Mapping[str, str], classes: int
) -> Imported:
    """Check what was found against what is wanted, and give it our names."""
    made = BACKBONES[backbone]
    wanted = expected_shapes(backbone, classes)
    shapes = {theirs: wanted[ours] for theirs, ours in names.items()}
    head = [theirs for theirs, ours in names.items() if ours.startswith(made.logits)]
    if "predictions/kernel" in shapes:  # a matrix, where a 1 x 1 convolution has four axes
        shapes["predictions/kernel"] = shapes["predictions/kernel"][2:]
    there = [tuple(found[name].shape) == shapes[name] for name in head if name in found]
    headless = not there or not all(there)
    if headless:  # or of other classes
        shapes = {name: shape for name, shape in shapes.items() if name not in head}
    for name in shapes:
        if name in found and found[name].dtype != np.float32:
            raise InputError(f"{path}: {name} is of type {found[name].dtype}, not float32")
    # Beside a whole backbone anything may lie, but in its layers: a gamma would change the answer.
    whole = all(name in found for name in shapes)
    layers = {name.rpartition("/")[0] for name in shapes}
    beside = [n for n in found if whole and n.rpartition("/")[0] not in layers]
    account = checkpoints.account(found, shapes, may_skip=beside, source=str(path))
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


@functools.cache
def expected_shapes(backbone: str, classes: int) -> dict[str, tuple[int, ...]]:
    """Return {our variable name: shape} of the whole classifier at full width, in table order."""
    with tf.Graph().as_default():  # in which no variable takes memory
        classifier = Classifier(classes, backbone=backbone, padding="SAME")
        classifier(tf.zeros([1, 33, 33, 3]))
        return {name: tuple(v.shape) for name, v in classifier.named_variables().items()}
