"""From coarse scores to pixels: bilinear kernels, exact transposed convolution, the 32 k + 1 grid.

With n coarse values at pixels 0, f, 2f, ... a transposed convolution with the odd bilinear kernel
of 2f - 1 taps gives (n - 1) f + 1 values: the coarse ones come back at their own pixels, the ones
between are interpolated, a constant stays a constant. There is no offset to guess.

Where coarse values belong to the middles of cells of f pixels (`half_pixel_centers`, as after VGG's
pools) the kernel has 2f taps, as in the paper, and n values give n f. The outermost half cell has
no second neighbour and repeats the last value.

Source: Long et al. 2015, section 3.3; the kernel as in shelhamer/fcn.berkeleyvision.org surgery.py.
"""

from __future__ import annotations

import numpy as np

from fcnlib.geometry import GRID, grid_size
from fcnlib.runtime.compat import tf


def bilinear_kernel(size: int) -> np.ndarray:
    """Return the kernel of bilinear interpolation, float32 [size, size]; 2f - 1 or 2f taps a side.

    It is the outer product of two triangles; its peak is 1 where the size is odd.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    ramp = 1 - np.abs(np.arange(size) - centre) / factor  # 0.5, 1, 0.5 for factor 2
    return np.outer(ramp, ramp).astype(np.float32)


def diagonal_kernel(channels: int, factor: int, half_pixel_centers: bool = False) -> np.ndarray:
    """Return a bilinear kernel that keeps classes apart, float32 [k, k, C, C], for `transposed`.

    Args:
        channels: classes C.
        factor: upsampling factor f; k is 2f - 1, or 2f.
        half_pixel_centers: for values in the middles of cells.
    """
    kernel = bilinear_kernel(2 * factor - (not half_pixel_centers))
    return kernel[:, :, None, None] * np.eye(channels, dtype=np.float32)


def upsample(scores: tf.Tensor, factor: int, half_pixel_centers: bool = False) -> tf.Tensor:
    """Interpolate score maps bilinearly so that coarse values keep their place.

    The numbers of `transposed` with the fixed kernel, at a cost linear in the classes.

    Args:
        scores: float [N, h, w, C].
        factor: pixels between coarse values.
        half_pixel_centers: coarse values belong to the middles of cells.

    Returns:
        float32 [N, (h - 1) * factor + 1, (w - 1) * factor + 1, C], or [N, h * factor, w * factor,
        C] if half_pixel_centers.
    """
    grid = {"align_corners": not half_pixel_centers, "half_pixel_centers": half_pixel_centers}
    size = _fine_size(scores, factor, half_pixel_centers)
    return tf.raw_ops.ResizeBilinear(images=scores, size=size, **grid)


def transposed(scores: tf.Tensor, kernel: tf.Tensor, factor: int) -> tf.Tensor:
    """Upsample by a transposed convolution, fixed or learned, to the size that `upsample` gives.

    Args:
        scores: float32 [N, h, w, C in].
        kernel: float32 [k, k, C out, C in]; k = 2 * factor - 1, or 2 * factor.
        factor: stride of the transposed convolution.

    Returns:
        float32 [N, h', w', C out].
    """
    half_pixel_centers = kernel.shape[0] % 2 == 0
    height, width = tf.unstack(_fine_size(scores, factor, half_pixel_centers))
    if half_pixel_centers:  # repeat the border, whose values lack neighbours: [N, h+2, w+2, C]
        scores = tf.pad(scores, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    cut = 3 * factor // 2 if half_pixel_centers else 0
    shape = [tf.shape(scores)[0], height + 2 * cut, width + 2 * cut, kernel.shape[2]]
    padding = "VALID" if half_pixel_centers else "SAME"
    fine = tf.nn.conv2d_transpose(scores, kernel, shape, strides=factor, padding=padding)
    return fine[:, cut : cut + height, cut : cut + width] if half_pixel_centers else fine


def _fine_size(scores: tf.Tensor, factor: int, half_pixel_centers: bool) -> tf.Tensor:
    size = tf.shape(scores)[1:3]
    return size * factor if half_pixel_centers else (size - 1) * factor + 1


def pad_to_grid(images: tf.Tensor, half_pixel_centers: bool = False) -> tf.Tensor:
    """Pad images [N, H, W, C] right and bottom with mid-grey (0) to the grid of the backbone.

    The sides become those of `geometry.grid_size`, float32 [N, H', W', C].
    """
    odd, sides = 0 if half_pixel_centers else 1, images.shape[1:3]
    if None not in sides and all(grid_size(side, half_pixel_centers) == side for side in sides):
        return images
    size = tf.shape(images)[1:3]
    target = tf.maximum((size - odd + GRID - 1) // GRID, 1) * GRID + odd
    bottom, right = tf.unstack(target - size)
    return tf.pad(images, [[0, 0], [0, bottom], [0, right], [0, 0]])
