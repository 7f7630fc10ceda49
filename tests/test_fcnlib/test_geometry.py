"""Computed geometry against numbers of the field and against the real network, measured."""

import numpy as np
import pytest

from fcnlib.backbone import features
from fcnlib.blocks import INCEPTION_V3, Conv, Mixed
from fcnlib.geometry import fields, grid_size
from fcnlib.runtime.compat import tf
from fcnlib.slim import SlimModule

LAST = {4: "Conv2d_4a_3x3", 8: "Mixed_5d", 16: "Mixed_6e", 32: "Mixed_7c"}


@pytest.mark.parametrize("size", [129, 225, 257, 353])
def test_same_on_the_grid_samples_at_multiples_of_the_stride(size):
    found = fields(INCEPTION_V3, size, "SAME")
    for stride, name in LAST.items():
        points = found[name].sample_points()
        assert points == list(range(0, size, stride)), name


def test_valid_samples_where_the_paper_arithmetic_says():
    found = fields(INCEPTION_V3, 299, "VALID")
    expected = {"MaxPool_3a_3x3": (5, 4), "Mixed_5d": (13, 8), "Mixed_6e": (21, 16)}
    expected["Mixed_7c"] = (37, 32)
    for name, (start, stride) in expected.items():
        assert (found[name].start, found[name].stride) == (start, stride), name
    sizes = [f.size for f in found.values()]
    assert sizes == [149, 147, 147, 73, 73, 71, 35, 35, 35, 35, 17, 17, 17, 17, 17, 8, 8, 8]


def test_even_sizes_with_same_padding_are_off_by_half_a_stride():
    found = fields(INCEPTION_V3, 224, "SAME")["Mixed_7c"]
    assert found.sample_points()[:2] == [31, 63]


@pytest.fixture(scope="module")
def networks():
    """A thin backbone for each padding, built once."""
    built = {}
    for padding in ("SAME", "VALID"):
        thin = {"padding": padding, "depth_multiplier": 0.01, "min_depth": 2}
        built[padding] = SlimModule(lambda x, thin=thin: features(x, training=False, **thin))
        built[padding]._template(tf.zeros([1, 107, 107, 3]))
    return built


def open_every_path(module, seed):
    """Positive weights: no ReLU closes, and only a max pool chooses."""
    rng = np.random.default_rng(seed)
    for name, variable in module.named_variables().items():
        if name.endswith("weights"):
            variable.assign(rng.uniform(0.5, 1, variable.shape) / np.prod(variable.shape[:3]))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("name", list(LAST.values()))
def test_the_real_network_sees_just_the_computed_field(networks, padding, name):
    """The gradient of one unit reaches just the pixels of its field, centred on its point."""
    height, width = {"Mixed_7c": (97, 2017), "Mixed_6e": (97, 1505)}.get(name, (97, 353))
    field = fields(INCEPTION_V3, width, padding, axis=1)[name]
    unit = field.size // 2
    touched = np.zeros(width, bool)
    for seed in range(3):  # max pools pass on one pixel each: gather several draws
        module = networks[padding]
        open_every_path(module, seed)
        images = tf.random.stateless_uniform([1, height, width, 3], [seed, 8], 0, 1)
        with tf.GradientTape() as tape:
            tape.watch(images)
            end_points = module._template(images)
            value = tf.reduce_sum(end_points[name][:, :, unit])
        touched |= (np.abs(tape.gradient(value, images)) > 0).any(axis=(0, 1, 3))
    seen = np.flatnonzero(touched)
    centre = field.start + unit * field.stride
    assert (seen[0] + seen[-1]) / 2 == pytest.approx(centre, abs=1)
    assert seen[-1] - seen[0] + 1 == pytest.approx(field.receptive_field, abs=2)
    assert centre - field.reach <= seen[0] and seen[-1] <= centre + field.reach


def test_branches_that_do_not_meet_are_refused():
    kernels = (3, 3), (1, 1)
    skewed = Mixed("Skewed", tuple((Conv("a", 1, kernel, 2, True),) for kernel in kernels))
    with pytest.raises(ValueError, match="Skewed"):
        fields((skewed,), 33, "VALID")


def test_too_small_an_image_is_refused_by_layer():
    with pytest.raises(ValueError, match="Conv2d_1a_3x3"):
        fields(INCEPTION_V3, 2, "VALID")


@pytest.mark.parametrize(("size", "padded"), [(1, 33), (33, 33), (34, 65), (129, 129), (360, 385)])
def test_grid_size(size, padded):
    assert grid_size(size) == padded
