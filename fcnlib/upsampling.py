"""From coarse scores to pixels: bilinear kernels, exact transposed convolution, the 32 k + 1 grid.

With n coarse values at pixels 0, f, 2f, ... a transposed convolution with the odd bilinear kernel
of 2f - 1 taps gives (n - 1) f + 1 values: the coarse ones come back at their own pixels, the ones
between are interpolated, a constant stays a constant. There is no offset to guess.

Source: Long et al. 2015, section 3.3; the kernel as in shelhamer/fcn.berkeleyvision.org surgery.py.
"""

from __future__ import annotations

import numpy as np

from fcnlib.compat import slim, tf
from fcnlib.geometry import GRID


def bilinear_kernel(size: int) -> np.ndarray:
    """Compute the kernel of bilinear interpolation.

    Args:
        size: taps a side; 2f - 1 or 2f for upsampling by f.

    Returns:
        float32 [size, size], the outer product of two triangles with peak 1 (odd size).
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    ramp = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(ramp, ramp).astype(np.float32)


def upsample(scores: tf.Tensor, factor: int) -> tf.Tensor:
    """Interpolate score maps bilinearly so that coarse values keep their place.

    The same numbers as `transposed` with the fixed kernel (a test holds them together), at a cost
    that does not grow with the square of the classes.

    Args:
        scores: float [N, h, w, C].
        factor: pixels between coarse values.

    Returns:
        float32 [N, (h - 1) * factor + 1, (w - 1) * factor + 1, C].
    """
    size = _fine(scores, factor)
    return tf.raw_ops.ResizeBilinear(images=scores, size=size, align_corners=True)


def transposed(scores: tf.Tensor, kernel: tf.Tensor, factor: int) -> tf.Tensor:
    """Upsample by a transposed convolution, fixed or learned.

    Args:
        scores: float32 [N, h, w, C].
        kernel: float32 [2 * factor - 1, 2 * factor - 1, C out, C in].
        factor: stride of the transposed convolution.

    Returns:
        float32 [N, (h - 1) * factor + 1, (w - 1) * factor + 1, C out].
    """
    fine = _fine(scores, factor)
    shape = tf.stack([tf.shape(scores)[0], fine[0], fine[1], kernel.shape[2]])
    return tf.nn.conv2d_transpose(scores, kernel, shape, strides=factor, padding="SAME")


def _fine(scores: tf.Tensor, factor: int) -> tf.Tensor:
    return (tf.shape(scores)[1:3] - 1) * factor + 1


def diagonal_kernel(channels: int, factor: int) -> np.ndarray:
    """Return a bilinear kernel that keeps classes apart, for `transposed`.

    Args:
        channels: classes C.
        factor: upsampling factor f.

    Returns:
        float32 [2f - 1, 2f - 1, C, C]: the bilinear kernel where the classes agree, else 0.
    """
    kernel = bilinear_kernel(2 * factor - 1)
    return kernel[:, :, None, None] * np.eye(channels, dtype=np.float32)


def learned_kernel(channels: int, factor: int, scope: str) -> tf.Variable:
    """Create the kernel of a learned upsampling, bilinear at the start; call it in a template.

    Args:
        channels: classes C.
        factor: upsampling factor f.
        scope: name of the layer; the variable is `scope/weights`.

    Returns:
        The variable, float32 [2f - 1, 2f - 1, C, C], for `transposed`.
    """
    start = diagonal_kernel(channels, factor)
    with tf.compat.v1.variable_scope(scope):
        return slim.model_variable("weights", start.shape, initializer=_constant(start))


def _constant(value: np.ndarray):
    return lambda shape, dtype=None, partition_info=None: tf.constant(value, dtype)


def pad_to_grid(images: tf.Tensor) -> tf.Tensor:
    """Pad images right and bottom with mid-grey to the next 32 k + 1 pixels a side.

    Args:
        images: float32 [N, H, W, C] in [-1, 1].

    Returns:
        float32 [N, H', W', C] with H' = geometry.grid_size(H), W' likewise.
    """
    height, width = images.shape[1:3]
    known = height is not None and width is not None
    if known and height % GRID == width % GRID == 1 and min(height, width) > GRID:
        return images
    size = tf.shape(images)[1:3]
    target = tf.maximum(-(-(size - 1) // GRID), 1) * GRID + 1
    (bottom, right) = tf.unstack(target - size)
    return tf.pad(images, [[0, 0], [0, bottom], [0, right], [0, 0]])
