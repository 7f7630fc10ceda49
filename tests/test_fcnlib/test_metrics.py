"""The confusion matrix and its four metrics: hand-worked, against sklearn, and what is refused."""

import json

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from fcnlib.metrics import confusion_matrix, scores

#      predicted  0  1  2
HAND = np.array([[3, 1, 0], [2, 2, 0], [0, 1, 1]])


def random_pair(num_classes=9, shape=(3, 40, 50), void_share=0.1, seed=0, dtype=np.uint8):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, num_classes, shape)
    prediction = np.where(rng.random(shape) < 0.5, truth, rng.integers(0, num_classes, shape))
    truth[rng.random(shape) < void_share] = 255
    return truth.astype(dtype), prediction.astype(dtype)


def test_hand_worked_counts():
    truth = np.array([[0, 0, 1], [2, 255, 1], [2, 2, 0]], np.uint8)
    prediction = np.array([[0, 1, 1], [2, 0, 0], [1, 2, 0]], np.uint8)
    expected = [[2, 1, 0], [1, 1, 0], [0, 1, 2]]
    matrix = confusion_matrix(truth, prediction, 3)
    assert matrix.dtype == np.int64
    np.testing.assert_array_equal(matrix, expected)


def test_hand_worked_scores():
    result = scores(HAND)
    assert result.pixel_accuracy == pytest.approx(6 / 10)
    assert result.mean_accuracy == pytest.approx((3 / 4 + 2 / 4 + 1 / 2) / 3)
    np.testing.assert_allclose(result.iou, [3 / 6, 2 / 6, 1 / 2])
    assert result.mean_iou == pytest.approx((3 / 6 + 2 / 6 + 1 / 2) / 3)
    assert result.frequency_weighted_iou == pytest.approx((4 * 3 / 6 + 4 * 2 / 6 + 2 / 2) / 10)
    assert (result.num_absent, result.num_pixels) == (0, 10)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint16])
@pytest.mark.parametrize("num_classes", [2, 9, 21, 254])
def test_counts_equal_those_of_sklearn(dtype, num_classes):
    truth, prediction = random_pair(num_classes, dtype=dtype)
    counted = truth != 255
    oracle = sklearn_metrics.confusion_matrix(
        truth[counted], prediction[counted], labels=np.arange(num_classes)
    )
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, num_classes), oracle)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
@pytest.mark.parametrize("side", [1, 5, 9, 40])
def test_counts_of_regions_equal_those_of_sklearn(dtype, side):
    """Regions of every size, from noise to whole rows, also where truth and answer differ."""
    truth, prediction = (
        np.repeat(part, side, axis=2) for part in random_pair(9, (2, 30, 40), dtype=dtype)
    )
    prediction = np.roll(prediction, 2, axis=2)
    counted = truth != 255
    oracle = sklearn_metrics.confusion_matrix(
        truth[counted], prediction[counted], labels=np.arange(9)
    )
    matrix = confusion_matrix(truth, prediction, 9)
    np.testing.assert_array_equal(matrix, oracle)
    assert matrix.dtype == np.int64
    bad = prediction.copy()
    bad[1, 7, 3:5], truth[1, 7, 3:5] = 11, 0
    with pytest.raises(ValueError, match="prediction holds 11"):
        confusion_matrix(truth, bad, 9)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_those_of_sklearn(seed):
    truth, prediction = random_pair(seed=seed)
    result = scores(confusion_matrix(truth, prediction, 9))
    pair = truth[truth != 255], prediction[truth != 255]
    iou = sklearn_metrics.jaccard_score(*pair, average=None)
    np.testing.assert_allclose(result.iou, iou)
    weighted = sklearn_metrics.jaccard_score(*pair, average="weighted")
    assert result.frequency_weighted_iou == pytest.approx(weighted)
    assert result.mean_iou == pytest.approx(iou.mean())
    assert result.pixel_accuracy == pytest.approx(sklearn_metrics.accuracy_score(*pair))
    balanced = sklearn_metrics.balanced_accuracy_score(*pair)
    assert result.mean_accuracy == pytest.approx(balanced)


def test_matrices_of_parts_add_up():
    truth, prediction = random_pair()
    parts = [confusion_matrix(t, p, 9) for t, p in zip(truth, prediction, strict=True)]
    np.testing.assert_array_equal(sum(parts), confusion_matrix(truth, prediction, 9))


