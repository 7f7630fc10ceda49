"""VGG16 against tf-slim's own network, its grid, and its fully connected layers as convolutions."""

import numpy as np
import pytest

from fcnlib.backbone import features
from fcnlib.blocks import BACKBONES, VGG_16
from fcnlib.geometry import fields, grid_size
from fcnlib.network import FCN
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.upsampling import diagonal_kernel, transposed, upsample
from fcntools.pretrained.shapes_classifier import Classifier

THIN = {"backbone": "vgg_16", "depth_multiplier": 0.05, "min_depth": 4}


def test_full_width_equals_slims_and_has_the_published_size():
    from tf_slim.nets import vgg

    # slim subtracts the mean outside its network; ours takes images in [-1, 1] and does it itself.
    images = tf.random.stateless_uniform([1, 224, 224, 3], [1, 2], -1, 1)
    pixels = ((images + 1) * 127.5 - tf.constant(BACKBONES["vgg_16"].mean)).numpy()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.set_random_seed(1)
        with slim.arg_scope(vgg.vgg_arg_scope()):
            logits, end_points = vgg.vgg_16(pixels, is_training=False, spatial_squeeze=False)
        session.run(tf.compat.v1.global_variables_initializer())
        variables = {v.op.name: v for v in tf.compat.v1.global_variables()}
        theirs = session.run(variables)
        logits, pool5 = session.run([logits, end_points["vgg_16/pool5"]])
    ours = Classifier(1000, backbone="vgg_16")
    ours(images)
    names = ours.named_variables()
    assert sorted(names) == sorted(theirs)
    for name, value in theirs.items():
        names[name].assign(value)
    found = ours.score_map(images)
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4 * np.abs(logits).max())
    assert pool5.shape[1:3] == (7, 7) and np.ptp(logits) > 0
    # Long et al. 2015, table 1: 134 M, the classifier's 4 M not counted.
    fcn = sum(int(np.prod(v.shape)) for n, v in names.items() if not n.startswith("vgg_16/fc8"))
    assert fcn == 134_260_544


def test_thin_end_points_have_the_sizes_of_the_geometry_and_no_batch_norm():
    module = SlimModule(lambda x: features(x, training=False, padding="SAME", **THIN))
    found = module._template(tf.zeros([1, 96, 160, 3]))
    rows, columns = (fields(VGG_16, n, "SAME", a) for a, n in ((0, 96), (1, 160)))
    for name, value in found.items():
        assert value.shape[1:3] == (rows[name].size, columns[name].size), name
    assert not any("BatchNorm" in name for name in module.named_variables())
    for stride, name in BACKBONES["vgg_16"].skips.items():
        assert rows[name].stride == stride
        assert rows[name].start == (stride - 1) / 2  # the middle of a cell, on sizes 32 k
    # Long et al. 2015, table 1: a receptive field of 404 pixels at stride 32.
    assert columns["fc7"].receptive_field == 404


def test_to_freeze_batch_norm_leaves_dropout_alone():
    """Half of fc6, doubled; and without batch norm there is nothing to freeze."""
    images = tf.random.stateless_uniform([2, 64, 64, 3], [1, 2], -1, 1)
    settings = THIN | {"dropout": 0.5, "padding": "SAME", "batch_norm": True}
    module = SlimModule(
        lambda training: features(
            images, training=training, frozen=True, dropout_seed=(1, 1), **settings
        )
    )
    plain = module._template(False)["fc6"].numpy()
    averages = {n: v.numpy() for n, v in module.named_variables().items() if "moving" in n}
    found = module._template(True)["fc6"].numpy()
    np.testing.assert_allclose(found, np.where(found == 0, 0, 2 * plain), rtol=1e-5)
    assert 0.4 < np.mean(found[plain > 0] == 0) < 0.6
    for name, value in averages.items():
        np.testing.assert_array_equal(module.named_variables()[name], value)
    network = FCN(3, 32, dropout=0.5, **THIN)
    network(images)
    network.named_variables()["FCN/score_32/weights"].assign_add(tf.ones([1, 1, 204, 3]))
    frozen, running = (
        network(images, training=True, frozen=frozen, dropout_seed=(1, 1)).numpy()
        for frozen in (True, False)
    )
    np.testing.assert_array_equal(frozen, running)
    assert np.ptp(frozen) > 0


