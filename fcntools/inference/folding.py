"""A trained network as the short list of operations that its answer needs.

Batch norm is folded into the kernels before it; the 1 x 1 convolutions that begin the branches of
an Inception block are one convolution, split afterwards; a 1 x 1 convolution behind an average pool
changes places with it (both are linear, and a pool leaves a constant as it is), so that the pool
sees fewer channels. All of it is the same arithmetic in another order. `export.py` writes the list
down in the formats of other engines; `run` does it in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fcnlib.backbone import BATCH_NORM_EPSILON, BYTES_TO_UNIT
from fcnlib.blocks import Backbone, Conv, Fork, Layer, Mixed, Pool
from fcnlib.errors import InputError
from fcnlib.network import FCN
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import transposed, upsample

INPUT = "images"


@dataclass(frozen=True)
class Op:
    """One operation on maps [N, h, w, channels], named by its output.

    `kind` is "scale" (times `kernel` plus `bias`), "conv", "max", "average" (SAME padding, the
    padding not averaged), "relu", "slice" (channels `start` to `stop`), "concat", "add", "up"
    (transposed convolution by two with `kernel` [k, k, C out, C in], as `upsampling.transposed`)
    or "resize" (bilinear by two).
    """

    kind: str
    output: str
    inputs: tuple[str, ...]
    kernel: np.ndarray | None = None  # float32 [rows, columns, C in, C out]
    bias: np.ndarray | None = None  # float32 [C out]
    relu: bool = False
    window: tuple[int, int] = (1, 1)
    stride: int = 1
    start: int = 0
    stop: int = 0
    channels: int = 0  # of what is resized


class Folded:
    """The operations of a network from images on the grid to fused scores.

    Attributes:
        ops: in the order in which they can be done; the last gives the scores.
        network: what they were made from.
    """

    def __init__(self, network: FCN):
        """Read a network's weights; later changes of them are not seen.

        Args:
            network: built and trained.

        Raises:
            InputError: it is the network of 2017.
        """
        if not isinstance(network, FCN):
            raise InputError("a network of fusion 2017 can only be scored: use `fcnlib evaluate`")
        self.network = network
        self._arrays = {n: v.numpy() for n, v in network.named_variables().items()}
        self.ops: list[Op] = []
        made = network.spec
        net, ends = self._pixels(made), {}
        wanted = [made.skips[stride] for stride in network.strides]
        for layer in made.table:
            net = ends[layer.name] = self._layer(net, layer, made.scope)
            if set(wanted) <= set(ends):
                break
        self._fuse({stride: ends[made.skips[stride]] for stride in network.strides})

    def run(self, images: tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
        """Compute the fused scores with TensorFlow.

        Args:
            images: float32 [N, H, W, 3] in [-1, 1], sizes on the network's grid.
            dtype: what the convolutions of the backbone compute in.

        Returns:
            float32 [N, h, w, C] at the network's stride.
        """
        return tf.cast(self._all(images, dtype)[self.ops[-1].output], tf.float32)

    def score_maps(
        self, images: tf.Tensor, dtype: tf.DType = tf.float32
    ) -> tuple[dict[int, tf.Tensor], dict[int, tf.Tensor]]:
        """Compute what `FCN.score_maps` does, from images and in a type as for `run`."""
        maps = self._all(images, dtype)
        return {s: tf.cast(maps[n], tf.float32) for s, n in self._scored.items()}, self._kernels

    def _all(self, images: tf.Tensor, dtype: tf.DType) -> dict[str, tf.Tensor]:
        maps = {INPUT: tf.cast(images, dtype)}
        for op in self.ops:
            maps[op.output] = _do(op, [maps[name] for name in op.inputs], self.network.centred)
        return maps

    def _pixels(self, made: Backbone) -> str:
        if made.mean is None:
            return INPUT
        factor, shift = np.float32(BYTES_TO_UNIT), np.float32(BYTES_TO_UNIT - np.array(made.mean))
        return self._add("scale", "inputs", [INPUT], kernel=factor, bias=shift)

    def _layer(self, net: str, layer: Layer, scope: str) -> str:
        name = f"{scope}/{layer.name}" if not isinstance(layer, Fork) else scope
        match layer:
            case Conv():
                return self._conv(net, name, [name], layer.stride)
            case Pool():
                return self._pool(net, name, layer)
            case Fork():
                parts = [self._layer(net, part, scope) for part in layer.layers]
                return self._add("concat", f"{parts[0]}+", parts)
            case Mixed():
                return self._mixed(net, name, layer)

    def _mixed(self, net: str, name: str, block: Mixed) -> str:
        scopes = [f"{name}/Branch_{i}" for i in range(len(block.branches))]
        points = [
            i
            for i, branch in enumerate(block.branches)
            if isinstance(branch[0], Conv) and branch[0].kernel == (1, 1) and branch[0].stride == 1
        ]
        firsts = [f"{scopes[i]}/{block.branches[i][0].name}" for i in points]
        starts = dict(zip(points, self._shared(net, f"{name}/shared", firsts), strict=True))
        outputs = []
        for i, (scope, branch) in enumerate(zip(scopes, block.branches, strict=True)):
            out, rest = (starts[i], branch[1:]) if i in starts else (net, branch)
            if len(rest) == 2 and isinstance(rest[0], Pool) and rest[0].average:
                pool, point = rest
                early = self._conv(out, f"{scope}/early", [f"{scope}/{point.name}"], relu=False)
                pooled = self._pool(early, f"{scope}/{pool.name}", pool)
                outputs.append(self._add("relu", f"{scope}/{point.name}", [pooled]))
                continue
            for part in rest:
                out = self._layer(out, part, scope)
            outputs.append(out)
        return self._add("concat", name, outputs)

    def _shared(self, net: str, name: str, layers: list[str]) -> list[str]:
        """Do 1 x 1 convolutions of one map at once; return the name of each one's part."""
        if len(layers) < 2:
            return [self._conv(net, layer, [layer]) for layer in layers]
        whole, start, parts = self._conv(net, name, layers), 0, []
        for layer in layers:
            stop = start + self._arrays[f"{layer}/weights"].shape[-1]
            parts.append(self._add("slice", layer, [whole], start=start, stop=stop))
            start = stop
        return parts

    def _conv(
        self, net: str, name: str, layers: list[str], stride: int = 1, relu: bool = True
    ) -> str:
        pairs = [folded(self._arrays, layer) for layer in layers]
        kernel = np.concatenate([kernel for kernel, _ in pairs], axis=3)
        bias = np.concatenate([bias for _, bias in pairs])
        return self._add("conv", name, [net], kernel=kernel, bias=bias, relu=relu, stride=stride)

    def _pool(self, net: str, name: str, pool: Pool) -> str:
        kind = "average" if pool.average else "max"
        return self._add(kind, name, [net], window=pool.kernel, stride=pool.stride)

    def _fuse(self, maps: Mapping[int, str]) -> None:
        # The kernels that a network fuses with do not depend on the image.
        _, kernels = self.network.score_maps(tf.zeros([1, 33, 33, 3]))
        self._kernels, self._scored = kernels, {}
        fused, outputs = None, self.network.outputs
        for stride, net in maps.items():
            layer, factor = (
                f"FCN/score_{stride}",
                np.float32(self.network.skip_scales.get(stride, 1)),
            )
            if f"{layer}/weights" in self._arrays:
                kernel, bias = folded(self._arrays, layer)
                net = self._add("conv", layer, [net], kernel=kernel * factor, bias=bias)
            elif factor != 1:  # features that are added as they are
                more = {"kernel": factor, "bias": np.zeros(1, np.float32)}
                net = self._add("scale", f"FCN/scaled_{stride}", [net], **more)
            self._scored[stride] = net
            if fused is None:
                fused = net
                continue
            kernel = kernels.get(stride)
            if kernel is None:
                fused = self._add("resize", f"FCN/up_{stride}", [fused], channels=outputs)
            else:
                fused = self._add("up", f"FCN/up_{stride}", [fused], kernel=kernel.numpy())
            fused = self._add("add", f"FCN/fused_{stride}", [fused, net])

    def _add(self, kind: str, name: str, inputs: list[str], **more) -> str:
        self.ops.append(Op(kind, name, tuple(inputs), **more))
        return name