def test_a_perfect_prediction_scores_one():
    truth, _ = random_pair()
    result = scores(confusion_matrix(truth, np.where(truth == 255, 0, truth).astype(np.uint8), 9))
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        assert getattr(result, name) == 1.0, name


def test_a_class_nowhere_is_nan_left_out_and_counted():
    padded = np.pad(HAND, (0, 2))
    result = scores(padded)
    assert result.num_absent == 2
    assert np.isnan(result.iou[3:]).all() and np.isnan(result.accuracy[3:]).all()
    for name in ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou"):
        assert getattr(result, name) == pytest.approx(getattr(scores(HAND), name)), name


def test_a_class_only_predicted_costs_iou_but_not_accuracy():
    result = scores(np.array([[3, 1], [0, 0]]))
    np.testing.assert_array_equal(result.iou, [0.75, 0.0])
    assert result.mean_iou == 0.375
    assert result.mean_accuracy == 0.75 and np.isnan(result.accuracy[1])
    assert result.num_absent == 0


def test_nothing_but_void_is_nan_without_a_warning():
    void = np.full((4, 4), 255, np.uint8)
    result = scores(confusion_matrix(void, void, 3))
    assert np.isnan(
        [
            result.pixel_accuracy,
            result.mean_accuracy,
            result.mean_iou,
            result.frequency_weighted_iou,
            *result.iou,
            *result.accuracy,
        ]
    ).all()
    assert (result.num_absent, result.num_pixels) == (3, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_a_single_class_counts_too(dtype):
    truth = np.array([0, 255, 0], dtype)
    np.testing.assert_array_equal(confusion_matrix(truth, np.zeros(3, dtype), 1), [[2]])


def test_an_empty_array_counts_nothing():
    empty = np.zeros((0, 5), np.uint8)
    assert confusion_matrix(empty, empty, 3).sum() == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_a_value_that_is_no_class_is_refused_by_name(dtype):
    good, bad = np.array([0, 1], dtype), np.array([1, 7], dtype)
    with pytest.raises(ValueError, match=r"truth holds 7\b"):
        confusion_matrix(bad, good, 3)
    with pytest.raises(ValueError, match=r"prediction holds 7\b"):
        confusion_matrix(good, bad, 3)
    with pytest.raises(ValueError, match="prediction holds 3"):  # one that is none
        confusion_matrix(good, good + 2, 3)
    with pytest.raises(ValueError, match="prediction holds 255"):  # void is no prediction
        confusion_matrix(good.astype(np.int16), np.array([0, 255]), 3)


def test_negative_values_are_refused():
    with pytest.raises(ValueError, match="truth holds -1"):
        confusion_matrix(np.array([-1, 0]), np.array([0, 0]), 3)
    with pytest.raises(ValueError, match="prediction holds -2"):
        confusion_matrix(np.array([0, 0]), np.array([0, -2]), 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_where_truth_is_void_the_prediction_may_be_anything(dtype):
    truth, prediction = np.array([255, 1], dtype), np.array([200, 1], dtype)
    np.testing.assert_array_equal(confusion_matrix(truth, prediction, 2), [[0, 0], [0, 1]])


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="shape"):
        confusion_matrix(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), 3)
    with pytest.raises(TypeError, match="prediction holds float64"):
        confusion_matrix(np.zeros(3, np.uint8), np.zeros(3), 3)
    for wrong in (np.zeros((2, 3), int), np.array([[-1]]), np.zeros(4, int)):
        with pytest.raises(ValueError, match="square"):
            scores(wrong)


def test_a_huge_count_does_not_overflow():
    result = scores(np.array([[10**15, 0], [10**15, 0]], np.int64))
    assert result.pixel_accuracy == 0.5 and result.num_pixels == 2 * 10**15


def test_the_dictionary_is_strict_json():
    result = scores(np.pad(HAND, (0, 1))).to_dict()
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert result["iou"][3] is None and result["num_absent"] == 1
    assert list(result) == [
        "pixel_accuracy",
        "mean_accuracy",
        "mean_iou",
        "frequency_weighted_iou",
        "iou",
        "accuracy",
        "num_absent",
        "num_pixels",
    ]
