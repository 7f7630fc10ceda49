"""Tiles, flips and scales against the network run on the whole image."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from model_maker import make_network

from fcnlib.errors import InputError
from fcntools.analysis import networks_2017  # noqa: F401  (builds the other fusion)
from fcntools.inference import crf
from fcntools.inference import segmenter as inference
from fcntools.inference.segmenter import Box, Segmenter, reach, tiles

RANDOM = np.random.default_rng(11)


def noise(height, width):
    coarse = RANDOM.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)[:height, :width]


def whole(network, image):
    """Return what the network says about all of an image in one go, float32 [H, W, C]."""
    logits = network(tf.constant(image[None], tf.float32) / 127.5 - 1)[0]
    return tf.nn.softmax(logits).numpy()


@pytest.mark.parametrize(("height", "width", "side"), [(7, 5, 32), (64, 97, 32), (100, 64, 64)])
def test_the_cores_cover_every_pixel_once(height, width, side):
    covered = np.zeros((height, width), int)
    for core in tiles((height, width), side):
        core.cut(covered)[:] += 1
    assert np.array_equal(covered, np.ones((height, width)))


@pytest.mark.parametrize(("stride", "height", "width"), [(8, 40, 1700), (32, 1650, 35)])
def test_tiles_give_the_answer_of_the_whole_image(stride, height, width):
    network, image = make_network(4, stride), noise(height, width)
    wanted = whole(network, image)
    segmenter = Segmenter(network, tile=300)
    assert segmenter.side == 320
    for core in tiles((height, width), segmenter.side):
        found = segmenter.probabilities(image, core)
        np.testing.assert_allclose(found, core.cut(wanted), atol=2e-4)
    done = []
    agree = segmenter.label(image, done.append) == wanted.argmax(-1)
    assert agree.mean() > 0.9995  # rounding may tip a tie
    assert done == [1] * 6


def test_tiles_with_flips_and_scales_give_the_answer_of_the_whole_image():
    """What the whole image gets is compared with `tf.image.resize` below."""
    network, image = make_network(4, 8), noise(41, 1701)  # at 0.7 of no whole number of pixels
    settings = {"scales": (0.7, 1.0, 1.5), "flip": True}
    wanted = Segmenter(network, **settings).probabilities(image)
    segmenter = Segmenter(network, tile=300, **settings)
    assert np.ptp(wanted, axis=1).max() > 0.2, "the test shows nothing"
    for core in list(tiles(image.shape[:2], segmenter.side))[1::3]:
        found = segmenter.probabilities(image, core)
        np.testing.assert_allclose(found, core.cut(wanted), atol=1e-3)


def test_a_margin_that_is_too_small_leaves_seams():
    """The oracle above would be worth nothing if any margin passed it."""
    network, image = make_network(4, 8), noise(40, 900)
    segmenter = Segmenter(network, tile=160)
    segmenter._margin = 32
    core = Box(0, 320, 40, 480)
    found = segmenter.probabilities(image, core)
    assert np.abs(found - core.cut(whole(network, image))).max() > 0.01


def test_the_reach_is_that_of_the_coarsest_units():
    assert reach(make_network(4, 8)) >= 655 + 32  # Mixed_7c sees 1311 pixels; see test_geometry
    assert reach(make_network(4, 32)) > reach(make_network(4, 8))


@pytest.mark.parametrize("settings", [{"backbone": "vgg_16"}, {"fusion": "feature"}], ids=str)
def test_tiles_of_another_backbone_and_another_fusion(settings):
    network, image = make_network(4, 8, **settings), noise(40, 900)
    core = Box(0, 320, 40, 480)
    plain = Segmenter(network, tile=160)
    np.testing.assert_allclose(
        plain.probabilities(image, core), core.cut(whole(network, image)), atol=2e-4
    )


@pytest.mark.parametrize("size", [(33, 65), (40, 50)])
def test_one_tile_is_the_network(size):
    network, image = make_network(3, 16), noise(*size)
    wanted = whole(network, image)
    np.testing.assert_allclose(Segmenter(network).probabilities(image), wanted, atol=1e-5)


def test_flips_are_averaged():
    network, image = make_network(3, 8), noise(65, 97)
    mirrored = whole(network, np.ascontiguousarray(image[:, ::-1]))[:, ::-1]
    wanted = (whole(network, image) + mirrored) / 2
    found = Segmenter(network, flip=True).probabilities(image)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(mirrored - whole(network, image)).max() > 0.01


def test_a_mirrored_image_gets_the_mirrored_answer():
    network, image = make_network(3, 8), noise(40, 97)
    segmenter = Segmenter(network, flip=True)
    mirrored = segmenter.probabilities(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(mirrored[:, ::-1], segmenter.probabilities(image), atol=1e-5)


def test_scales_are_averaged():
    height, width = 47, 61
    network, image = make_network(3, 8), noise(height, width)
    parts = []
    for scale in (0.5, 1.0, 2.0):
        size = (round(height * scale), round(width * scale))
        small = tf.image.resize(image, size, antialias=True).numpy()
        parts.append(tf.image.resize(whole(network, small), (height, width)).numpy())
    found = Segmenter(network, scales=(0.5, 1.0, 2.0)).probabilities(image)
    np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)


def test_networks_are_averaged_whatever_their_strides():
    (one, other), image = (make_network(3, 8), make_network(3, 32)), noise(65, 97)
    wanted = (whole(one, image) + whole(other, image)) / 2
    np.testing.assert_allclose(Segmenter(one, other).probabilities(image), wanted, atol=1e-5)
    core = Box(32, 64, 64, 96)
    found = Segmenter(one, other, tile=32).probabilities(image, core)
    np.testing.assert_allclose(found, core.cut(wanted), atol=2e-4)


def test_the_random_field_refines_what_was_found(monkeypatch):
    network, image = make_network(3, 8), noise(60, 70)
    refined = crf.refine(whole(network, image), image).argmax(-1)
    assert np.mean(Segmenter(network, crf=True).label(image) == refined) > 0.999
    calls = []
    monkeypatch.setattr(inference, "refine", lambda p, i: calls.append(i.shape) or p)
    Segmenter(network, crf=True, tile=32).label(image)
    assert len(calls) == 6
    assert calls[0] == (60, 70, 3)  # it looks beyond the core


def test_the_random_field_of_tiles_is_nearly_that_of_the_whole_image(monkeypatch):
    """It works on a tile and its surroundings: what lies farther off than these hardly counts."""
    random, (rows, columns) = np.random.default_rng(2), np.indices((48, 420))
    truth = np.minimum((rows // 30 + columns // 56) % 4, 2)
    image = 60 + 60 * truth[..., None] + random.normal(0, 30, (48, 420, 3))
    blocks = random.normal(0, 2, (6, 53, 3)).repeat(8, axis=0).repeat(8, axis=1)[:, :420]
    image, said = np.clip(image, 0, 255).astype(np.uint8), np.eye(3)[truth] + blocks
    given = tf.nn.softmax(said).numpy()
    wanted = crf.refine(given, image).argmax(axis=-1)
    assert np.mean(wanted != given.argmax(axis=-1)) > 0.1, "the test shows nothing"
    segmenter, differ = Segmenter(make_network(3, 8), crf=True, tile=96), {}
    monkeypatch.setattr(segmenter, "probabilities", lambda image, box: box.cut(given))
    for room in (inference._CRF_ROOM, 0):
        monkeypatch.setattr(inference, "_CRF_ROOM", room)
        differ[room] = np.mean(segmenter.label(image) != wanted)
    assert differ[128] < 0.005 < 0.02 < differ[0], differ


def test_settings_that_make_no_sense_are_refused():
    wrong_scales = ((), (1.0, 0.0), (math.nan,), (math.inf,))
    for wrong in (*({"scales": scales} for scales in wrong_scales), {"tile": 0}):
        with pytest.raises(InputError, match="must be positive"):
            Segmenter(make_network(3, 8), **wrong)
