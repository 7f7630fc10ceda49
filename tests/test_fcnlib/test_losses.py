"""The loss by hand: what is counted, what is not, and what it is divided by."""

import math

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from fcnlib.builders import build_fcn
from fcnlib.config import Config, TrainConfig
from fcnlib.errors import InputError
from fcnlib.losses import (
    cross_entropy_on_cpu,
    lovasz_softmax,
    median_frequency_weights,
    objective,
    pixel_cross_entropy,
)
from fcnlib.network import FCN
from fcnlib.optimizer import Stage
from fcnlib.runtime import distributed
from fcnlib.runtime.compat import tf
from fcnlib.upsampling import upsample
from fcntools.analysis.networks_2017 import VariantFCN

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


@pytest.mark.parametrize("classes", [1, 2, 21])
@pytest.mark.parametrize("scale", [0.0, 1.0, 300.0])  # at 300 most of the powers are 0
def test_on_a_cpu_it_is_tensorflows_own(classes, scale):
    noise = np.random.default_rng(classes)
    logits = tf.constant(scale * noise.normal(0, 1, [3, 5, 4, classes]).astype(np.float32))
    labels = tf.constant(noise.integers(0, classes, [3, 5, 4]), tf.int32)
    upstream = tf.constant(noise.normal(0, 1, [3, 5, 4]).astype(np.float32))
    found = []
    for entropy in (
        lambda x: cross_entropy_on_cpu(x, labels),
        lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(labels, x),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = entropy(logits)
            weighed = tf.reduce_sum(loss * upstream)
        found.append((loss.numpy(), tape.gradient(weighed, logits).numpy()))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_is_refused(label):
    with pytest.raises(tf.errors.InvalidArgumentError):
        cross_entropy_on_cpu(tf.zeros([2, 3]), tf.constant([0, label]))


def test_an_impossible_class_costs_the_others_nothing():
    logits = tf.constant([[0.0, 1.0, -np.inf]])
    found = cross_entropy_on_cpu(logits, tf.constant([0]))
    assert float(found[0]) == pytest.approx(np.log(1 + np.e), rel=1e-6)


def test_weights_weigh_the_mean():
    found = pixel_cross_entropy(
        tf.constant(LOGITS), tf.constant([[[0, 1]]], tf.uint8), np.array([3.0, 1.0, 9.0])
    )
    assert float(found) == pytest.approx(-(3 * np.log(0.5) + np.log(0.8)) / 4, rel=1e-5)


def test_the_extension_of_hard_answers_is_one_minus_their_mean_iou():
    """As scikit-learn computes it, over the classes that are there, void left out."""
    noise = np.random.default_rng(7)
    labels = noise.integers(0, 4, [2, 9, 8]).astype(np.uint8)  # of 5 classes the last is absent
    labels[noise.random(labels.shape) < 0.2] = 255
    answers = noise.integers(0, 5, labels.shape)
    logits = tf.constant(np.where(np.arange(5) == answers[..., None], 50.0, -50.0), tf.float32)
    seen = labels != 255
    wanted = jaccard_score(labels[seen], answers[seen], average="macro", labels=range(4))
    assert float(lovasz_softmax(logits, labels)) == pytest.approx(1 - wanted, abs=1e-6)


def test_the_extension_by_hand():
    """Three pixels, two classes; errors and weights of class 0 by equation 9 of the paper.

    Class 0 is true at the first two, with errors 0.4 and 0.1; the third errs by 0.3. Sorted: 0.4
    (true), 0.3 (false), 0.1 (true). IoU of what is left: 1/2, 1/3, 0, so the weights are 1/2, 1/6,
    1/3. Class 1, true at the third: 0.4 (false), 0.3 (true), 0.1 (false): 1/2, 1/2, 0.
    """
    chances = np.array([[[[0.6, 0.4], [0.9, 0.1], [0.3, 0.7]]]], np.float32)
    labels = tf.constant([[[0, 0, 1]]], tf.uint8)
    first = 0.4 / 2 + 0.3 / 6 + 0.1 / 3
    second = 0.4 / 2 + 0.3 / 2
    found = float(lovasz_softmax(tf.math.log(chances), labels))
    assert found == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_extension_of_nothing_is_nothing_and_void_gives_no_gradient():
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = lovasz_softmax(logits, tf.constant([[[0, 255]]], tf.uint8))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.any(gradient[0, 0, 0]) and not np.any(gradient[0, 0, 1])
    assert float(lovasz_softmax(logits, tf.constant([[[255, 255]]], tf.uint8))) == 0


def test_the_extension_is_added_at_one_pixel_in_16():
    network, stage = coarse_network(), Stage("all", 1, 1e-3, frozen=True)
    noise = np.random.default_rng(8)
    batch = {
        "image": tf.constant(noise.uniform(-1, 1, [2, 65, 65, 3]), tf.float32),
        "label": tf.constant(noise.integers(0, 3, [2, 65, 65]), tf.uint8),
    }
    plain, both = (
        float(objective(TrainConfig(lovasz_weight=weight))(network, batch, stage, 0))
        for weight in (0.0, 0.5)
    )
    logits = network(batch["image"], training=True, frozen=True)
    wanted = float(lovasz_softmax(logits[:, ::4, ::4], batch["label"][:, ::4, ::4]))
    assert wanted > 0.3 and both - plain == pytest.approx(0.5 * wanted, rel=1e-4)


def test_the_losses_of_two_processes_add_up_to_that_of_the_batch(monkeypatch):
    """The entropy by the number of all labelled pixels; the mean IoU is the mean of the parts."""
    network, stage = coarse_network(), Stage("all", 1, 1e-3, frozen=True)
    noise = np.random.default_rng(9)
    image = tf.constant(noise.uniform(-1, 1, [2, 33, 33, 3]), tf.float32)
    label = np.uint8(noise.integers(0, 3, [2, 33, 33]))
    label[0, :20] = 255
    counted = tf.constant(np.sum(label != 255), tf.float32)

    def value(part, weight):
        batch = {"image": image[part], "label": tf.constant(label[part])}
        return float(objective(TrainConfig(lovasz_weight=weight))(network, batch, stage, 0))

    parts, whole = (slice(0, 1), slice(1, 2)), value(slice(None), 0.0)
    extension = np.mean([value(part, 1.0) - value(part, 0.0) for part in parts])
    monkeypatch.setattr(distributed, "size", lambda: 2)
    monkeypatch.setattr(distributed, "all_reduce_sum", lambda _: counted)
    entropy, both = (sum(value(part, weight) for part in parts) for weight in (0.0, 1.0))
    assert entropy == pytest.approx(whole, rel=1e-5)
    assert both - entropy == pytest.approx(extension, rel=1e-5)


def test_the_extension_is_not_added_to_a_sum():
    with pytest.raises(InputError, match="lovasz_weight"):
        objective(TrainConfig(lovasz_weight=1.0, loss="sum"))


def test_void_pixels_give_no_gradient():
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = pixel_cross_entropy(logits, tf.constant([[[0, 255]]], tf.uint8))
    gradient = tape.gradient(loss, logits).numpy()
    assert np.any(gradient[0, 0, 0]) and not np.any(gradient[0, 0, 1])


def test_median_frequency_by_hand():
    found = median_frequency_weights(np.array([50, 20, 10, 0]), np.array([100, 100, 100, 0]))
    np.testing.assert_allclose(found, [0.4, 1, 2, 0])


def coarse_network(**settings):
    network = VariantFCN(3, 8, depth_multiplier=0.05, min_depth=4, dropout=0.0, **settings)
    network(tf.zeros([1, 33, 33, 3]))
    noise = np.random.default_rng(4)
    for name, variable in network.named_variables().items():
        if "FCN/score" in name:
            variable.assign(noise.normal(0, 0.5, variable.shape))
    return network


@pytest.mark.parametrize("weights", [None, np.float32([0.5, 1, 3])])
def test_coarse_sums_are_held_to_the_truth_as_coarser_networks_would_be(weights):
    """A network down to stride 16 with the same weights gives the sum down to 16.

    It is held to the truth at every eighth pixel, where the network of stride 8 has its points.
    """
    fine, noise, stage = coarse_network(), np.random.default_rng(5), Stage("all", 1, 1e-3)
    batch = {
        "image": tf.constant(noise.uniform(-1, 1, [2, 65, 65, 3]), tf.float32),
        "label": tf.constant(noise.integers(0, 3, [2, 65, 65]), tf.uint8),
    }
    stage = Stage("all", 1, 1e-3, frozen=True)
    expected = float(objective(TrainConfig(), weights)(fine, batch, stage, 0))
    for stride in (32, 16):
        coarse = FCN(3, stride, depth_multiplier=0.05, min_depth=4, dropout=0.0)
        coarse(batch["image"])
        for name, variable in coarse.named_variables().items():
            variable.assign(fine.named_variables()[name])
        logits, labels = coarse(batch["image"])[:, ::8, ::8], batch["label"][:, ::8, ::8]
        expected += 0.4 * float(pixel_cross_entropy(logits, labels, weights))
    found = float(objective(TrainConfig(aux_loss_weight=0.4), weights)(fine, batch, stage, 0))
    assert found == pytest.approx(expected, rel=1e-5)


def test_centred_coarse_sums_are_held_to_the_truth_in_the_middle_of_cells():
    """The middle of a cell of 8 lies between pixels 3 and 4, and the label is that of pixel 4."""
    network, stage = coarse_network(backbone="vgg_16"), Stage("all", 1, 1e-3, frozen=True)
    image = tf.random.stateless_uniform([1, 64, 64, 3], [1, 2], -1, 1)
    truth = np.random.default_rng(6).integers(0, 3, [1, 64, 64]).astype(np.uint8)
    batch = {"image": image, "label": tf.constant(truth)}
    fine, both = (
        float(objective(TrainConfig(aux_loss_weight=weight))(network, batch, stage, 0))
        for weight in (0.0, 1.0)
    )
    sums = network.partial_sums(image, training=True, frozen=True)
    expected = sum(
        float(pixel_cross_entropy(upsample(sums[s], s // 8, True), truth[:, 4::8, 4::8]))
        for s in (32, 16)
    )
    assert both - fine == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("backbone", "side"), [("inception_v3", 70), ("vgg_16", 64)])
def test_coarse_sums_weigh_as_much_in_a_summed_loss(backbone, side):
    """A summed loss is the mean one times the pixels, a coarse one times those its points are."""
    network = coarse_network(backbone=backbone)
    batch = {
        "image": tf.random.stateless_uniform([1, side, side, 3], [1, 2], -1, 1),
        "label": tf.fill([1, side, side], tf.constant(1, tf.uint8)),
    }
    stage = Stage("all", 1, 1e-3, frozen=True)
    points = math.ceil(side / 8) ** 2 * 64

    def coarse_part(**given):
        weighed = objective(TrainConfig(aux_loss_weight=1.0, **given))(network, batch, stage, 0)
        return float(weighed - objective(TrainConfig(**given))(network, batch, stage, 0))

    assert coarse_part() > 0.1
    assert coarse_part(loss="sum") == pytest.approx(coarse_part() * points, rel=1e-4)


@pytest.mark.parametrize("fusion", ["feature", "2017"])
def test_features_have_no_coarse_sums(fusion):
    with pytest.raises(InputError, match="aux_loss_weight"):
        build_fcn(Config().replace(fusion=fusion, aux_loss_weight=0.4), 9, 8)
