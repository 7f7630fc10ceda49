"""16-bit arithmetic: chosen by device, float32 where it is kept, answers within rounding."""

import numpy as np
import pytest

from fcnlib import slim
from fcnlib.config import TrainConfig
from fcnlib.network import FCN
from fcnlib.optimizer import Optimizer, Stage
from fcnlib.runtime.compat import tf

THIN = {"depth_multiplier": 0.1, "min_depth": 4}


@pytest.mark.parametrize(
    ("capability", "flags", "chosen"),
    [
        (None, ["avx2"], tf.float32),
        (None, ["avx512f", "avx512_bf16"], tf.bfloat16),
        (None, ["amx_bf16"], tf.bfloat16),
        ((6, 1), [], tf.float32),
        ((7, 5), [], tf.float16),
        ((8, 0), [], tf.bfloat16),
        ((12, 0), [], tf.bfloat16),
    ],
)
def test_a_device_gets_the_type_it_is_fast_with(capability, flags, chosen):
    assert slim._fast_dtype(capability, flags) == chosen


def test_a_type_asked_for_is_given():
    assert slim.compute_dtype("float16") == tf.float16
    assert slim.compute_dtype("float32") == tf.float32


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(1).uniform(-1, 1, [2, 65, 65, 3]), tf.float32)


def network(dtype):
    tf.random.set_seed(1)
    net = FCN(3, 8, dropout=0, dtype=dtype, **THIN)
    net(tf.zeros([1, 33, 33, 3]))
    for name, variable in net.named_variables().items():
        if name.startswith("FCN/score"):  # they start at zero, and would hide every difference
            variable.assign(tf.ones_like(variable) * 0.1)
    return net


@pytest.mark.parametrize(("dtype", "rounding"), [(tf.bfloat16, 2**-5), (tf.float16, 2**-6)])
def test_variables_and_gradients_stay_in_float32_and_answers_are_close(images, dtype, rounding):
    exact, rounded = network(tf.float32), network(dtype)
    for name, variable in exact.named_variables().items():
        rounded.named_variables()[name].assign(variable)
    with tf.GradientTape() as tape:
        answer = rounded(images, training=True)
        loss = tf.reduce_mean(answer**2)
    variables = list(rounded.trainable(backbone=True, head=True).values())
    gradients = tape.gradient(loss, variables)
    assert answer.dtype == tf.float32
    assert {t.dtype for t in [*variables, *gradients]} == {tf.float32}
    wanted = exact(images, training=True)
    error = tf.norm(answer - wanted) / tf.norm(wanted)
    assert 0 < error < rounding  # 0 would mean that nothing was rounded


def test_a_step_whose_gradients_overflow_is_left_out_and_halves_the_scale():
    variable = tf.Variable([1.0], name="conv/weights")
    config = TrainConfig(precision="float16", optimizer="sgd", weight_decay=0)
    optimizer = Optimizer(config, Stage("all", 4, 1.0), [variable])
    count, scale = optimizer.state[0], optimizer.state[-1]
    first = float(scale)
    optimizer.apply([tf.constant([np.inf])], tf.constant(1.0))
    assert variable.numpy() == [1.0] and count.numpy() == 0 and scale.numpy() == first / 2
    gradient = optimizer.scaled(tf.constant(0.25))  # that of 0.25 * variable, scaled
    optimizer.apply([tf.reshape(gradient, [1])], tf.constant(1.0))
    assert variable.numpy() == [0.75] and count.numpy() == 1 and scale.numpy() == first / 2


def test_the_scale_has_a_floor_from_which_it_goes_on():
    variable = tf.Variable([1.0], name="conv/weights")
    config = TrainConfig(precision="float16", optimizer="sgd", weight_decay=0)
    optimizer = Optimizer(config, Stage("all", 99, 1.0), [variable])
    for _ in range(60):
        assert not optimizer.apply([tf.constant([np.inf])], tf.constant(1.0))
    assert optimizer.scaled(tf.constant(1.0)).numpy() == 2.0**-14
    assert optimizer.apply([tf.constant([0.25 * 2.0**-14])], tf.constant(1.0))
    assert variable.numpy() == [0.75]


def test_float32_and_bfloat16_have_no_scale():
    for name in ("float32", "bfloat16"):
        optimizer = Optimizer(
            TrainConfig(precision=name), Stage("all", 4, 1.0), [tf.Variable([1.0])]
        )
        assert optimizer.scaled(3.0) == 3.0 and len(optimizer.state) == 3
