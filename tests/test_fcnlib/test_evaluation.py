"""Scoring: every image once, the sum over images, the order from best to worst."""

import numpy as np
import pytest

from fcnlib.evaluation import Evaluation, evaluate
from fcnlib.runtime.compat import tf

TRUTH = np.array([[[0, 1], [255, 1]], [[1, 1], [1, 1]], [[255, 255], [255, 255]]], np.uint8)
GUESS = np.array([[[0, 1], [0, 0]], [[1, 1], [1, 1]], [[0, 0], [0, 0]]], np.uint8)


def batches():
    for chosen in ([0, 1], [2]):
        images = tf.constant(GUESS[chosen], tf.float32)[..., None]
        yield {
            "image": images,
            "label": tf.constant(TRUTH[chosen]),
            "index": tf.constant(chosen),
        }


def predict(images):
    return tf.cast(images[..., 0], tf.uint8)


def test_matrices_by_hand():
    found = evaluate(predict, batches(), ("a", "b", "c"), 2)
    np.testing.assert_array_equal(found.matrices[0], [[1, 0], [1, 1]])
    np.testing.assert_array_equal(found.matrix, [[1, 0], [1, 5]])
    assert found.scores.pixel_accuracy == pytest.approx(6 / 7)
    assert found.scores.mean_iou == pytest.approx((1 / 2 + 5 / 6) / 2)


def test_ranking_leaves_out_images_without_labels():
    found = evaluate(predict, batches(), ("a", "b", "c"), 2)
    assert found.ranked() == [1, 0]
    assert Evaluation(found.matrices[:1], ("a",)).ranked() == [0]
