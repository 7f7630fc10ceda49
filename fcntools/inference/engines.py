"""A trained network behind one door, whichever engine computes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fcnlib import evaluation
from fcnlib.backbone import BYTES_TO_UNIT
from fcnlib.builders import load_fcn
from fcnlib.errors import InputError, extra
from fcnlib.network import FCN
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import pad_to_grid
from fcntools.inference.export import PIXELS, SCORES, function_of, onnx_model, openvino_model
from fcntools.inference.folding import Folded

ENGINES = ("tensorflow", "openvino", "onnxruntime")


class Engine:
    """Answers as the network does that it was made from, faster; its weights are fixed.

    Attributes:
        network: that network; it knows strides, classes and grid.
    """

    def __init__(self, network: FCN, name: str = "tensorflow"):
        """Fold the network and give it to an engine.

        Args:
            network: built and trained.
            name: one of `ENGINES`.

        Raises:
            InputError: there is no such engine, or its package is not installed.
        """
        if name not in ENGINES:
            raise InputError(f"no engine {name!r}; there are {', '.join(ENGINES)}")
        self.network, self.num_classes = network, network.num_classes
        self._folded = Folded(network)
        self._outputs = network.outputs
        self._foreign = None if name == "tensorflow" else _session(name, self._folded)

    def fused(self, images: tf.Tensor) -> tf.Tensor:
        """Compute the fused scores.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], any size; padded to the grid here.

        Returns:
            float32 [N, h, w, C] at the network's stride.
        """
        images = pad_to_grid(images, self.network.centred)
        if self._foreign is None:
            return self._folded.run(images, self.network.dtype)
        scores = tf.numpy_function(self._ask, [images], tf.float32, stateful=False)
        return tf.ensure_shape(scores, [None, None, None, self._outputs])

    def score_maps(self, images: tf.Tensor) -> tuple[dict[int, tf.Tensor], dict[int, tf.Tensor]]:
        """Return what `FCN.score_maps` does; by TensorFlow, whichever the engine is."""
        images = pad_to_grid(images, self.network.centred)
        return self._folded.score_maps(images, self.network.dtype)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the logits, float32 [N, H, W, C], of images float32 [N, H, W, 3] in [-1, 1]."""
        height, width = tf.unstack(tf.shape(images)[1:3])
        return self.network.to_pixels(self.fused(images), height, width)

    def _ask(self, images: np.ndarray) -> np.ndarray:
        return self._foreign((images + np.float32(1)) * np.float32(BYTES_TO_UNIT))


def fold(network: FCN, engine: str = "tensorflow"):
    """Fold a trained network for scoring, so that all reported metrics come of the same rounding.

    Args:
        network: with its final weights.
        engine: what computes, one of `ENGINES`.

    Returns:
        What `evaluation.predictor` takes: an engine, or the network itself where it cannot be
        folded (that of 2017).
    """
    return Engine(network, engine) if isinstance(network, FCN) else network


evaluation.PREPARED["fold"] = fold


def _session(name: str, folded: Folded) -> Callable[[np.ndarray], np.ndarray]:
    function = function_of(folded, labels=False)
    if name == "onnxruntime":
        session = extra("onnxruntime").InferenceSession(onnx_model(function))
        return lambda pixels: session.run([SCORES], {PIXELS: pixels})[0]
    with TemporaryDirectory() as folder:
        model = openvino_model(function, Path(folder) / "saved_model")
        compiled = extra("openvino").Core().compile_model(model, "CPU")
    return lambda pixels: compiled({PIXELS: pixels})[SCORES]


def load_alike(path: Path, *others: Path, stride: int = 0) -> tuple[list[FCN], dict[str, Any]]:
    """Load trained networks of the same classes, to be averaged.

    Args:
        path: as of `load_fcn`.
        *others: more of them.
        stride: as of `load_fcn`, for each.

    Returns:
        (the networks, the meta of the first checkpoint).

    Raises:
        InputError: as `load_fcn`, or one has other classes than the first.
    """
    (first, meta), *rest = (load_fcn(one, stride) for one in (path, *others))
    for other, (_, theirs) in zip(others, rest, strict=True):
        if theirs["classes"] != meta["classes"]:
            raise InputError(f"{other}: its classes are not those of {path}; no average of both")
    return [first, *(network for network, _ in rest)], meta
