"""The skip inspector without a browser: fusing, a pixel's account, fields, figure, uploads."""

from __future__ import annotations

import dataclasses
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from model_maker import make_network, write_network
from PIL import Image

from fcnlib.datasets import open_dataset
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcnlib.network import fuse
from fcnlib.runtime.compat import tf
from fcntools.figures.pictures import overlay, spread_out
from fcntools.inspector import what_if
from fcntools.inspector.figure import figure
from fcntools.inspector.score_map_cache import ScoreMapCache
from fcntools.inspector.what_if import ScoreMaps, View

CLASSES, HEIGHT, WIDTH = 9, 70, 101
STRIDES = (32, 16, 8, 4)


@pytest.fixture(scope="module", params=STRIDES)
def network(request):
    return make_network(CLASSES, request.param)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture(scope="module")
def reading(image):
    truth = np.full((HEIGHT, WIDTH), 0, np.uint8)
    truth[10:40, 20:60], truth[50:60, 5:10], truth[:3] = 4, 7, 255
    return what_if.read(make_network(CLASSES, 4), image, truth)


def normalized(image):
    return tf.constant(image, tf.float32)[None] / 127.5 - 1.0


def test_with_all_weights_at_1_the_answer_is_the_networks_own_bit_for_bit(network, image):
    own = network(normalized(image))[0].numpy()
    assert np.ptp(own) > 1, "a network that says nothing proves nothing"
    reading = what_if.read(network, image)
    assert np.array_equal(what_if.fused(reading), own)
    ones = dict.fromkeys(reading.strides, 1.0)
    assert np.array_equal(what_if.fused(reading, ones), own)
    assert np.array_equal(what_if.answer(reading, ones), own.argmax(axis=-1))
    assert np.array_equal(reading.own, own.argmax(axis=-1))


def test_fusing_again_is_fusing_with_weights(network, image):
    weights = {32: 0.5, 16: 2.0, 8: 0.0, 4: 1.25}
    maps = network.score_maps(normalized(image))
    scaled = {s: m * weights[s] for s, m in maps[0].items()}
    expected = network.to_pixels(fuse(scaled, maps[1]), HEIGHT, WIDTH)[0]
    found = what_if.fused(what_if.read(network, image), weights)
    np.testing.assert_array_equal(found, expected)


def test_the_answer_so_far_leaves_the_finer_skips_out(reading):
    bilinear = dataclasses.replace(reading, kernels={})  # interpolated in steps or at one go
    silent = {16: 0.0, 8: 0.0, 4: 0.0}
    coarse = what_if.fused(bilinear, down_to=32)
    assert coarse.shape == (HEIGHT, WIDTH, CLASSES)
    np.testing.assert_allclose(coarse, what_if.fused(bilinear, silent), atol=1e-4)
    assert np.ptp(coarse) > 1
    assert np.array_equal(what_if.fused(reading, down_to=4), what_if.fused(reading))


@pytest.mark.parametrize("place", [(0, 0), (HEIGHT - 1, WIDTH - 1), (33, 47), (64, 96)])
def test_the_account_of_a_pixel_adds_up(reading, place):
    weights = {32: 0.5, 16: 2.0, 4: 0.0}
    added, chances = what_if.probe(reading, weights, *place)
    logits = what_if.fused(reading, weights)[place]
    scale = np.abs(list(added.values())).max()
    np.testing.assert_allclose(sum(added.values()), logits, atol=1e-5 * scale)
    np.testing.assert_allclose(chances, tf.nn.softmax(logits), atol=1e-4)
    assert not added[4].any()
    assert added[32].any()


def test_what_a_skip_adds_grows_with_its_weight_alone(reading):
    quiet = what_if.probe(reading, {}, 30, 40)[0]
    loud = what_if.probe(reading, {8: 2.0}, 30, 40)[0]
    for stride in STRIDES:
        np.testing.assert_array_equal(loud[stride], quiet[stride] * (2 if stride == 8 else 1))


def test_fields_are_those_of_the_unit_nearest_to_the_pixel(reading):
    boxes = what_if.receptive_fields(reading, row=30, column=50)
    # units of stride 4 lie at 0, 4, 8, ...: row 32 (the tie goes to the even one), column 52 or 48
    top, left, bottom, right = boxes[4]
    assert (top + bottom) / 2 in (28, 32)
    assert (left + right) / 2 in (48, 52)
    sides = [box[2] - box[0] + 1 for box in boxes.values()]
    assert sides == [1311, 927, 127, 23]  # derived by hand from the kernels of Inception-v3
    assert list(boxes) == list(STRIDES)


def test_a_pixel_outside_the_field_of_stride_4_changes_nothing_there(image):
    network = make_network(CLASSES, 4)
    top, left, bottom, right = what_if.receptive_fields(what_if.read(network, image), 36, 48)[4]
    before = network.score_maps(normalized(image))[0][4][0, 9, 12]
    changed = image.copy()
    changed[:top], changed[bottom + 1 :] = 0, 0
    changed[:, :left], changed[:, right + 1 :] = 0, 0
    assert np.array_equal(network.score_maps(normalized(changed))[0][4][0, 9, 12], before)
    changed[top, left:right] = 255 - changed[top, left:right]
    assert not np.array_equal(network.score_maps(normalized(changed))[0][4][0, 9, 12], before)


