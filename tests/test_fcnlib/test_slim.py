"""bfloat16: chosen by device, float32 where it is kept, answers within rounding."""

import numpy as np
import pytest

from fcnlib import slim
from fcnlib.network import FCN
from fcnlib.runtime.compat import tf

THIN = {"depth_multiplier": 0.1, "min_depth": 4}


@pytest.mark.parametrize(
    ("capability", "flags", "chosen"),
    [
        (None, ["avx2"], tf.float32),
        (None, ["avx512f", "avx512_bf16"], tf.bfloat16),
        (None, ["amx_bf16"], tf.bfloat16),
        ((6, 1), [], tf.float32),
        ((7, 5), ["amx_bf16"], tf.float32),
        ((8, 0), [], tf.bfloat16),
        ((12, 0), [], tf.bfloat16),
    ],
)
def test_a_device_gets_the_type_it_is_fast_with(monkeypatch, capability, flags, chosen):
    gpus, about = ["GPU:0"] * (capability is not None), {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: about)
    assert slim.compute_dtype("auto", flags) == chosen


def test_a_type_asked_for_is_given():
    assert slim.compute_dtype("bfloat16") == tf.bfloat16
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


def test_variables_and_gradients_stay_in_float32_and_answers_are_close(images):
    exact, rounded = network(tf.float32), network(tf.bfloat16)
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
    assert 0 < error < 2**-5  # 0 would mean that nothing was rounded
