"""A trained network with batch norm folded into its convolutions, for engines and other programs.

The 1 x 1 convolutions that begin the branches of an Inception block are one convolution, split
afterwards; a 1 x 1 convolution behind an average pool changes places with it (both are linear, and
a pool leaves a constant as it is), so that the pool sees fewer channels. All of it is the same
arithmetic in another order.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from fcnlib import evaluation
from fcnlib.backbone import BATCH_NORM_EPSILON
from fcnlib.blocks import Conv, Layer, Mixed, Parallel, Pool
from fcnlib.errors import InputError, require_package
from fcnlib.network import FCN
from fcnlib.preprocessing import BYTES_TO_UNIT, preprocess
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import scratch
from fcnlib.upsampling import pad_to_grid

ENGINES = ("tensorflow", "openvino", "onnxruntime")
PIXELS, SCORES, LABELS = "pixels", "scores", "labels"  # of a model in another program's format
_OPSET = 18  # of ONNX


class Folded:
    """Answers as the network does that it was made from, faster; its weights are fixed."""

    def __init__(self, network: FCN, engine: str = "tensorflow"):
        """Read a network's weights and give them to an engine.

        Args:
            network: built and trained.
            engine: one of `ENGINES`.

        Raises:
            InputError: it is the network of 2017, or there is no such engine.
        """
        if engine not in ENGINES:
            raise InputError(f"no engine {engine!r}; there are {', '.join(ENGINES)}")
        if not isinstance(network, FCN):
            raise InputError("a network of fusion 2017 can only be scored: use `fcnlib evaluate`")
        self.network, self.num_classes = network, network.num_classes
        arrays = {name: v.numpy() for name, v in network.named_variables().items()}
        ends = ("/biases", "/BatchNorm/beta")
        layers = [name.removesuffix(end) for name in arrays for end in ends if name.endswith(end)]
        self._layers = {layer: folded(arrays, layer) for layer in layers}
        # The kernels that a network fuses with do not depend on the image.
        kernels = network.score_maps(tf.zeros([1, 33, 33, 3]))[1]
        self._kernels = {stride: kernel.numpy() for stride, kernel in kernels.items()}
        self._session = None if engine == "tensorflow" else _session(self, engine)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Return the logits, float32 [N, H, W, C], of images float32 [N, H, W, 3] in [-1, 1]."""
        height, width = tf.unstack(tf.shape(images)[1:3])
        return self.network.to_pixels(self.fused(images), height, width)

    def fused(self, images: tf.Tensor) -> tf.Tensor:
        """Return the fused scores, float32 [N, h, w, C] at the network's stride.

        The images are float32 [N, H, W, 3] in [-1, 1], of any size.
        """
        if self._session is None:
            return self.network.fuse(*self.score_maps(images))

        def ask(images: np.ndarray) -> np.ndarray:
            return self._session((images + np.float32(1)) * np.float32(BYTES_TO_UNIT))

        scores = tf.numpy_function(ask, [images], tf.float32, stateful=False)
        return tf.ensure_shape(scores, [None, None, None, self.network.outputs])

    def score_maps(self, images: tf.Tensor, dtype: tf.DType | None = None):
        """Return what `FCN.score_maps` does, by TensorFlow, computed in `dtype` or its own."""
        network, spec = self.network, self.network.spec
        images = pad_to_grid(images, network.half_pixel_centers)
        # The padding hides from TensorFlow Lite that the channels are three.
        images = tf.reshape(images, [*tf.unstack(tf.shape(images)[:3]), 3])
        net, maps, scores = tf.cast(images, dtype or network.dtype), {}, {}
        if spec.mean is not None:
            net = net * np.float32(BYTES_TO_UNIT) + np.float32(BYTES_TO_UNIT - np.array(spec.mean))
        for layer in spec.table:
            net = maps[layer.name] = self._layer(net, layer, spec.scope)
            if layer.name == spec.skips[32]:
                break
        for stride in network.strides:  # these are what is compared in the end: in float32
            net = tf.cast(maps[spec.skips[stride]], tf.float32)
            factor, score = network.skip_scales.get(stride, 1), f"FCN/score_{stride}"
            if score in self._layers:
                scores[stride] = self._conv(net, [score], relu=False, factor=factor)
            else:  # features that are added as they are
                scores[stride] = net * np.float32(factor)
        return scores, {s: tf.constant(k) for s, k in self._kernels.items()}

    def _layer(self, net: tf.Tensor, layer: Layer, scope: str) -> tf.Tensor:
        match layer:
            case Conv():
                return self._conv(net, [f"{scope}/{layer.name}"], layer.stride)
            case Pool():
                pool = tf.nn.avg_pool2d if layer.average else tf.nn.max_pool2d
                return pool(net, layer.kernel, layer.stride, "SAME")
            case Parallel():
                return tf.concat([self._layer(net, p, scope) for p in layer.layers], axis=3)
            case Mixed():
                return self._mixed(net, f"{scope}/{layer.name}", layer)

    def _mixed(self, net: tf.Tensor, name: str, block: Mixed) -> tf.Tensor:
        branches = {f"{name}/Branch_{i}": list(b) for i, b in enumerate(block.branches)}
        firsts = {scope: layers[0] for scope, layers in branches.items()}
        points = [s for s, f in firsts.items() if f.kernel == (1, 1) and f.stride == 1]
        layers = [f"{scope}/{branches[scope].pop(0).name}" for scope in points]
        sizes = [self._layers[layer][0].shape[-1] for layer in layers]
        starts = dict(zip(points, tf.split(self._conv(net, layers), sizes, axis=3), strict=True))
        outputs = []
        for scope, layers in branches.items():
            out = starts.get(scope, net)
            if len(layers) == 2 and isinstance(layers[0], Pool) and layers[0].average:
                early = self._conv(out, [f"{scope}/{layers[1].name}"], relu=False)
                out = tf.nn.relu(self._layer(early, layers[0], scope))
            else:
                for layer in layers:
                    out = self._layer(out, layer, scope)
            outputs.append(out)
        return tf.concat(outputs, axis=3)

    def _conv(self, net, layers: Sequence[str], stride=1, relu=True, factor=1.0) -> tf.Tensor:
        """Do the convolutions of one or more layers as one; `factor` scales its kernel."""
        kernels, biases = zip(*(self._layers[layer] for layer in layers), strict=True)
        kernel = np.concatenate(kernels, axis=3) * np.float32(factor)
        net = tf.nn.conv2d(net, tf.constant(kernel, net.dtype), stride, "SAME")
        net = tf.nn.bias_add(net, tf.constant(np.concatenate(biases), net.dtype))
        return tf.nn.relu(net) if relu else net


