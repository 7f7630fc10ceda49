"""A folded network as an ONNX model, for ONNX Runtime, OpenVINO and all that reads it.

Source: https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fcnlib.backbone import BYTES_TO_UNIT
from fcnlib.errors import extra
from fcnlib.geometry import GRID
from fcnlib.upsampling import bilinear_kernel
from fcntools.inference.folding import INPUT, Folded, Op

OPSET = 18
PIXELS, SCORES, LABELS = "pixels", "scores", "labels"


def onnx_model(folded: Folded, labels: bool = True) -> Any:
    """Write a network down as an ONNX model for images of any size.

    Args:
        folded: the network.
        labels: give it the output "labels" as well.

    Returns:
        The model: input "pixels" float32 [N, H, W, 3] in 0..255; outputs "scores" float32
        [N, h, w, C] at the network's stride, of the image padded to the grid, and "labels" uint8
        [N, H, W].

    Raises:
        InputError: the package onnx is not installed.
    """
    onnx = extra("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    graph = _Graph(onnx)
    height, width = (graph.constant(i, np.int64([i])) for i in (1, 2))
    graph.add("Shape", [PIXELS], "shape")
    graph.add("Gather", ["shape", height], "height")
    graph.add("Gather", ["shape", width], "width")
    _to_grid(graph, folded.network.centred)
    for op in folded.ops:
        _write(graph, op, folded.network.centred)
    scores = folded.ops[-1].output
    graph.add("Transpose", [scores], SCORES, perm=[0, 2, 3, 1])
    outputs = [helper.make_tensor_value_info(SCORES, types.FLOAT, [None] * 4)]
    if labels:
        _labels(graph, scores, folded.network)
        outputs.append(helper.make_tensor_value_info(LABELS, types.UINT8, [None] * 3))
    images = helper.make_tensor_value_info(PIXELS, types.FLOAT, [None, None, None, 3])
    made = helper.make_graph(graph.nodes, "fcn", [images], outputs, graph.constants)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], producer_name="fcnlib", ir_version=9)
    onnx.checker.check_model(model)
    return model


class _Graph:
    def __init__(self, onnx):
        self.onnx, self.nodes, self.constants = onnx, [], []

    def constant(self, name: object, value: np.ndarray) -> str:
        name = f"constant/{name}/{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes) -> str:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [output], **attributes))
        return output


def _to_grid(graph: _Graph, centred: bool) -> None:
    """Scale to [-1, 1], pad to 32 k + 1 pixels (32 k if centred), channels first."""
    odd, zero = 0 if centred else 1, graph.constant("zero", np.int64([0]))
    numbers = {n: graph.constant(n, np.int64([n])) for n in {odd, 1, GRID - 1, GRID}}
    missing = []
    for side in ("height", "width"):
        less = graph.add("Sub", [side, numbers[odd]], f"{side}/less")
        more = graph.add("Add", [less, numbers[GRID - 1]], f"{side}/more")
        cells = graph.add("Div", [more, numbers[GRID]], f"{side}/cells")
        least = graph.add("Max", [cells, numbers[1]], f"{side}/least")
        whole = graph.add("Mul", [least, numbers[GRID]], f"{side}/whole")
        graph.add("Add", [whole, numbers[odd]], f"{side}/padded")
        missing.append(graph.add("Sub", [f"{side}/padded", side], f"{side}/missing"))
    pads = graph.add("Concat", [*[zero] * 6, *missing], "pads", axis=0)
    factor = graph.constant("factor", np.float32(BYTES_TO_UNIT))
    unit = graph.add("Div", [PIXELS, factor], "unit")
    one = graph.constant("one", np.float32(1))
    centre = graph.add("Sub", [unit, one], "centre")
    first = graph.add("Transpose", [centre], "first", perm=[0, 3, 1, 2])
    graph.add("Pad", [first, pads], INPUT)


def _write(graph: _Graph, op: Op, centred: bool) -> None:
    nets, output = list(op.inputs), op.output
    match op.kind:
        case "scale":
            factor = graph.constant("factor", op.kernel)
            scaled = graph.add("Mul", [*nets, factor], f"{output}/scaled")
            shift = op.bias.reshape(1, -1, 1, 1)
            graph.add("Add", [scaled, graph.constant("shift", shift)], output)
        case "conv":
            kernel = graph.constant(output, op.kernel.transpose(3, 2, 0, 1))
            bias = graph.constant(output, op.bias)
            pads, strides = _same(op.kernel.shape[:2]), [op.stride] * 2
            to = f"{output}/linear" if op.relu else output
            graph.add("Conv", [*nets, kernel, bias], to, pads=pads, strides=strides)
            if op.relu:
                graph.add("Relu", [to], output)
        case "max" | "average":
            kind = "MaxPool" if op.kind == "max" else "AveragePool"
            pads, strides = _same(op.window), [op.stride] * 2
            graph.add(kind, nets, output, kernel_shape=op.window, pads=pads, strides=strides)
        case "relu":
            graph.add("Relu", nets, output)
        case "slice":
            ends = [graph.constant(output, np.int64([n])) for n in (op.start, op.stop, 1)]
            graph.add("Slice", [*nets, *ends], output)
        case "concat":
            graph.add("Concat", nets, output, axis=1)
        case "add":
            graph.add("Add", nets, output)
        case "up" | "resize":
            _up(graph, op, centred)


def _same(window) -> list[int]:
    # On the grid, padding SAME is the same on both sides; windows of two pixels have none.
    rows, columns = ((n - 1) // 2 for n in window)
    return [rows, columns, rows, columns]


def _up(graph: _Graph, op: Op, centred: bool) -> None:
    nets, more = list(op.inputs), {"strides": [2, 2], "pads": [3 if centred else 1] * 4}
    if centred:
        pads = graph.constant("pads", np.int64([0, 0, 1, 1, 0, 0, 1, 1]))
        nets = [graph.add("Pad", [*nets, pads], f"{op.output}/padded", mode="edge")]
    if op.kind == "up":
        kernel = op.kernel.transpose(3, 2, 0, 1)
    else:  # one channel at a time
        ramp = bilinear_kernel(4 if centred else 3)
        kernel = np.broadcast_to(ramp, (op.channels, 1, *ramp.shape))
        more["group"] = op.channels
    graph.add("ConvTranspose", [*nets, graph.constant(op.output, kernel)], op.output, **more)


def _labels(graph: _Graph, scores: str, network) -> None:
    known = graph.constant("known", np.int64([network.num_classes]))
    zero, second = graph.constant("zero", np.int64([0])), graph.constant("axis", np.int64([1]))
    classes = graph.add("Slice", [scores, zero, known, second], "classes")
    both = graph.constant("both", np.int64([0, 1]))
    shape = graph.add("Gather", [graph.add("Shape", [classes], "classes/shape"), both], "front")
    size = graph.add("Concat", [shape, "height/padded", "width/padded"], "size", axis=0)
    mode = "half_pixel" if network.centred else "align_corners"
    fine = graph.add(
        "Resize",
        [classes, "", "", size],
        "fine",
        mode="linear",
        coordinate_transformation_mode=mode,
    )
    axes = graph.constant("axes", np.int64([2, 3]))
    start = graph.constant("start", np.int64([0, 0]))
    stop = graph.add("Concat", ["height", "width"], "stop", axis=0)
    cropped = graph.add("Slice", [fine, start, stop, axes], "cropped")
    best = graph.add("ArgMax", [cropped], "best", axis=1, keepdims=0)
    graph.add("Cast", [best], LABELS, to=graph.onnx.TensorProto.UINT8)
