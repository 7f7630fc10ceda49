"""The network of 2017: its sizes as published, its faults, and its metric by hand."""

import numpy as np
import pytest

from fcnlib import metrics
from fcnlib.runtime.compat import tf
from fcntools.analysis.diagnosis import mean_iou_2017
from fcntools.analysis.networks_2017 import Decoder2017

THIN = {"depth_multiplier": 0.1, "min_depth": 4}


def test_the_decoder_has_the_published_number_of_values():
    """25,166,592 + 1,990,944 + 6,488,086 at 22 outputs, from its layer sizes."""
    network = Decoder2017(21, 8, batch_norm=False)
    network(tf.zeros([1, 96, 96, 3]))
    sizes = {n: int(np.prod(v.shape)) for n, v in network.named_variables().items()}
    layers = [sum(v for n, v in sizes.items() if n.startswith(f"FCN/{up}/")) for up in UPS]
    assert layers == [25_166_592, 1_990_944, 6_488_086]


UPS = ("up_16", "up_8", "up_1")


@pytest.mark.parametrize("size", [(96, 96), (100, 129), (5, 200)])
def test_every_pixel_gets_scores_and_void_is_a_class(size):
    network = Decoder2017(5, **THIN, batch_norm=False, raw_inputs=True)
    scores = network(tf.random.stateless_uniform([2, *size, 3], [1, 1], -1, 1))
    assert scores.shape == (2, *size, 6) and network.num_classes == 5
    names = list(network.named_variables())
    assert not any("BatchNorm" in n for n in names)
    assert any(n.endswith("Conv2d_1a_3x3/biases") for n in names)


def test_raw_inputs_are_pixels():
    images = tf.random.stateless_uniform([1, 96, 96, 3], [2, 2], -1, 1)
    raw, scaled = (Decoder2017(3, **THIN, batch_norm=False, raw_inputs=r) for r in (True, False))
    expected = scaled((images + 1) * 127.5)
    raw(images)
    for name, variable in scaled.named_variables().items():
        raw.named_variables()[name].assign(variable)
    expected = scaled((images + 1) * 127.5)
    np.testing.assert_allclose(raw(images), expected, rtol=1e-3, atol=1e-3 * np.ptp(expected))


def test_strides_it_never_had_are_refused():
    with pytest.raises(ValueError, match="not 4"):
        Decoder2017(5, 4)


def test_the_biased_metric_by_hand():
    """Two images, two classes and void. A false alarm in an image without the class vanishes."""
    one = np.array([[6, 2, 0], [0, 0, 0], [0, 0, 2]])  # no truth of class 1: its 2 pixels vanish
    two = np.array([[1, 0, 0], [1, 3, 0], [0, 0, 0]])  # no void
    # class 0: right 7; union (8 + 6 - 6) + (1 + 2 - 1) = 10; class 1: 3 of 4 + 3 - 3 = 4;
    # void: 2 of 2
    expected = (7 / 10 + 3 / 4 + 2 / 2) / 3
    assert mean_iou_2017(np.stack([one, two]), void=True) == pytest.approx(expected)
    right = metrics.scores((one + two)[:2, :2])
    assert right.iou[1] == pytest.approx(3 / 6)  # with the false alarms
    assert mean_iou_2017(np.stack([one, two]), void=True) > right.mean_iou


def test_absent_classes_pull_the_biased_metric_down():
    matrix = np.zeros((1, 4, 4), np.int64)
    matrix[0, 0, 0] = 10
    assert mean_iou_2017(matrix, void=True) == pytest.approx(1 / 4)
    assert metrics.scores(matrix[0]).mean_iou == pytest.approx(1)