def folded(arrays: Mapping[str, np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and bias that do what a layer's convolution and batch norm do.

    The arrays are weights by name: "LAYER/weights", and "LAYER/BatchNorm/..." or "LAYER/biases".

    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 2.
    """
    kernel = arrays[f"{layer}/weights"]
    if f"{layer}/BatchNorm/beta" not in arrays:
        return kernel, arrays[f"{layer}/biases"]
    norm = {n: arrays[f"{layer}/BatchNorm/{n}"] for n in ("beta", "moving_mean", "moving_variance")}
    factor = 1 / np.sqrt(norm["moving_variance"] + BATCH_NORM_EPSILON)
    return kernel * factor, norm["beta"] - norm["moving_mean"] * factor


def fold(network, engine: str = "tensorflow"):
    """Return what `evaluation.predictor` takes: a `Folded`, or the network of 2017 as it is."""
    return Folded(network, engine) if isinstance(network, FCN) else network


evaluation.PREPARED["fold"] = fold


def _session(network: Folded, engine: str) -> Callable[[np.ndarray], np.ndarray]:
    function = function_of(network, labels=False)
    if engine == "onnxruntime":
        session = require_package("onnxruntime").InferenceSession(onnx_model(function))
        return lambda pixels: session.run([SCORES], {PIXELS: pixels})[0]
    with TemporaryDirectory() as folder:
        model = openvino_model(function, Path(folder) / "saved_model")
        compiled = require_package("openvino").Core().compile_model(model, "CPU")
    return lambda pixels: compiled({PIXELS: pixels})[SCORES]


def function_of(network: Folded, labels: bool = True):
    """Return a TensorFlow function of PIXELS that gives SCORES and, if wanted, LABELS."""

    def segment(pixels):
        fused = network.network.fuse(*network.score_maps(preprocess(pixels), tf.float32))
        if not labels:
            return {SCORES: fused}
        height, width = tf.unstack(tf.shape(pixels)[1:3])
        logits = network.network.to_pixels(fused, height, width)[..., : network.num_classes]
        return {SCORES: fused, LABELS: tf.cast(tf.argmax(logits, axis=-1), tf.uint8)}

    for converter in ("tensorflow", "tf2onnx"):  # which are to be quiet
        logging.getLogger(converter).setLevel("ERROR")
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, PIXELS)
    return tf.function(segment, [spec], autograph=False)


def onnx_model(function) -> bytes:
    """Convert what `function_of` returns to ONNX, by tf2onnx."""
    convert = require_package("tf2onnx").convert
    model, _ = convert.from_function(function, function.input_signature, opset=_OPSET)
    return model.SerializeToString()


def openvino_model(function, folder: Path):
    """Convert what `function_of` returns by OpenVINO, by way of a SavedModel in a new folder."""
    convert = require_package("openvino").convert_model
    save_model(function, folder)
    return convert(folder)


def save_model(function, folder: Path) -> None:
    """Write what `function_of` returns as a SavedModel."""
    module = tf.Module()
    module.segment = function
    tf.saved_model.save(module, str(folder), signatures=function)


Answer = Callable[[np.ndarray], dict[str, np.ndarray]]
_INSIDE = {  # all that an export in a folder makes there
    "saved_model": {"saved_model.pb", "fingerprint.pb", "assets", "variables"}
    | {f"variables/variables.{end}" for end in ("index", "data-00000-of-00001")},
    "openvino": {"model.xml", "model.bin"},
}


class Parity(NamedTuple):
    """How an exported network's answers differ from the original's."""

    agreement: float  # share of pixels given the same class
    error: float  # greatest difference of a fused score, as a share of the greatest score
    images: int


def export(network: FCN, kind: str, target: Path, images: list[np.ndarray]) -> Parity:
    """Return how the answers of a network differ that is written and read back.

    The exported input is "pixels", float32 [N, H, W, 3] in 0..255; the outputs are "scores",
    float32 [N, h, w, C] at the network's stride, of the image padded to the grid, and "labels",
    uint8 [N, H, W].

    Args:
        network: built and trained, computing in float32.
        kind: one of `FORMATS`.
        target: file (onnx, tflite) or folder (saved_model, openvino) to write; an earlier export
            to this format is replaced.
        images: uint8 [H, W, 3] each, to compare on.

    Raises:
        InputError: no such format, or the target can't be written or holds anything else.
    """
    if kind not in FORMATS:
        raise InputError(f"no format {kind!r}; there are {', '.join(FORMATS)}")
    write, read = FORMATS[kind]
    _require_ours(target, kind)
    function = function_of(Folded(network))
    try:
        with scratch(target) as made:
            write(function, made)
            found = _compare(network, read(made), images)
            if target.is_dir():
                shutil.rmtree(target)
            os.replace(made, target)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{target}: cannot be written: {reason}") from None
    return found


def _require_ours(target: Path, kind: str) -> None:
    """Refuse to replace what no export to this format made: it must answer as one does."""
    inside = {str(path.relative_to(target)) for path in target.rglob("*")}
    if not target.exists() or (target.is_dir() and not inside):
        return
    others = sorted(inside - _INSIDE.get(kind, set()))
    try:
        found = {} if others else FORMATS[kind][1](target)(np.zeros([1, 33, 33, 3], np.float32))
    except InputError:  # no package that could read it
        raise
    except Exception:  # whatever its reader stumbles over
        found = {}
    if found.keys() != {SCORES, LABELS}:
        what = f"holds {others[0]}, which" if others else "is there, and"
        raise InputError(f"{target}: {what} no export to {kind} made; name another --out")


def _compare(network: FCN, answer: Answer, images: list[np.ndarray]) -> Parity:
    same, error, greatest = [], [], []
    for image in images:
        fused = network.fused(tf.constant(preprocess(image)[None]))
        logits = network.to_pixels(fused, *image.shape[:2])[..., : network.num_classes]
        found = answer(image[None].astype(np.float32))
        same.append(np.mean(found[LABELS] == tf.argmax(logits, axis=-1).numpy()))
        error.append(np.abs(found[SCORES] - fused).max())
        greatest.append(np.abs(fused).max())
    return Parity(float(np.mean(same)), float(max(error) / max(greatest)), len(images))


def _read_saved_model(path: Path) -> Answer:
    loaded = tf.saved_model.load(str(path))
    run = loaded.signatures["serving_default"]
    return lambda pixels: {n: v.numpy() for n, v in run(pixels=tf.constant(pixels)).items()}


def _read_onnx(path: Path) -> Answer:
    session = require_package("onnxruntime").InferenceSession(str(path))
    names = [SCORES, LABELS]
    return lambda pixels: dict(zip(names, session.run(names, {PIXELS: pixels}), strict=True))


def _write_openvino(function, path: Path) -> None:
    path.mkdir()
    model = openvino_model(function, path / "saved_model")
    require_package("openvino").save_model(model, path / "model.xml", compress_to_fp16=False)
    shutil.rmtree(path / "saved_model")


def _read_openvino(path: Path) -> Answer:
    # Its own choice on this processor may be bfloat16; the file is what is compared here.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = require_package("openvino").Core().compile_model(path / "model.xml", "CPU", exact)
    return lambda pixels: {n.any_name: found for n, found in compiled({PIXELS: pixels}).items()}


def _write_tflite(function, path: Path) -> None:
    concrete = [function.get_concrete_function()]
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions(concrete).convert())


def _read_tflite(path: Path) -> Answer:
    with warnings.catch_warnings():  # that it moves to a package of its own one day
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(str(path))
    (given,) = interpreter.get_input_details()

    def answer(pixels):
        interpreter.resize_tensor_input(given["index"], pixels.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], pixels)
        interpreter.invoke()
        found = [interpreter.get_tensor(o["index"]) for o in interpreter.get_output_details()]
        return {LABELS if value.dtype == np.uint8 else SCORES: value for value in found}

    return answer


FORMATS = {
    "saved_model": (save_model, _read_saved_model),
    "onnx": (lambda function, path: path.write_bytes(onnx_model(function)), _read_onnx),
    "openvino": (_write_openvino, _read_openvino),
    "tflite": (_write_tflite, _read_tflite),
}
