"""Diagnosis: hand-worked cases, and intervals that cover as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import jaccard_score

from fcnlib import metrics
from fcnlib.metrics import confusion_matrix, scores
from fcntools.analysis import diagnosis
from fcntools.analysis.diagnosis import (
    border_distance,
    calibration_error,
    count_confidence,
    error_rates,
    reliability,
    ring_matrices,
)

# Two images of two classes; in the second, class 1 is predicted and nowhere true.
FIRST, SECOND = [[4, 1], [1, 2]], [[6, 2], [0, 0]]
HAND = np.array([FIRST, SECOND])


def some_matrices(count: int, classes: int = 4, seed: int = 0) -> np.ndarray:
    """Make images that differ: each has some of the classes, and its own share of mistakes."""
    random = np.random.default_rng(seed)
    matrices = np.zeros((count, classes, classes), int)
    for matrix in matrices:
        right = random.beta(4, 2)
        for c in range(classes):
            if c == 0 or random.random() < 0.6:
                chance = np.full(classes, (1 - right) / (classes - 1))
                chance[c] = right
                matrix[c] = random.multinomial(random.integers(20, 400), chance)
    return matrices


def test_two_images_drawn_again_by_hand():
    right, wrong = np.diag([5, 5]), np.array([[0, 5], [5, 0]])
    found = diagnosis.bootstrap(np.array([right, wrong]), draws=4000, seed=1)
    # twice the right one: 1; each once: 5 / 15; twice the wrong one: 0
    values, counts = np.unique(found.mean_iou.round(6), return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 3, 1], atol=1e-6)
    np.testing.assert_allclose(counts / 4000, [0.25, 0.5, 0.25], atol=0.03)  # 4 standard errors
    assert found.iou.shape == (4000, 2)


def test_equal_images_have_no_spread():
    found = diagnosis.bootstrap(np.array([FIRST] * 7), draws=50)
    expected = metrics.scores(np.array(FIRST))
    np.testing.assert_allclose(found.mean_iou, expected.mean_iou)
    np.testing.assert_allclose(found.iou, np.broadcast_to(expected.iou, (50, 2)))


def test_one_seed_draws_the_same_images_for_every_network():
    one, other = some_matrices(9, seed=1), some_matrices(9, seed=2)
    assert np.array_equal(diagnosis.bootstrap(one).iou, diagnosis.bootstrap(one).iou)
    together = diagnosis.bootstrap(np.concatenate([one, other], axis=2)[:, :, :4])
    assert np.array_equal(together.iou, diagnosis.bootstrap(one).iou)
    assert not np.array_equal(diagnosis.bootstrap(one, seed=3).iou, diagnosis.bootstrap(one).iou)


def test_intervals_cover():
    everything = some_matrices(4000, seed=5)
    truth = metrics.scores(everything.sum(axis=0)).mean_iou
    random = np.random.default_rng(6)
    covered = 0
    for trial in range(200):
        sample = everything[random.integers(0, len(everything), 60)]
        low, high = diagnosis.interval(diagnosis.bootstrap(sample, 400, seed=trial).mean_iou)
        covered += low <= truth <= high
    # of 200 intervals of 95 %, 190 +- 9 (3 standard deviations); percentiles of 60 images run short
    assert 176 <= covered <= 199


def test_an_interval_leaves_out_draws_without_a_score():
    draws = np.array([[0.0, np.nan], [1.0, np.nan], [np.nan, np.nan], [0.5, np.nan]])
    low, high = diagnosis.interval(draws, level=1.0)
    np.testing.assert_array_equal(low, [0, np.nan])
    np.testing.assert_array_equal(high, [1, np.nan])
    np.testing.assert_allclose(diagnosis.interval(np.arange(101.0), level=0.9), [5, 95])


def test_a_class_that_is_nowhere_stays_nan():
    matrices = np.zeros((3, 3, 3), int)
    matrices[:, :2, :2] = FIRST
    found = diagnosis.bootstrap(matrices, draws=10)
    assert np.isnan(found.iou[:, 2]).all()
    np.testing.assert_allclose(found.mean_iou, metrics.scores(np.array(FIRST)).mean_iou)


def test_objects_by_size_by_hand():
    # objects (pixels, IoU): class 0: (5, 4/6), (6 + 2, 6/8); class 1: (3, 2/4)
    edges = diagnosis.size_edges(HAND, 2)
    np.testing.assert_allclose(edges, [3, 5, 8])
    found = diagnosis.iou_by_size(HAND, edges)
    np.testing.assert_allclose(found.iou, [2 / 4, (4 / 6 + 6 / 8) / 2])
    assert found.objects.tolist() == [1, 2]
    assert found.pixels.tolist() == [3, 6.5]


def test_classes_left_out_and_empty_bins():
    found = diagnosis.iou_by_size(HAND, np.array([0, 4, 100]), leave_out=(0,))
    assert found.objects.tolist() == [1, 0]
    assert found.iou[0] == 0.5
    assert np.isnan(found.iou[1])
    assert np.isnan(found.pixels[1])


def test_every_object_is_in_one_bin():
    matrices = some_matrices(40)
    found = diagnosis.iou_by_size(matrices, diagnosis.size_edges(matrices, 5))
    assert found.objects.sum() == (matrices.sum(axis=2) > 0).sum()
    assert found.objects.max() - found.objects.min() <= 5  # sizes that tie cannot be split


def test_the_metric_of_2017_by_hand():
    # rightly: 10 / (13 + 11 - 10) = 10/14 and 2 / (3 + 5 - 2) = 2/6
    right = diagnosis.mean_iou_2017(HAND, forgets=False, divides_by_all=False)
    assert right == pytest.approx((10 / 14 + 2 / 6) / 2)
    # the two pixels of class 1 in the second image are forgotten: 2 / (3 + 3 - 2)
    forgets = diagnosis.mean_iou_2017(HAND, divides_by_all=False)
    assert forgets == pytest.approx((10 / 14 + 2 / 4) / 2)
    divides = diagnosis.mean_iou_2017(HAND, forgets=False)
    assert divides == pytest.approx((10 / 14 + 2 / 6) / 3)
    assert diagnosis.mean_iou_2017(HAND) == pytest.approx((10 / 14 + 2 / 4) / 3)


@pytest.mark.parametrize("seed", range(5))
def test_each_fault_of_2017_pushes_one_way(seed):
    matrices = some_matrices(12, seed=seed)
    matrices[:, 3] = 0  # nowhere true, predicted all the same
    right = diagnosis.mean_iou_2017(matrices, forgets=False, divides_by_all=False)
    assert right == pytest.approx(metrics.scores(matrices.sum(axis=0)).mean_iou)
    assert diagnosis.mean_iou_2017(matrices, divides_by_all=False) > right
    assert diagnosis.mean_iou_2017(matrices, forgets=False) < right


def test_the_deciding_step_by_hand():
    steps = np.array([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 0, 2]], np.uint8)
    # never changed; settled at step 1; changed and changed back at step 2; changed at step 2
    assert diagnosis.deciding_step([s[None] for s in steps]).tolist() == [[0, 1, 2, 2]]
    assert diagnosis.deciding_step([steps]).tolist() == np.zeros((3, 4)).tolist()


def test_small_test_sets_scatter_more():
    matrices = some_matrices(80)
    spread = [np.std(diagnosis.subset_means(matrices, count)) for count in (5, 20, 80)]
    assert spread[0] > 1.5 * spread[1] > 1e-6  # about twice: the root of 4
    assert spread[2] < 1e-12  # all images, in another order
    whole = metrics.scores(matrices.sum(axis=0)).mean_iou
    np.testing.assert_allclose(diagnosis.subset_means(matrices, 80), whole)


def test_the_iou_of_draws_is_that_of_sklearn():
    random = np.random.default_rng(2)
    truth, predicted = random.integers(0, 3, (2, 1, 500))
    matrix = metrics.confusion_matrix(truth, predicted, 3)
    found = diagnosis.bootstrap(matrix[None], draws=1)
    expected = jaccard_score(truth[0], predicted[0], average=None)
    np.testing.assert_allclose(found.iou[0], expected)


# Calibration

RANDOM = np.random.default_rng(4)


def two_classes(sure):
    """Return probabilities [1, N, 2] whose greatest is `sure`, always for class 1."""
    return np.stack([1 - sure, sure], axis=-1)[None]


def test_six_pixels_by_hand():
    sure = np.array([0.9, 0.9, 0.9, 0.6, 0.6, 1.0])
    truth = np.array([[1, 1, 0, 0, 1, 255]], np.uint8)
    counts = count_confidence(two_classes(sure), truth, 5)
    # bins of 0.2: 0.6 in the fourth, 0.9 in the last; the void pixel nowhere
    assert counts == pytest.approx(
        np.array([[0, 0, 0], [0, 0, 0], [0, 0, 0], [2, 1.2, 1], [3, 2.7, 2]])
    )
    assert calibration_error(counts) == pytest.approx((0.2 + 0.7) / 5)
    said, right = reliability(counts)
    assert np.isnan(said[:3]).all()
    assert said[3:] == pytest.approx([0.6, 0.9])
    assert right[3:] == pytest.approx([1 / 2, 2 / 3])


def test_it_agrees_with_sklearn():
    sure = RANDOM.uniform(0.5, 1, 5000)
    truth = (RANDOM.random(5000) < sure**2).astype(np.uint8)
    said, right = reliability(count_confidence(two_classes(sure), truth[None], 20))
    wanted_right, wanted_said = calibration_curve(truth, sure, n_bins=20)
    assert said[~np.isnan(said)] == pytest.approx(wanted_said)
    assert right[~np.isnan(right)] == pytest.approx(wanted_right)


def test_an_honest_forecaster_has_hardly_an_error_and_a_boaster_has():
    sure = RANDOM.uniform(0.5, 1, 100_000)
    truth = (RANDOM.random(100_000) < sure).astype(np.uint8)[None]
    assert calibration_error(count_confidence(two_classes(sure), truth)) < 0.01
    boast = count_confidence(two_classes(np.minimum(sure + 0.2, 1.0)), truth)
    assert calibration_error(boast) > 0.1


def test_nothing_counted_has_no_error():
    void = np.full((1, 3), 255, np.uint8)
    assert np.isnan(calibration_error(count_confidence(two_classes(np.full(3, 0.7)), void)))


# Borders

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
