"""Filters against brute force: every pair of pixels of a tiny image, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from fcntools.inference import crf as smoothing
from fcntools.inference.crf import bilateral_filter, gaussian_filter

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


def test_an_image_of_one_colour_is_filtered_gaussian_filter_alone():
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
    step, shape = smoothing._grid(np.stack([np.zeros(5, np.float32), reach]))
    assert step <= 1.2 and np.isfinite(smoothing._kernel(shape[0], step)).all()
