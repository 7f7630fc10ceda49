"""Calibration against cases worked by hand and a made-up oracle of known honesty."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from fcntools.analysis.calibration import calibration_error, count_confidence, reliability

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