def folded(arrays: Mapping[str, np.ndarray], layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel and bias that do what a layer's convolution and batch norm do.

    Args:
        arrays: weights by name; "LAYER/weights", and "LAYER/BatchNorm/..." or "LAYER/biases".
        layer: its name.

    Returns:
        (float32 [rows, columns, C in, C out], float32 [C out]).

    Source: Ioffe and Szegedy 2015, https://arxiv.org/abs/1502.03167, algorithm 2.
    """
    kernel = arrays[f"{layer}/weights"]
    if f"{layer}/BatchNorm/beta" not in arrays:
        return kernel, arrays[f"{layer}/biases"]
    norm = {n: arrays[f"{layer}/BatchNorm/{n}"] for n in ("beta", "moving_mean", "moving_variance")}
    factor = 1 / np.sqrt(norm["moving_variance"] + BATCH_NORM_EPSILON)
    return kernel * factor, norm["beta"] - norm["moving_mean"] * factor


def _do(op: Op, nets: list[tf.Tensor], centred: bool) -> tf.Tensor:
    if op.output.startswith("FCN/"):  # what is compared in the end: it is added up in float32
        nets = [tf.cast(net, tf.float32) for net in nets]
    net = nets[0]
    match op.kind:
        case "scale":
            return net * op.kernel + op.bias
        case "conv":
            kernel, bias = tf.constant(op.kernel, net.dtype), tf.constant(op.bias, net.dtype)
            net = tf.nn.bias_add(tf.nn.conv2d(net, kernel, op.stride, "SAME"), bias)
            return tf.nn.relu(net) if op.relu else net
        case "max":
            return tf.nn.max_pool2d(net, op.window, op.stride, "SAME")
        case "average":
            return tf.nn.avg_pool2d(net, op.window, op.stride, "SAME")
        case "relu":
            return tf.nn.relu(net)
        case "slice":
            return net[..., op.start : op.stop]
        case "concat":
            return tf.concat(nets, axis=3)
        case "add":
            return net + nets[1]
        case "up":
            return transposed(net, tf.constant(op.kernel), 2)
        case "resize":
            return upsample(net, 2, centred)
    raise ValueError(f"no operation {op.kind!r}")
