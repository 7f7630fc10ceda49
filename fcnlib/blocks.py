"""Backbones as tables of layers: what is built, checked and measured from one description.

`backbone.py` turns a table into a network, `geometry.py` computes strides and receptive fields
from the same table. Layer names are those of the released slim checkpoints, the odd ones included
(`Conv_1_0c_5x5` in Mixed_5c, `Conv2d_0b_3x1` in Mixed_7b, the 3 x 3 `Conv2d_1a_1x1` in Mixed_6a).

Source: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, 2015,
https://arxiv.org/abs/1512.00567; Simonyan and Zisserman, Very Deep Convolutional Networks for
Large-Scale Image Recognition, 2014, https://arxiv.org/abs/1409.1556; names and shapes from
tf_slim.nets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """A convolution with batch norm (or biases) and ReLU.

    `valid` says that the classifier gives this layer no padding (VALID); all others keep their
    size. `dropout` says that dropout follows while training.
    """

    name: str
    depth: int
    kernel: tuple[int, int]
    stride: int = 1
    valid: bool = False
    dropout: bool = False


@dataclass(frozen=True)
class Pool:
    """A max or average pooling; `valid` as in `Conv`."""

    name: str
    kernel: tuple[int, int] = (3, 3)
    stride: int = 1
    valid: bool = False
    average: bool = False


@dataclass(frozen=True)
class Parallel:
    """Layers side by side on one input, their outputs concatenated by channel."""

    layers: tuple[Conv, ...]


@dataclass(frozen=True)
class Mixed:
    """An Inception block: branches side by side, their outputs concatenated by channel."""

    name: str
    branches: tuple[tuple[Conv | Pool | Parallel, ...], ...]


Layer = Conv | Pool | Parallel | Mixed
Table = tuple[Layer, ...]


def _conv(tail: str, depth: int, **more) -> Conv:
    """Read the kernel from the name's end: "0b_1x7" is Conv2d_0b_1x7 with a 1 x 7 kernel."""
    rows, columns = (int(n) for n in tail.rsplit("_", 1)[1].split("x"))
    return Conv(**{"name": f"Conv2d_{tail}", "depth": depth, "kernel": (rows, columns), **more})


def _convs(tails: str, *depths: int) -> tuple[Conv, ...]:
    return tuple(_conv(tail, depth) for tail, depth in zip(tails.split(), depths, strict=True))


_REDUCE = {"stride": 2, "valid": True}
_MAX = (Pool("MaxPool_1a_3x3", **_REDUCE),)


def _average(depth: int) -> tuple[Pool, Conv]:
    return Pool("AvgPool_0a_3x3", average=True), _conv("0b_1x1", depth)


def _mixed_5(name: str, pooled: int, odd_names: bool = False) -> Mixed:
    five = (_conv("0a_1x1", 48), _conv("0b_5x5", 64))
    if odd_names:
        five = (_conv("0b_1x1", 48), _conv("0c_5x5", 64, name="Conv_1_0c_5x5"))
    three = _convs("0a_1x1 0b_3x3 0c_3x3", 64, 96, 96)
    return Mixed(name, ((_conv("0a_1x1", 64),), five, three, _average(pooled)))


def _mixed_6(name: str, depth: int) -> Mixed:
    seven = _convs("0a_1x1 0b_1x7 0c_7x1", depth, depth, 192)
    twice = _convs("0a_1x1 0b_7x1 0c_1x7 0d_7x1 0e_1x7", *[depth] * 4, 192)
    return Mixed(name, ((_conv("0a_1x1", 192),), seven, twice, _average(192)))


def _mixed_7(name: str, second: str) -> Mixed:
    wide = (_conv("0a_1x1", 384), Parallel((_conv("0b_1x3", 384), _conv(second, 384))))
    ends = Parallel((_conv("0c_1x3", 384), _conv("0d_3x1", 384)))
    deep = (_conv("0a_1x1", 448), _conv("0b_3x3", 384), ends)
    return Mixed(name, ((_conv("0a_1x1", 320),), wide, deep, _average(192)))


