"""The bands along borders, by hand."""

import numpy as np
import pytest

from fcnlib.metrics import confusion_matrix, scores
from fcntools.analysis.diagnosis import border_distance, error_rates, ring_matrices

HALVES = np.array([[0] * 4 + [1] * 4] * 6, np.uint8)


def test_the_distance_from_a_straight_border():
    assert border_distance(HALVES, 3).tolist() == [[4, 3, 2, 1, 1, 2, 3, 4]] * 6
    assert border_distance(HALVES.T.copy(), 2)[:, 0].tolist() == [3, 3, 2, 1, 1, 2, 3, 3]


def test_the_distance_from_a_point_is_the_greater_of_rows_and_columns():
    truth = np.zeros((7, 7), np.uint8)
    truth[3, 2] = 255
    found = border_distance(truth, 5)
    y, x = np.mgrid[:7, :7]
    expected = np.maximum(np.maximum(abs(y - 3), abs(x - 2)), 1)  # the point itself is beside 0
    np.testing.assert_array_equal(found, expected)


def test_without_a_border_everything_is_beyond_reach():
    assert (border_distance(np.full((3, 4), 7, np.uint8), 9) == 10).all()


def test_the_edge_of_the_image_is_no_border():
    truth = np.array([[0, 0, 0, 0, 1]], np.uint8)
    assert border_distance(truth, 3).tolist() == [[4, 3, 2, 1, 1]]


def test_rings_by_hand():
    prediction = np.where(np.arange(8) < 5, 0, 1).astype(np.uint8)[None].repeat(6, 0)
    rings = ring_matrices(HALVES, prediction, 2, reach=3)
    # Column 4, beside the border, is wrong; each column has six pixels.
    assert rings.tolist() == [
        [[6, 0], [6, 0]],
        [[6, 0], [0, 6]],
        [[6, 0], [0, 6]],
        [[6, 0], [0, 6]],
    ]
    assert error_rates(rings).tolist() == [0.5, 0, 0, 0]
    bands = rings.cumsum(axis=0)
    assert error_rates(bands).tolist() == [1 / 2, 1 / 4, 1 / 6, 1 / 8]
    # Two columns a side of the border: 12 of 18 called 0 are, 6 of 12 that are 1 are found.
    assert scores(bands[1]).mean_iou == pytest.approx((12 / 18 + 6 / 12) / 2)


def test_the_rings_add_up_to_the_whole_and_void_does_not_count():
    rng = np.random.default_rng(3)
    truth = rng.choice([0, 1, 2, 255], (40, 30)).astype(np.uint8).repeat(5, 0).repeat(5, 1)
    prediction = rng.integers(0, 3, truth.shape).astype(np.uint8)
    rings = ring_matrices(truth, prediction, 3, reach=2)
    np.testing.assert_array_equal(rings.sum(axis=0), confusion_matrix(truth, prediction, 3))
    assert (rings.sum(axis=(1, 2)) > 0).all()


def test_nothing_to_count_is_no_error_rate():
    (rate,) = error_rates(np.zeros((1, 2, 2), int))
    assert np.isnan(rate)


@pytest.mark.parametrize("reach", [1, 16])
def test_a_single_pixel_image(reach):
    assert border_distance(np.zeros((1, 1), np.uint8), reach).tolist() == [[reach + 1]]
