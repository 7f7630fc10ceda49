"""The loss by hand: what is counted, what is not, and what it is divided by."""

import numpy as np
import pytest

from fcnlib.compat import tf
from fcnlib.losses import median_frequency_weights, pixel_cross_entropy

LOGITS = np.log(np.array([[[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]]], np.float32))  # [1, 1, 2, 3]


@pytest.mark.parametrize("traced", [False, True])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[[0, 1]]], -(np.log(0.5) + np.log(0.8)) / 2),
        ([[[0, 255]]], -np.log(0.5)),
        ([[[255, 2]]], -np.log(0.1)),
        ([[[255, 255]]], 0.0),
    ],
)
def test_cross_entropy_by_hand(labels, expected, traced):
    function = tf.function(pixel_cross_entropy) if traced else pixel_cross_entropy
    found = function(tf.constant(LOGITS), tf.constant(labels, tf.uint8))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_weights_weigh_the_mean():
    found = pixel_cross_entropy(
        tf.constant(LOGITS), tf.constant([[[0, 1]]], tf.uint8), np.array([3.0, 1.0, 9.0])
    )
    assert float(found) == pytest.approx(-(3 * np.log(0.5) + np.log(0.8)) / 4, rel=1e-5)


def test_void_pixels_give_no_gradient():
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = pixel_cross_entropy(logits, tf.constant([[[0, 255]]], tf.uint8))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.any(gradient[0, 0, 0]) and not np.any(gradient[0, 0, 1])


def test_median_frequency_by_hand():
    found = median_frequency_weights(np.array([50, 20, 10, 0]), np.array([100, 100, 100, 0]))
    np.testing.assert_allclose(found, [0.4, 1, 2, 0])
