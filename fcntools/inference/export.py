"""Write a trained network in the formats of other programs, and prove that it answers the same."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fcnlib.backbone import preprocess
from fcnlib.errors import InputError, extra
from fcnlib.network import FCN
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import scratch
from fcntools.inference import folding
from fcntools.inference.folding import LABELS, PIXELS, SCORES

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
    function = folding.function_of(folding.Folded(network))
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
    same, error, greatest = [], 0.0, 0.0
    for image in images:
        fused = network.fused(tf.constant(preprocess(image)[None]))
        logits = network.to_pixels(fused, *image.shape[:2])[..., : network.num_classes]
        found = answer(image[None].astype(np.float32))
        same.append(np.mean(found[LABELS] == tf.argmax(logits, axis=-1).numpy()))
        error = max(error, float(np.abs(found[SCORES] - fused).max()))
        greatest = max(greatest, float(np.abs(fused).max()))
    return Parity(float(np.mean(same)), error / max(greatest, 1e-9), len(images))


def _read_saved_model(path: Path) -> Answer:
    loaded = tf.saved_model.load(str(path))
    run = loaded.signatures["serving_default"]
    return lambda pixels: {n: v.numpy() for n, v in run(pixels=tf.constant(pixels)).items()}


def _read_onnx(path: Path) -> Answer:
    session = extra("onnxruntime").InferenceSession(str(path))
    names = [SCORES, LABELS]
    return lambda pixels: dict(zip(names, session.run(names, {PIXELS: pixels}), strict=True))


def _write_openvino(function, path: Path) -> None:
    path.mkdir()
    model = folding.openvino_model(function, path / "saved_model")
    extra("openvino").save_model(model, path / "model.xml", compress_to_fp16=False)
    shutil.rmtree(path / "saved_model")


def _read_openvino(path: Path) -> Answer:
    # Its own choice on this processor may be bfloat16; the file is what is compared here.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = extra("openvino").Core().compile_model(path / "model.xml", "CPU", exact)
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
    "saved_model": (folding.save_model, _read_saved_model),
    "onnx": (lambda function, path: path.write_bytes(folding.onnx_model(function)), _read_onnx),
    "openvino": (_write_openvino, _read_openvino),
    "tflite": (_write_tflite, _read_tflite),
}