def test_a_landmark_lies_on_the_second_largest_class(reading):
    chosen, row, column = what_if.landmark(reading)
    assert chosen == 4
    assert reading.truth[row, column] == 4
    unknown = ScoreMaps(reading.image, None, reading.scores, reading.kernels, reading.parts)
    chosen, row, column = what_if.landmark(unknown)
    assert unknown.own[row, column] == chosen


def view_of(reading, **changes):
    ones = dict.fromkeys(reading.strides, 1.0)
    values = {"class_index": 4, "weights": ones, "row": 20, "column": 30} | changes
    return View(reading, SHAPES, **values)


def test_the_figure_shows_what_the_network_computes(reading):
    """Its last picture of a row of answers is the answer under the weights, class by class."""
    view = view_of(reading, weights={32: 1, 16: 1, 8: 0.5, 4: 1})
    drawn = figure(view, "Stride 8 at a half")
    assert drawn.get_suptitle() == "Stride 8 at a half"
    pictures = [axes.images[0].get_array() for axes in drawn.axes]
    assert len(pictures) == 3 + 2 * len(STRIDES)
    for shown, weights in (
        (pictures[1], view.weights),
        (pictures[-1], view.weights),
        (pictures[-2], {32: 1, 16: 1, 8: 0.5, 4: 0}),
        (pictures[-4], {32: 1, 16: 0, 8: 0, 4: 0}),
    ):
        expected = overlay(reading.image, what_if.answer(reading, weights), SHAPES, 0.7)
        np.testing.assert_array_equal(shown, expected)
    for stride, shown in zip(STRIDES, pictures[3:7], strict=True):
        score = spread_out(reading.parts[stride][..., 4], 0, 4, (HEIGHT, WIDTH))
        clear = np.abs(score) > 0.05 * np.abs(score).max()
        orange = shown[..., 0].astype(int) > shown[..., 2]
        np.testing.assert_array_equal(orange[clear], (score > 0)[clear])


@pytest.mark.parametrize("size", [(20, 300), (1, 1)])
def test_an_image_of_any_size_can_be_drawn(size):
    reading = what_if.read(make_network(CLASSES, 4), np.zeros((*size, 3), np.uint8))
    weights = dict.fromkeys(reading.strides, 2.0)
    drawn = figure(view_of(reading, weights=weights, row=size[0] - 1, column=size[1] - 1), "x")
    assert len(drawn.axes) == 2 + 2 * len(STRIDES)  # no truth


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for stride in (8, 32, 16):
        write_network(folder / f"fcn-{stride}s", SHAPES.classes, stride)
    (folder / "fcn-4s").mkdir()  # not trained yet
    return folder


@pytest.fixture
def readings(models, tiny_shapes):
    return ScoreMapCache(models, open_dataset("shapes", tiny_shapes), "val", limit=3)


def test_networks_come_coarse_to_fine_and_images_by_name(readings):
    assert list(readings.networks) == ["fcn-32s", "fcn-16s", "fcn-8s"]
    assert len(readings.images) == 3


def test_a_network_is_run_once_an_image(readings, models):
    name = next(iter(readings.images))
    first = readings.read("fcn-8s", name)
    assert readings.read("fcn-8s", name) is first
    assert first.strides == (32, 16, 8)
    assert first.truth is not None
    network = write_network(models.parent / "again" / "fcn-8s", SHAPES.classes, 8)
    own = network(normalized(first.image))[0]
    assert np.array_equal(what_if.fused(first), own)


def test_a_reading_is_the_same_from_any_thread(readings):
    """A widget's callback comes from another thread than the cell that loaded the network."""
    first, second = list(readings.images)[:2]
    readings.read("fcn-8s", first)
    with ThreadPoolExecutor() as pool:
        found = pool.submit(readings.read, "fcn-8s", second).result()
    own = make_network(CLASSES, 8)(normalized(found.image))[0].numpy()
    assert np.ptp(own) > 1
    np.testing.assert_array_equal(what_if.fused(found), own)


def test_an_image_of_ones_own_can_be_replaced(readings):
    for shade in (0, 255):
        data = io.BytesIO()
        Image.new("L", (1000, 800), shade).save(data, "png")
        readings.add("mine.png", data.getvalue())
        reading = readings.read("fcn-16s", "mine.png")
        assert reading.image[0, 0, 0] == shade
        assert reading.image.shape == (410, 512, 3)
        assert reading.truth is None


def test_missing_and_foreign_networks_are_refused(tmp_path, tiny_shapes):
    dataset = open_dataset("shapes", tiny_shapes)
    with pytest.raises(InputError, match=r"no trained network here; run 03_skip_fusion"):
        ScoreMapCache(tmp_path, dataset, "val")
    write_network(tmp_path / "fcn-32s", ("road", "sky"), 32)
    readings = ScoreMapCache(tmp_path, dataset, "val")
    with pytest.raises(InputError, match=r"fcn-32s: trained for the classes road, sky; the images"):
        readings.read("fcn-32s", next(iter(readings.images)))
