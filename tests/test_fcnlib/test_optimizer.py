"""Our two optimizers against Keras' own, and the rates of a schedule."""

import dataclasses

import numpy as np
import pytest

from fcnlib.config import TrainConfig
from fcnlib.optimizer import Optimizer, Stage, learning_rate
from fcnlib.runtime.compat import tf


def variables():
    names = ("conv/weights", "conv/BatchNorm/beta")
    return [tf.Variable(tf.ones([2, 3]) * (i + 1), name=n) for i, n in enumerate(names)]


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_ten_steps_equal_keras(kind):
    config = TrainConfig(optimizer=kind, weight_decay=0.1)
    ours, theirs = variables(), variables()
    optimizer = Optimizer(config, Stage("all", 10, 1e-2), ours)
    keras = {
        "adam": tf.keras.optimizers.Adam(1e-2, weight_decay=0.1),
        "sgd": tf.keras.optimizers.SGD(1e-2, momentum=0.9, weight_decay=0.1),
    }[kind]
    keras.exclude_from_weight_decay(var_list=theirs[1:])
    rng = np.random.default_rng(1)
    for _ in range(10):
        gradients = [tf.constant(rng.normal(0, 1, [2, 3]), tf.float32) for _ in ours]
        optimizer.apply(gradients, tf.constant(1e-2))
        keras.apply_gradients(zip(gradients, theirs, strict=True))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)
    assert not np.allclose(ours[0], 1) and len(optimizer.state) == (5 if kind == "adam" else 3)


def test_its_state_goes_on_where_it_stopped():
    config, stage = TrainConfig(optimizer="adam"), Stage("all", 4, 1e-2)
    whole, first = variables(), variables()
    gradients = [tf.ones([2, 3]), -tf.ones([2, 3]) * 0.3]
    one = Optimizer(config, stage, whole)
    for _ in range(4):
        one.apply(gradients, tf.constant(1e-2))
    before = Optimizer(config, stage, first)
    for _ in range(2):
        before.apply(gradients, tf.constant(1e-2))
    after = Optimizer(config, stage, first)
    for saved, fresh in zip(before.state, after.state, strict=True):
        fresh.assign(saved)
    for _ in range(2):
        after.apply(gradients, tf.constant(1e-2))
    for a, b in zip(whole, first, strict=True):
        np.testing.assert_array_equal(a, b)


def test_sgd_on_a_sum_with_its_rate_is_sgd_on_the_mean():
    """The conversion between the reference's summed loss and ours, weight decay included."""
    config = TrainConfig(optimizer="sgd", weight_decay=0.1, warmup_steps=0)
    results = []
    for pixels in (1, 500):
        stage, trained = Stage("all", 5, 1e-2, summed_over=pixels), variables()
        optimizer = Optimizer(config, stage, trained)
        for step in range(5):
            gradients = [pixels * (v - 3.0) for v in trained]
            optimizer.apply(gradients, tf.constant(learning_rate(stage, step, config)))
        results.append([v.numpy() for v in trained])
    for mean, summed in zip(*results, strict=True):
        np.testing.assert_allclose(summed, mean, rtol=1e-5)


def test_adam_keeps_its_rate_whatever_the_loss_adds_up():
    config = TrainConfig(optimizer="adam")
    plain = Stage("all", 10, 1e-2)
    assert learning_rate(dataclasses.replace(plain, summed_over=500), 3, config) == learning_rate(
        plain, 3, config
    )


def test_the_average_is_that_of_the_weights_as_they_were():
    """By the definition: a' = a + (1 - d)(w - a), d the lesser of the decay and (1+t)/(10+t)."""
    config, (first, second) = TrainConfig(ema_decay=0.3), variables()
    optimizer = Optimizer(config, Stage("all", 9, 1e-1), [first], averaged=[first, second])
    by_hand = [first.numpy(), second.numpy()]
    for step in range(1, 7):
        optimizer.apply([tf.ones([2, 3])], tf.constant(1e-1))
        second.assign_add(tf.ones([2, 3]))  # as batch norm does with what it remembers
        decay = min(0.3, (1 + step) / (10 + step))
        by_hand[0] = by_hand[0] + (1 - decay) * (first.numpy() - by_hand[0])
        # What follows the step is seen by the next one.
        by_hand[1] = by_hand[1] + (1 - decay) * (second.numpy() - 1 - by_hand[1])
    raw = first.numpy()
    optimizer.swap_ema()
    np.testing.assert_allclose(first, by_hand[0], rtol=1e-5)
    np.testing.assert_allclose(second, by_hand[1], rtol=1e-5)
    optimizer.swap_ema()
    np.testing.assert_array_equal(first, raw)
    assert not np.allclose(raw, by_hand[0]) and len(optimizer.state) == 1 + 2 + 1
