"""Upsampling: hand-worked values, the adjoint, constants, coarse values kept."""

import numpy as np
import pytest

from fcnlib.runtime.compat import tf
from fcnlib.upsampling import bilinear_kernel, diagonal_kernel, pad_to_grid, transposed, upsample


def test_bilinear_kernel_by_hand():
    np.testing.assert_allclose(bilinear_kernel(3)[1], [0.5, 1, 0.5])
    np.testing.assert_allclose(bilinear_kernel(4).sum(0) / 2, [0.25, 0.75, 0.75, 0.25])
    assert bilinear_kernel(63).shape == (63, 63) and bilinear_kernel(63)[31, 31] == 1


@pytest.mark.parametrize("factor", [2, 4, 8, 32])
def test_the_two_ways_agree_keep_coarse_values_and_constants(factor):
    scores = tf.random.stateless_normal([2, 4, 5, 3], [factor, 1])
    fine = upsample(scores, factor)
    assert fine.shape == (2, 3 * factor + 1, 4 * factor + 1, 3)
    kernel = tf.constant(diagonal_kernel(3, factor))
    np.testing.assert_allclose(transposed(scores, kernel, factor), fine, atol=1e-5)
    np.testing.assert_allclose(fine[:, ::factor, ::factor], scores, atol=1e-6)
    constant = tf.fill([1, 4, 4, 1], 0.7)
    np.testing.assert_allclose(upsample(constant, factor), 0.7, rtol=1e-6)


def test_interpolation_between_coarse_values_by_hand():
    fine = upsample(tf.constant([[0.0, 4.0], [8.0, 12.0]])[None, ..., None], 4)[0, ..., 0]
    np.testing.assert_allclose(fine[0], [0, 1, 2, 3, 4])
    np.testing.assert_allclose(fine[:, 0], [0, 2, 4, 6, 8])
    np.testing.assert_allclose(fine[2, 2], 6)


def test_transposed_is_the_adjoint_of_the_strided_convolution():
    kernel = tf.random.stateless_normal([3, 3, 2, 3], [1, 1])
    coarse = tf.random.stateless_normal([1, 4, 4, 3], [2, 2])
    fine = tf.random.stateless_normal([1, 7, 7, 2], [3, 3])
    down = tf.nn.conv2d(fine, kernel, strides=2, padding="SAME")
    left = tf.reduce_sum(transposed(coarse, kernel, 2) * fine)
    np.testing.assert_allclose(left, tf.reduce_sum(coarse * down), rtol=1e-4)


@pytest.mark.parametrize(("size", "padded"), [((1, 33), (33, 33)), ((129, 130), (129, 161))])
def test_pad_to_grid_eagerly_and_traced(size, padded):
    images = tf.random.stateless_normal([2, *size, 3], [4, 4])
    traced = tf.function(pad_to_grid, input_signature=[tf.TensorSpec([None, None, None, 3])])
    for result in (pad_to_grid(images), traced(images)):
        assert result.shape == (2, *padded, 3)
        np.testing.assert_array_equal(result[:, : size[0], : size[1]], images)
        assert not np.any(result[:, size[0] :]) and not np.any(result[:, :, size[1] :])
