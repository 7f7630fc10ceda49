"""Files in the formats of the released ImageNet weights, full size, their numbers random."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from fcnlib.runtime.compat import slim, tf

AUX = "InceptionV3/AuxLogits"


@functools.lru_cache(maxsize=1)
def slim_shapes() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of tf_slim's own Inception-v3 as it was released: 388 variables."""
    from tf_slim.nets import inception_v3 as nets

    with tf.Graph().as_default():
        with slim.arg_scope(nets.inception_v3_arg_scope(updates_collections=None)):
            nets.inception_v3(tf.zeros([1, 299, 299, 3]), 1001, is_training=False)
        variables = tf.compat.v1.global_variables()
        return {v.op.name: tuple(v.shape.as_list()) for v in variables}


@functools.lru_cache(maxsize=1)
def vgg_shapes() -> dict[str, tuple[int, ...]]:
    """Return names and shapes of tf_slim's VGG16, with what else is in the released file."""
    from tf_slim.nets import vgg

    with tf.Graph().as_default():
        vgg.vgg_16(tf.zeros([1, 224, 224, 3]), is_training=False)
        shapes = {v.op.name: tuple(v.shape.as_list()) for v in tf.compat.v1.global_variables()}
    return shapes | {"vgg_16/mean_rgb": (3,)}


def draw(shapes: Mapping[str, tuple[int, ...]], seed: int = 0) -> dict[str, np.ndarray]:
    """Draw an array for each shape, variances positive, no two alike."""
    random = np.random.default_rng(seed)
    return {n: random.random(s, np.float32) * 0.1 + 0.01 for n, s in shapes.items()}


def write_v1(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write the old format, one file, which the released checkpoints have."""
    tf.raw_ops.Save(filename=str(path), tensor_names=list(arrays), data=list(arrays.values()))
    return path


def write_v2(path: Path, arrays: Mapping[str, np.ndarray]) -> Path:
    """Write the newer format, an index and a data file."""
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=list(arrays.values()),
    )
    return path


def write_keras(path: Path, model) -> Path:
    """Write weights as keras.applications released them: Keras 2's h5, layers counted from 1."""
    counts: Counter[str] = Counter()
    names = {}
    for layer in sorted(model.layers, key=lambda layer: _number(layer.name)):
        if layer.weights:
            kind = re.sub(r"_\d+$", "", layer.name)
            counts[kind] += 1
            names[layer] = "predictions" if kind == "predictions" else f"{kind}_{counts[kind]}"
    with h5py.File(path, "w") as file:
        kept = [layer for layer in model.layers if layer in names]
        file.attrs["layer_names"] = [names[layer].encode() for layer in kept]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.0.4"
        for layer in kept:
            group = file.create_group(names[layer])
            tensors = {f"{names[layer]}/{v.name}:0": v.numpy() for v in layer.weights}
            group.attrs["weight_names"] = [name.encode() for name in tensors]
            for name, value in tensors.items():
                group[name] = value
    return path


def _number(name: str) -> int:
    match = re.search(r"_(\d+)$", name)
    return int(match[1]) if match else 0
