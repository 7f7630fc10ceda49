"""The filters and the mean field against every pair of pixels of tiny images, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fcntools.inference import crf
from fcntools.inference.crf import CRF, bilateral_filter, gaussian_filter, refine

RANDOM = np.random.default_rng(3)


def exact(height, width, sigma, image=None, colour_sigma=1.0):
    """Return the weights of all pairs, float64 [N, N]."""
    rows, columns = np.indices((height, width)).reshape(2, -1) / sigma
    features = [rows, columns]
    if image is not None:
        features += list(image.reshape(-1, 3).T / colour_sigma)
    apart = sum((f[:, None] - f) ** 2 for f in features)
    return np.exp(-apart / 2)


def scene(height, width):
    """Return an image of soft shades, an edge and noise, uint8 [H, W, 3]."""
    rows, columns = np.indices((height, width))
    image = np.stack([60 + 2 * rows, 200 - columns, 90 + 0 * rows], axis=-1)
    image = image + (70 * (columns > width // 2))[..., None] + RANDOM.normal(0, 6, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("height", "width", "sigma"), [(9, 14, 10.0), (24, 31, 3.0), (1, 7, 2.0)])
def test_gaussian_filter_is_the_sum_over_all_pairs(height, width, sigma):
    values = RANDOM.random((height * width, 4)).astype(np.float32)
    wanted = exact(height, width, sigma) @ values
    np.testing.assert_allclose(gaussian_filter(height, width, sigma)(values), wanted, rtol=2e-5)


@pytest.mark.parametrize("reach", [50.0, 12.0])
def test_bilateral_filter_is_nearly_the_sum_over_all_pairs(reach):
    image = scene(40, 50)
    values = RANDOM.random((2000, 3)).astype(np.float32)
    weights = exact(40, 50, reach, image, 20.0)
    apply = bilateral_filter(image, reach, 20.0)
    found = apply(values) / apply(np.ones((2000, 1), np.float32))
    wanted = weights @ values / weights.sum(axis=1, keepdims=True)
    spread = np.std(wanted)  # of means around a half: what an edge makes of them
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.02 * wanted.mean()
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.97
    assert np.sqrt(np.mean((found - wanted) ** 2)) < 0.25 * spread


def test_an_edge_stops_it():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 200
    values = np.repeat([[1.0]], 600, axis=0).astype(np.float32).reshape(20, 30)
    values[:, 15:] = 0
    found = bilateral_filter(image, 50.0, 20.0)(values.reshape(-1, 1)).reshape(20, 30)
    assert found[:, 15:].max() < 1e-3 * found[:, :15].min()


def test_an_image_of_one_colour_is_filtered_by_position_alone():
    image = np.full((12, 15, 3), 77, np.uint8)
    values = RANDOM.random((180, 2)).astype(np.float32)
    wanted = exact(12, 15, 6.0) @ values
    apply = bilateral_filter(image, 6.0, 20.0)
    wanted /= exact(12, 15, 6.0).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(apply(values) / apply(np.ones((180, 1), np.float32)), wanted, 0.03)


def test_the_weights_are_symmetric():
    image = scene(8, 9)
    weights = bilateral_filter(image, 10.0, 20.0)(np.eye(72, dtype=np.float32))
    np.testing.assert_allclose(weights, weights.T, atol=1e-5)


def test_the_grid_of_a_large_colourful_image_stays_fine_enough():
    """Beyond a spacing of 1.7 sigmas the kernel would have no variance left, and give NaN."""
    reach = np.array([25.6, 25.6, 22.0, 18.0, 21.0], np.float32)  # 1280 x 1280, all colours
    step, shape = crf._grid(np.stack([np.zeros(5, np.float32), reach]))
    assert step <= 1.2 and np.isfinite(crf._kernel(shape[0], step)).all()


def guesses(height, width, count, sure=2.0):
    odds = np.exp(RANDOM.normal(0, sure, (height // 4 + 1, width // 4 + 1, count)))
    odds = odds.repeat(4, axis=0).repeat(4, axis=1)[:height, :width]
    return odds / odds.sum(axis=-1, keepdims=True)


def brute(probabilities, image, settings):
    """Mean field as Krähenbühl and Koltun write it down, all pairs, float64."""
    height, width, count = probabilities.shape
    evidence = np.log(np.clip(probabilities, settings.floor, 1)).reshape(-1, count)
    pairs = []
    for weight, weights in (
        (settings.compat_gaussian, exact(height, width, settings.sxy_gaussian)),
        (
            settings.compat_bilateral,
            exact(height, width, settings.sxy_bilateral, image, settings.srgb),
        ),
    ):
        root = np.sqrt(weights.sum(axis=1))
        pairs.append(weight * weights / root / root[:, None])
    belief = np.exp(evidence) / np.exp(evidence).sum(axis=1, keepdims=True)
    for _ in range(settings.iterations):
        odds = np.exp(evidence + sum(pairs) @ belief)
        belief = odds / odds.sum(axis=1, keepdims=True)
    return belief.reshape(height, width, count)


@pytest.mark.parametrize("iterations", [1, 10])
@pytest.mark.parametrize(("height", "width"), [(24, 30), (33, 17)])
def test_it_is_mean_field_over_all_pairs(height, width, iterations):
    image, given = scene(height, width), guesses(height, width, 4)
    settings = CRF(iterations=iterations)
    found, wanted = refine(given, image, settings), brute(given, image, settings)
    assert np.mean(found.argmax(-1) == wanted.argmax(-1)) > 0.995
    assert np.abs(found - wanted).mean() < 0.01
    assert np.mean(wanted.argmax(-1) != given.argmax(-1)) > 0.05, "the test shows nothing"


def test_a_round_on_a_photograph_is_what_all_pairs_say():
    """150 pixels of 500 x 375 drawn by all 187,500, in float64: from the first round the second."""
    size, some = (375, 500), RANDOM.choice(187_500, 150, replace=False)
    patches = RANDOM.integers(0, 128, (5, 5, 3)).repeat(75, axis=0).repeat(100, axis=1)
    image = (scene(*size) // 2 + patches).astype(np.uint8)  # of many colours, for a coarse grid
    given = guesses(*size, 4, sure=0.7)
    first, second = (refine(given, image, CRF(iterations=n)).reshape(-1, 4) for n in (1, 2))
    place = np.indices(size).reshape(2, -1).T
    both = np.column_stack([place / CRF().sxy_bilateral, image.reshape(-1, 3) / CRF().srgb])
    drawn = np.log(given).reshape(-1, 4)[some]
    position = gaussian_filter(*size, CRF().sxy_gaussian)
    colour = bilateral_filter(image, CRF().sxy_bilateral, CRF().srgb)
    for weight, features, apply, error in (
        (CRF().compat_gaussian, place / CRF().sxy_gaussian, position, 1e-5),
        (CRF().compat_bilateral, both, colour, 0.02),
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


def test_ties_of_position_alone_are_exact():
    settings = CRF(sxy_gaussian=3.0, compat_bilateral=0.0)
    image, given = scene(20, 25), guesses(20, 25, 3)
    np.testing.assert_allclose(
        refine(given, image, settings), brute(given, image, settings), atol=1e-4
    )


def test_without_ties_nothing_changes():
    given = guesses(9, 11, 3, sure=0.5)
    found = refine(given, scene(9, 11), CRF(compat_gaussian=0.0, compat_bilateral=0.0))
    np.testing.assert_allclose(found, given, rtol=1e-5)


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
