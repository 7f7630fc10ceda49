"""The backbone against tf-slim's own Inception-v3: same variables, same numbers."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fcnlib.backbone import features
from fcnlib.blocks import INCEPTION_V3
from fcnlib.preprocessing import preprocess, unpreprocess
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule, is_backbone
from fcntools.pretrained.shapes_classifier import Classifier

SMALL = {"depth_multiplier": 0.1, "min_depth": 4}


def slim_module(training, **settings):
    """tf-slim's network under a template, with the settings of its own argument scope."""
    from tf_slim.nets import inception_v3 as nets

    def build(images):
        scope = nets.inception_v3_arg_scope(updates_collections=None)
        with slim.arg_scope(scope), slim.arg_scope([slim.batch_norm], is_training=training):
            return nets.inception_v3_base(images, **settings)[1]

    return SlimModule(build)


def our_module(training, **settings):
    return SlimModule(lambda images: features(images, training=training, **settings))


def copy_variables(source, target):
    ours = target.named_variables()
    theirs = source.named_variables()
    assert sorted(ours) == sorted(theirs)
    for name, variable in theirs.items():
        ours[name].assign(variable)


def randomize(module, seed):
    rng = np.random.default_rng(seed)
    for name, variable in module.named_variables().items():
        if name.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif "BatchNorm" in name:
            variable.assign(rng.normal(0, 0.2, variable.shape))


@pytest.mark.parametrize("size", [299, 224, 203])
@pytest.mark.parametrize("training", [False, True])
def test_every_end_point_equals_slims(size, training):
    images = tf.random.stateless_uniform([2, size, size, 3], [1, size], -1, 1)
    theirs, ours = slim_module(training, **SMALL), our_module(training, **SMALL)
    theirs._template(images), ours._template(images)
    randomize(theirs, size)
    copy_variables(theirs, ours)
    expected, found = theirs._template(images), ours._template(images)
    assert list(found) == list(expected) == [layer.name for layer in INCEPTION_V3]
    for name, value in expected.items():
        scale = np.abs(value).max()
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5 * scale, err_msg=name)
    if training:  # the moving averages moved alike
        for name, variable in theirs.named_variables().items():
            np.testing.assert_allclose(
                ours.named_variables()[name], variable, rtol=1e-5, atol=1e-6, err_msg=name
            )


def test_full_width_equals_slims_and_has_the_published_size():
    images = tf.random.stateless_uniform([1, 299, 299, 3], [3, 4], -1, 1)
    theirs, ours = slim_module(False), our_module(False)
    theirs._template(images), ours._template(images)
    copy_variables(theirs, ours)
    expected, found = theirs._template(images), ours._template(images)
    for name, value in expected.items():
        np.testing.assert_allclose(
            found[name], value, rtol=1e-5, atol=1e-5 * np.abs(value).max(), err_msg=name
        )
    # tf_slim.nets.inception_v3_test counts the same, moments of batch norm included.
    assert sum(int(np.prod(v.shape)) for v in ours.named_variables().values()) == 21_802_784
    assert found["Mixed_7c"].shape == (1, 8, 8, 2048)


def test_batch_norm_is_there():
    """The 2017 network had silently lost it: every convolution must have its three variables."""
    ours = our_module(False, **SMALL)
    ours._template(tf.zeros([1, 139, 139, 3]))
    names = set(ours.named_variables())
    convolutions = {n.removesuffix("/weights") for n in names if n.endswith("/weights")}
    assert len(convolutions) == 94
    for convolution in convolutions:
        for part in ("beta", "moving_mean", "moving_variance"):
            assert f"{convolution}/BatchNorm/{part}" in names
        assert f"{convolution}/biases" not in names


def test_the_mean_of_the_dense_map_is_the_classifiers_answer():
    from tf_slim.nets import inception_v3 as nets

    def build(images):
        with slim.arg_scope(nets.inception_v3_arg_scope(updates_collections=None)):
            return nets.inception_v3(
                images, 11, is_training=False, create_aux_logits=False, **SMALL
            )[0]

    images = tf.random.stateless_uniform([2, 299, 299, 3], [5, 6], -1, 1)
    theirs, ours = SlimModule(build), Classifier(11, **SMALL)
    expected = theirs._template(images)
    ours(images)
    randomize(theirs, 7)
    copy_variables(theirs, ours)
    expected = theirs._template(images)
    assert ours.score_map(images).shape == (2, 8, 8, 11)
    np.testing.assert_allclose(ours(images), expected, rtol=1e-5, atol=1e-5)


def test_frozen_statistics_stay_and_running_ones_move():
    images = tf.random.stateless_uniform([2, 75, 75, 3], [1, 2], -1, 1)
    for training, moves in ((False, False), (True, True)):
        module = our_module(training, **SMALL)
        module._template(tf.zeros([1, 75, 75, 3])) if not training else module._template(images)
        before = {n: v.numpy() for n, v in module.named_variables().items() if "moving" in n}
        module._template(images)
        after = {n: module.named_variables()[n].numpy() for n in before}
        changed = any(not np.array_equal(before[n], after[n]) for n in before)
        assert changed == moves


def test_trainable_groups_are_a_partition():
    classifier = Classifier(3, **SMALL)
    classifier(tf.zeros([1, 75, 75, 3]))
    backbone = classifier.trainable(backbone=True, head=False)
    head = classifier.trainable(backbone=False, head=True)
    assert not set(backbone) & set(head)
    assert set(backbone) | set(head) == set(classifier.trainable(backbone=True, head=True))
    assert set(head) == {f"InceptionV3/Logits/Conv2d_1c_1x1/{n}" for n in ("weights", "biases")}
    assert len(backbone) == 188 and all(is_backbone(n) for n in backbone)


def test_another_thread_is_refused():
    """There the template would answer with fresh variables, all scores zero, and say nothing."""
    classifier = Classifier(3, **SMALL)
    images = tf.zeros([1, 75, 75, 3])
    classifier(images)
    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="thread"):
        pool.submit(classifier, images).result()


@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_pixels_come_back_from_preprocess(kind):
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    scaled = preprocess(kind(pixels))
    assert np.asarray(scaled).dtype == np.float32
    np.testing.assert_array_equal(scaled, np.float32(pixels) / np.float32(127.5) - np.float32(1))
    np.testing.assert_array_equal(unpreprocess(scaled), pixels)
    np.testing.assert_array_equal(unpreprocess(kind(np.float32([-2, 2]))), [0, 255])
