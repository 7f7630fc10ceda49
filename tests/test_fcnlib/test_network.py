"""The FCN: sizes, the zero start, alignment of the skips, and what fusion adds."""

import functools

import numpy as np
import pytest

from fcnlib.blocks import INCEPTION_V3
from fcnlib.geometry import fields
from fcnlib.network import FCN, SKIPS, fuse, strides_down_to
from fcnlib.runtime.compat import tf

SMALL = {"depth_multiplier": 0.1, "min_depth": 4}
ALL = [32, 16, 8, 4]


@functools.cache
def shared(stride):
    """A network for tests that leave it as it is; building one takes a second."""
    return make(stride)


def make(stride, seed=0, **settings):
    network = FCN(5, stride, **SMALL, **settings)
    network(tf.zeros([1, 33, 33, 3]))
    rng = np.random.default_rng(seed)
    for name, variable in network.named_variables().items():
        if name.startswith("FCN/score"):
            variable.assign(rng.normal(0, 1, variable.shape))
    return network


@pytest.mark.parametrize("stride", ALL)
def test_every_pixel_of_any_size_gets_scores_eagerly_and_traced(stride):
    network = shared(stride)
    spec = [tf.TensorSpec([None, None, None, 3])]
    traced = tf.function(network, input_signature=spec, autograph=False)
    for size in [(129, 129), (90, 140), (1, 7)]:
        images = tf.random.stateless_uniform([2, *size, 3], [1, 1], -1, 1)
        eager = network(images)
        assert eager.shape == (2, *size, 5)
        np.testing.assert_allclose(traced(images), eager, rtol=1e-3, atol=1e-3)


def test_an_eager_call_after_a_trace_is_eager():
    """As in a notebook: a trained network is compiled for a split, then asked about one image."""
    network = FCN(3, 32, **SMALL)
    images = tf.random.stateless_uniform([1, 33, 33, 3], [1, 1], -1, 1)
    first = network(images)
    traced = tf.function(network, autograph=False)
    np.testing.assert_allclose(traced(images), first, atol=1e-5)
    np.testing.assert_array_equal(network(images), first)


def test_a_score_is_a_weighted_sum_of_feature_maps():
    network, images = shared(4), tf.random.stateless_uniform([1, 65, 65, 3], [1, 1], -1, 1)
    values, maps = network.named_variables(), network.feature_maps(images)
    for stride, scores in network.score_maps(images)[0].items():
        weights, biases = (values[f"FCN/score_{stride}/{n}"] for n in ("weights", "biases"))
        wanted = maps[stride].numpy() @ weights[0, 0].numpy() + biases.numpy()
        np.testing.assert_allclose(scores, wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", ALL)
def test_a_fresh_network_says_nothing(stride):
    network = FCN(5, stride, **SMALL)
    assert not np.any(network(tf.random.stateless_uniform([1, 65, 65, 3], [1, 1])))


@pytest.mark.parametrize("stride", [16, 8, 4])
def test_a_new_skip_changes_nothing_at_first(stride):
    """FCN-16s with FCN-32s's variables and a zero score layer is FCN-32s, exactly interpolated."""
    coarse, fine = shared(stride * 2), FCN(5, stride, **SMALL)
    images = tf.random.stateless_uniform([1, 129, 129, 3], [2, 2], -1, 1)
    fine(images)
    source = coarse.named_variables()
    for name, variable in fine.named_variables().items():
        if name in source:
            variable.assign(source[name])
    np.testing.assert_allclose(fine(images), coarse(images), rtol=1e-4, atol=1e-4)


def test_skip_maps_have_the_strides_of_the_geometry():
    network = shared(4)
    scores, _ = network.score_maps(tf.zeros([1, 129, 161, 3]))
    rows, columns = (fields(INCEPTION_V3, n, "SAME", a) for a, n in ((0, 129), (1, 161)))
    for stride, score in scores.items():
        name = SKIPS[stride]
        assert rows[name].stride == stride
        assert score.shape == (1, rows[name].size, columns[name].size, 5)


def test_fused_maps_of_a_plane_give_the_plane():
    """Every map samples a linear function at its own points: fusion must add them in place."""
    size = 65
    scores = {}
    for stride in ALL:
        points = np.array(fields(INCEPTION_V3, size, "SAME")[SKIPS[stride]].sample_points())
        plane = 0.3 * points[:, None] - 0.1 * points[None, :] + 2
        scores[stride] = tf.constant(plane[None, ..., None], tf.float32)
    fused = fuse(scores, {})
    points = np.arange(0, size, 4)
    plane = 0.3 * points[:, None] - 0.1 * points[None, :] + 2
    np.testing.assert_allclose(fused[0, ..., 0], 4 * plane, atol=1e-4)


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("stride", ALL)
def test_mirrored_images_give_mirrored_scores(stride, learned):
    """With mirror-symmetric kernels, one sample of misalignment anywhere would show."""
    network = make(stride, learned=learned)
    for name, variable in network.named_variables().items():
        if name.endswith("weights"):
            value = variable.numpy()
            variable.assign((value + value[::-1] + value[:, ::-1] + value[::-1, ::-1]) / 4)
    images = tf.random.stateless_uniform([1, 97, 129, 3], [3, 3], -1, 1)
    expected = network(images)
    for flip in (tf.image.flip_left_right, tf.image.flip_up_down):
        np.testing.assert_allclose(flip(network(flip(images))), expected, rtol=1e-3, atol=1e-3)


def test_fusion_weights_scale_the_skips_and_one_is_the_network_bit_for_bit():
    network = shared(8)
    images = tf.random.stateless_uniform([1, 65, 65, 3], [4, 4], -1, 1)
    scores, kernels = network.score_maps(images)
    same = fuse(scores, kernels, {32: 1.0, 16: 1.0, 8: 1.0})
    np.testing.assert_array_equal(network.to_pixels(same, 65, 65), network(images))
    only = fuse(scores, kernels, {32: 0.0, 16: 0.0, 8: 2.0})
    np.testing.assert_allclose(only, 2 * scores[8], rtol=1e-6)


def test_dropout_follows_its_seed():
    network = make(32, dropout=0.5)
    images = tf.random.stateless_uniform([1, 65, 65, 3], [5, 5], -1, 1)
    draw = lambda seed: network(images, training=True, frozen=True, dropout_seed=seed).numpy()  # noqa: E731
    np.testing.assert_array_equal(draw((1, 2)), draw((1, 2)))
    assert not np.array_equal(draw((1, 2)), draw((1, 3)))


def test_frozen_training_leaves_the_statistics():
    network = make(32)
    before = {n: v.numpy() for n, v in network.named_variables().items() if "moving" in n}
    images = tf.random.stateless_uniform([2, 65, 65, 3], [6, 6], -1, 1)
    network(images, training=True, frozen=True)
    for name, value in before.items():
        np.testing.assert_array_equal(network.named_variables()[name], value)
    network(images, training=True)
    assert any(np.any(network.named_variables()[n] != v) for n, v in before.items())


def test_strides():
    assert strides_down_to(8) == (32, 16, 8)
    with pytest.raises(ValueError, match="stride 12"):
        strides_down_to(12)
