"""The conditional random field against mean field over every pair of pixels of tiny images."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from test_filters import exact, scene

from fcntools.inference.crf import CRF, SEED, bilateral_filter, gaussian_filter, refine

RANDOM = np.random.default_rng(5)


def guesses(height, width, count, sure=2.0):
    odds = np.exp(RANDOM.normal(0, sure, (height // 4 + 1, width // 4 + 1, count)))
    odds = odds.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    return odds / odds.sum(axis=-1, keepdims=True)


def brute(probabilities, image, crf):
    """Mean field as Krähenbühl and Koltun write it down, all pairs, float64."""
    height, width, count = probabilities.shape
    evidence = np.log(np.clip(probabilities, crf.floor, 1)).reshape(-1, count)
    pairs = []
    for weight, weights in (
        (crf.compat_gaussian, exact(height, width, crf.sxy_gaussian)),
        (crf.compat_bilateral, exact(height, width, crf.sxy_bilateral, image, crf.srgb)),
    ):
        root = np.sqrt(weights.sum(axis=1))
        pairs.append(weight * weights / root / root[:, None])
    belief = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    for _ in range(crf.iterations):
        odds = np.exp(evidence + sum(pairs) @ belief)
        belief = odds / odds.sum(axis=1, keepdims=True)
    return belief.reshape(height, width, count)


@pytest.mark.parametrize("iterations", [1, 10])
@pytest.mark.parametrize(("height", "width"), [(24, 30), (33, 17)])
def test_it_is_mean_field_over_all_pairs(height, width, iterations):
    image, given = scene(height, width), guesses(height, width, 4)
    crf = dataclasses.replace(SEED, iterations=iterations)
    found, wanted = refine(given, image, crf), brute(given, image, crf)
    assert np.mean(found.argmax(-1) == wanted.argmax(-1)) > 0.995
    assert np.abs(found - wanted).mean() < 0.01
    assert np.mean(wanted.argmax(-1) != given.argmax(-1)) > 0.05, "the test shows nothing"


def test_a_round_on_a_photograph_is_what_all_pairs_say():
    """150 pixels of 500 x 375 drawn by all 187,500, in float64: from the first round the second."""
    size, some = (375, 500), RANDOM.choice(187_500, 150, replace=False)
    patches = RANDOM.integers(0, 128, (5, 5, 3)).repeat(75, axis=0).repeat(100, axis=1)
    image = (scene(*size) // 2 + patches).astype(np.uint8)  # of many colours, for a coarse grid
    given = guesses(*size, 4, sure=0.7)
    first, second = (
        refine(given, image, dataclasses.replace(SEED, iterations=n)).reshape(-1, 4) for n in (1, 2)
    )
    place = np.indices(size).reshape(2, -1).T
    both = np.column_stack([place / SEED.sxy_bilateral, image.reshape(-1, 3) / SEED.srgb])
    drawn = np.log(given).reshape(-1, 4)[some]
    for weight, features, apply, error in (
        (
            SEED.compat_gaussian,
            place / SEED.sxy_gaussian,
            gaussian_filter(*size, SEED.sxy_gaussian),
            1e-5,
        ),
        (
            SEED.compat_bilateral,
            both,
            bilateral_filter(image, SEED.sxy_bilateral, SEED.srgb),
            0.02,
        ),
    ):
        near = np.exp(-cdist(features[some], features, "sqeuclidean") / 2)
        sums, exact_sums = apply(np.ones((187_500, 1), np.float32)), near.sum(axis=1, keepdims=True)
        found, wanted = (apply(first) / sums)[some], near @ first / exact_sums
        assert np.sqrt(np.mean((found - wanted) ** 2)) < error * wanted.mean()
        drawn += weight * near @ (first / np.sqrt(sums)) / np.sqrt(exact_sums)
    wanted = np.exp(drawn) / np.exp(drawn).sum(axis=1, keepdims=True)
    assert np.abs(second[some] - wanted).mean() < 0.01
    assert np.abs(first[some] - wanted).mean() > 0.02, "the test shows nothing"
    assert np.mean(second[some].argmax(axis=1) == wanted.argmax(axis=1)) > 0.94


def test_ties_gaussian_filter_alone_are_exact():
    crf = CRF(sxy_gaussian=3.0, compat_bilateral=0.0)
    image, given = scene(20, 25), guesses(20, 25, 3)
    np.testing.assert_allclose(refine(given, image, crf), brute(given, image, crf), atol=1e-4)


def test_without_ties_nothing_changes():
    given = guesses(9, 11, 3, sure=0.5)
    found = refine(given, scene(9, 11), CRF(compat_gaussian=0.0, compat_bilateral=0.0))
    np.testing.assert_allclose(found, given, rtol=1e-5)


def test_the_defaults_are_the_seeds():
    assert dataclasses.astuple(SEED) == (10, 10.0, 3.0, 50.0, 20.0, 10.0, 1e-5)


def test_class_0_is_a_class():
    """In the example that many start from, label 0 meant "unknown" and its pixels were lost."""
    image = np.zeros((20, 20, 3), np.uint8)
    image[:, 10:] = 220
    given = np.full((20, 20, 3), 0.05)
    given[:, :10, 0] = given[:, 10:, 2] = 0.9
    found = refine(given, image)
    assert np.array_equal(found.argmax(-1), np.where(np.arange(20) < 10, 0, 2) + np.zeros((20, 1)))


def test_a_ragged_border_moves_to_the_edge():
    image = np.zeros((30, 40, 3), np.uint8)
    image[:, 20:] = 255
    truth = (np.arange(40) >= 20) & np.ones((30, 1), bool)
    ragged = np.arange(40) >= 20 + RANDOM.integers(-3, 4, (30, 1))
    given = np.where(np.stack([~ragged, ragged], axis=-1), 0.8, 0.2)
    assert np.array_equal(refine(given, image).argmax(-1), truth)


def test_probabilities_of_0_and_1_stay_numbers():
    given = np.zeros((6, 7, 2))
    given[..., 1] = 1.0
    found = refine(given, scene(6, 7))
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=1e-5)
    assert (found[..., 1] > 0.99).all()
