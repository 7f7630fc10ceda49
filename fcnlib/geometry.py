"""Where a backbone's units look: stride, receptive field, sample points of every end point.

All of it is computed from the table of layers, for both paddings and any image size.

Source: the recurrences of Dumoulin and Visin, A guide to convolution arithmetic for deep learning,
https://arxiv.org/abs/1603.07285, sections 2 and 3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from fcnlib.blocks import Conv, Layer, Mixed, Parallel, Pool, Table

GRID = 32  # pixels: the stride of the coarsest end point


@dataclass(frozen=True)
class Field:
    """How one axis of an end point lies on the image, in pixels.

    Unit i of `size` looks at pixels around `start + i * stride`, at `reach` pixels to either side
    of it at most. Parts beyond the image are padding.
    """

    size: int
    stride: int = 1
    start: float = 0.0
    reach: float = 0.0

    @property
    def receptive_field(self) -> int:
        """Pixels a unit can see along this axis."""
        return round(2 * self.reach + 1)

    def sample_points(self) -> list[float]:
        """Return the pixel coordinate each unit is centred on, `size` of them."""
        return [self.start + i * self.stride for i in range(self.size)]


def fields(table: Table, size: int, padding: str, axis: int = 0) -> dict[str, Field]:
    """Return {end point: Field} of a backbone along one axis, in order of depth.

    Args:
        table: the backbone's layers, such as `blocks.INCEPTION_V3`.
        size: pixels of the image along the axis.
        padding: "VALID" or "SAME", for the layers that trim.
        axis: 0 for rows, 1 for columns.

    Raises:
        ValueError: branches of a block do not meet on the same sample points, or the image is too
            small for the padding.
    """
    result = {}
    field = Field(size)
    for layer in table:
        field = result[layer.name] = _through(field, layer, padding, axis)
    return result


def _through(field: Field, layer: Layer, padding: str, axis: int) -> Field:
    match layer:
        case Conv() | Pool():
            return _window(field, layer, padding if layer.valid else "SAME", axis)
        case Parallel():
            return _join([_through(field, part, padding, axis) for part in layer.layers])
        case Mixed():
            step = functools.partial(_through, padding=padding, axis=axis)
            ends = [functools.reduce(step, branch, field) for branch in layer.branches]
            return _join(ends, layer.name)


def _window(field: Field, layer: Conv | Pool, padding: str, axis: int) -> Field:
    kernel, stride = layer.kernel[axis], layer.stride
    if padding == "SAME":
        size = math.ceil(field.size / stride)
        before = max((size - 1) * stride + kernel - field.size, 0) // 2
    else:
        size, before = (field.size - kernel) // stride + 1, 0
    if size < 1:
        raise ValueError(f"{layer.name}: an image this small leaves no unit with padding {padding}")
    centre = (kernel - 1) / 2
    return Field(
        size=size,
        stride=field.stride * stride,
        start=field.start + (centre - before) * field.stride,
        reach=field.reach + centre * field.stride,
    )


def _join(ends: list[Field], name: str = "fork") -> Field:
    if len({(e.size, e.stride, e.start) for e in ends}) > 1:
        raise ValueError(f"the branches of {name} do not meet on the same sample points: {ends}")
    return max(ends, key=lambda e: e.reach)


def grid_size(size: int, half_pixel_centers: bool = False) -> int:
    """Return the least size on the grid of a backbone that holds `size` pixels: 32 or 33 at least.

    On sizes 32 k + 1 every stride-2 stage of odd windows with SAME padding pads one pixel on either
    side, so the end points of stride s sample the image exactly at pixels 0, s, 2s, ... up to the
    last. On sizes 32 k even windows pad nothing: a unit of stride s looks at the middle of its cell
    of s pixels.
    """
    odd = 0 if half_pixel_centers else 1
    return max(math.ceil((size - odd) / GRID), 1) * GRID + odd