@pytest.mark.parametrize(("size", "padded"), [(1, 32), (32, 32), (33, 64), (224, 224)])
def test_the_centred_grid(size, padded):
    assert grid_size(size, half_pixel_centers=True) == padded


@pytest.mark.parametrize("factor", [2, 4, 32])
def test_centred_upsampling_by_hand_and_by_transposed_convolution(factor):
    scores = tf.random.stateless_normal([2, 3, 4, 3], [factor, 1])
    fine = upsample(scores, factor, half_pixel_centers=True)
    assert fine.shape == (2, 3 * factor, 4 * factor, 3)
    kernel = tf.constant(diagonal_kernel(3, factor, half_pixel_centers=True))
    np.testing.assert_allclose(transposed(scores, kernel, factor), fine, atol=1e-5)
    np.testing.assert_allclose(upsample(tf.fill([1, 2, 2, 1], 0.7), factor, True), 0.7, rtol=1e-6)
    # a linear function of the place, sampled at the middles of cells, comes back between them
    middles = (np.arange(4) * factor + (factor - 1) / 2).astype(np.float32)
    line = upsample(tf.constant(middles[None, None, :, None]), factor, True)[0, 0, :, 0]
    inner = slice(factor // 2, -(factor // 2))
    np.testing.assert_allclose(line[inner], np.arange(4 * factor)[inner], rtol=1e-5)


@pytest.mark.parametrize("learned", [True, False])
def test_mirrored_images_give_mirrored_scores(learned):
    """One sample of misalignment anywhere would show; sizes on the grid, so padding is even."""
    network = FCN(5, 4, learned=learned, **THIN)
    network(tf.zeros([1, 32, 32, 3]))
    rng = np.random.default_rng(1)
    for name, variable in network.named_variables().items():
        if name.endswith("weights"):
            value = rng.normal(0, 0.1, variable.shape) if "score" in name else variable.numpy()
            variable.assign((value + value[::-1] + value[:, ::-1] + value[::-1, ::-1]) / 4)
    images = tf.random.stateless_uniform([1, 96, 128, 3], [3, 3], -1, 1)
    expected = network(images)
    assert np.ptp(expected) > 0
    for flip in (tf.image.flip_left_right, tf.image.flip_up_down):
        np.testing.assert_allclose(flip(network(flip(images))), expected, rtol=1e-3, atol=1e-3)


def test_fully_connected_layers_are_convolutions_by_a_flat_copy():
    """Keras' dense layers on 7 x 7 features against a 7 x 7 convolution of the reshaped matrix."""
    maps = tf.random.stateless_normal([2, 9, 8, 6], [1, 1])
    dense = tf.keras.layers.Dense(10)
    expected = dense(tf.reshape(maps[:, :7, :7], [2, -1]))
    kernel = tf.reshape(dense.kernel, [7, 7, 6, 10])
    found = tf.nn.conv2d(maps, kernel, 1, "VALID") + dense.bias
    assert found.shape == (2, 3, 2, 10)  # the same layer slides over a larger map
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_skip_scales_scale_the_features_before_their_scores():
    images = tf.random.stateless_uniform([1, 64, 64, 3], [4, 4], -1, 1)
    scaled, plain = (FCN(3, 8, skip_scales=s, **THIN) for s in ((0.01, 0.0001), ()))
    for network in (scaled, plain):
        network(images)
    for name, variable in plain.named_variables().items():
        if name.startswith("FCN/score") and name.endswith("weights"):
            variable.assign(tf.random.stateless_normal(variable.shape, [5, 5]))
        scaled.named_variables()[name].assign(variable)
    (small, _), (large, _) = scaled.score_maps(images), plain.score_maps(images)
    for stride, factor in ((32, 1), (16, 0.01), (8, 0.0001)):
        np.testing.assert_allclose(small[stride], factor * large[stride], rtol=1e-4, atol=1e-6)


def test_dropout_follows_fc6_only_while_training():
    network = FCN(3, 32, dropout=0.5, **THIN)
    images = tf.random.stateless_uniform([1, 64, 64, 3], [6, 6], -1, 1)
    network(images)
    network.named_variables()["FCN/score_32/weights"].assign(
        tf.random.stateless_normal(network.named_variables()["FCN/score_32/weights"].shape, [1, 1])
    )
    np.testing.assert_array_equal(network(images), network(images))
    one, two = (network(images, training=True, dropout_seed=(1, step)) for step in (1, 2))
    assert not np.array_equal(one, two)