INCEPTION_V3: Table = (
    _conv("1a_3x3", 32, **_REDUCE),
    _conv("2a_3x3", 32, valid=True),
    _conv("2b_3x3", 64),
    Pool("MaxPool_3a_3x3", **_REDUCE),
    _conv("3b_1x1", 80),
    _conv("4a_3x3", 192, valid=True),
    Pool("MaxPool_5a_3x3", **_REDUCE),
    _mixed_5("Mixed_5b", 32),
    _mixed_5("Mixed_5c", 64, odd_names=True),
    _mixed_5("Mixed_5d", 64),
    Mixed(
        "Mixed_6a",
        (
            (_conv("1a_1x1", 384, kernel=(3, 3), **_REDUCE),),
            (*_convs("0a_1x1 0b_3x3", 64, 96), _conv("1a_1x1", 96, kernel=(3, 3), **_REDUCE)),
            _MAX,
        ),
    ),
    _mixed_6("Mixed_6b", 128),
    _mixed_6("Mixed_6c", 160),
    _mixed_6("Mixed_6d", 160),
    _mixed_6("Mixed_6e", 192),
    Mixed(
        "Mixed_7a",
        (
            (_conv("0a_1x1", 192), _conv("1a_3x3", 320, **_REDUCE)),
            (*_convs("0a_1x1 0b_1x7 0c_7x1", 192, 192, 192), _conv("1a_3x3", 192, **_REDUCE)),
            _MAX,
        ),
    ),
    _mixed_7("Mixed_7b", "0b_3x1"),
    _mixed_7("Mixed_7c", "0c_3x1"),
)


def _vgg_stage(number: int, depth: int, layers: int) -> tuple[Conv | Pool, ...]:
    names = (f"conv{number}/conv{number}_{i + 1}" for i in range(layers))
    convs = (Conv(name, depth, (3, 3)) for name in names)
    return *convs, Pool(f"pool{number}", (2, 2), stride=2, valid=True)


VGG_16: Table = (
    *_vgg_stage(1, 64, 2),
    *_vgg_stage(2, 128, 2),
    *_vgg_stage(3, 256, 3),
    *_vgg_stage(4, 512, 3),
    *_vgg_stage(5, 512, 3),
    # Fully connected layers in the paper: on 7 x 7 features a matrix is a 7 x 7 convolution.
    Conv("fc6", 4096, (7, 7), valid=True, dropout=True),
    Conv("fc7", 4096, (1, 1)),
)


@dataclass(frozen=True)
class Backbone:
    """A table and what a network built on it must know.

    With `half_pixel_centers` the units of stride s look at the middles of cells of s pixels, at
    (s - 1) / 2 + i s, as even windows make them; else they look at the pixels i s themselves.
    """

    scope: str  # begins the names of all variables
    table: Table
    logits: str  # the classifier's last layer
    skips: Mapping[int, str]  # {stride: its last end point, the most computed at that resolution}
    batch_norm: bool = True  # off where the published network has biases instead
    half_pixel_centers: bool = False
    mean: tuple[float, float, float] | None = None  # RGB to subtract; None scales to [-1, 1]


BACKBONES = {
    "inception_v3": Backbone(
        "InceptionV3",
        INCEPTION_V3,
        "InceptionV3/Logits/Conv2d_1c_1x1",
        {32: "Mixed_7c", 16: "Mixed_6e", 8: "Mixed_5d", 4: "Conv2d_4a_3x3"},
    ),
    "vgg_16": Backbone(
        "vgg_16",
        VGG_16,
        "vgg_16/fc8",
        {32: "fc7", 16: "pool4", 8: "pool3", 4: "pool2"},
        batch_norm=False,
        half_pixel_centers=True,
        mean=(123.68, 116.779, 103.939),  # of ImageNet, in tf_slim's vgg_preprocessing
    ),
}
