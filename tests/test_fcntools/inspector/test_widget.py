"""The kernel's side of the inspector, driven by what a browser sends: no browser, no kernel."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from model_maker import write_network
from PIL import Image

from fcnlib.datasets import open_dataset
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcnlib.upsampling import upsample
from fcntools.inspector import what_if, widget
from fcntools.inspector.score_map_cache import ScoreMapCache
from fcntools.inspector.widget import SkipInspector


@pytest.fixture(scope="module")
def cache(tmp_path_factory, tiny_shapes):
    folder = tmp_path_factory.mktemp("models")
    for stride in (32, 8):
        write_network(folder / f"fcn-{stride}s", SHAPES.classes, stride)
    return ScoreMapCache(folder, open_dataset("shapes", tiny_shapes), "val")


@pytest.fixture
def inspector(cache):
    return SkipInspector(cache)


def upload(inspector, name, content):
    """Do what the browser does when a file is chosen."""
    inspector._handle_custom_msg({"name": name}, [memoryview(content)])


def png(size):
    data = io.BytesIO()
    Image.effect_noise(size, 90).save(data, "png")
    return data.getvalue()


def added_up(sent, weights):
    """Do what the browser does with what it was sent."""
    parts = [np.frombuffer(part, np.float32) for part in sent["parts"]]
    total = sum(w * part for w, part in zip(weights, parts, strict=True))
    total = total.reshape(1, sent["rows"], sent["columns"], -1)
    fine = upsample(total, sent["strides"][-1], half_pixel_centers=sent["first"] > 0)[0].numpy()
    return fine[: sent["height"], : sent["width"]].argmax(axis=-1)


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0, 1.0], [0.25, 1.0, 2.0, 1.0]])
def test_what_is_sent_adds_up_to_the_networks_answer(inspector, weights):
    inspector.weights = weights
    view = inspector.view
    assert view.weights == dict(zip((32, 16, 8), weights, strict=False))
    answer = what_if.answer(view.maps, view.weights)
    assert np.mean(added_up(inspector.maps, weights[:3]) == answer) > 0.999


def test_it_begins_with_the_finest_network_on_an_object(inspector, cache):
    assert inspector.network == "fcn-8s"
    view = inspector.view
    assert view.maps.truth[view.row, view.column] == view.class_index
    assert SkipInspector(cache, "fcn-32s", "val_00002").view.maps.strides == (32,)


def test_another_network_keeps_the_pixel_and_another_image_moves_it(inspector):
    inspector.row = 5
    inspector.network = "fcn-32s"
    assert inspector.maps["strides"] == (32,)
    assert inspector.row == 5
    inspector.image = "val_00003"
    view = inspector.view
    assert inspector.maps["name"] == "val_00003"
    assert view.maps.truth[view.row, view.column] == view.class_index


def test_a_picture_of_ones_own(inspector):
    inspector.row = inspector.column = 63
    for size in ((50, 40), (30, 60)):  # the second takes the place of the first
        upload(inspector, "mine.png", png(size))
        assert inspector.image == inspector.images[-1] == "mine.png"
        assert inspector.view.maps.image.shape == (size[1], size[0], 3)
        assert (inspector.maps["width"], inspector.maps["height"]) == size
        assert inspector.row < size[1]
    inspector.row = 10_000  # a click that was meant for a larger one
    assert inspector.view.row == 59


def test_what_cannot_be_read_is_said_and_changes_nothing(inspector, cache, monkeypatch):
    before = (inspector.image, inspector.maps)
    upload(inspector, "notes.txt", b"no picture")
    assert inspector.note.startswith("notes.txt: not a readable image")
    assert (inspector.image, inspector.maps) == before

    def gone(*names):
        raise InputError("val_00004.jpg: no such file")

    with monkeypatch.context() as patch:
        patch.setattr(cache, "read", gone)
        inspector.image = "val_00004"
    assert inspector.note == "val_00004.jpg: no such file"
    assert inspector.maps == before[1]
    inspector.image = "val_00003"
    assert inspector.note == ""
    assert inspector.maps["name"] == "val_00003"


def test_a_change_from_another_thread_waits_for_its_turn(inspector, cache, monkeypatch):
    """JupyterLab calls back from a thread of its own, also while a cell chooses an image."""
    reading, finish = threading.Event(), threading.Event()
    read = cache.read

    def slow(*names):
        found = read(*names)
        reading.set()
        assert finish.wait(20)
        return found

    monkeypatch.setattr(cache, "read", slow)
    cell = threading.Thread(target=setattr, args=(inspector, "image", "val_00002"))
    cell.start()
    assert reading.wait(20)
    browser = threading.Thread(target=setattr, args=(inspector, "network", "fcn-32s"))
    browser.start()
    finish.set()
    for thread in (cell, browser):
        thread.join(20)
        assert not thread.is_alive()
    assert (inspector.maps["name"], inspector.maps["strides"]) == ("val_00002", (32,))


def test_it_shows_itself_to_a_person_and_a_picture_to_a_runner(inspector, monkeypatch):
    shown = []
    monkeypatch.setattr(widget, "display", lambda *things: shown.append(things[0]))
    monkeypatch.delenv(widget.HEADLESS, raising=False)
    inspector.show()
    monkeypatch.setenv(widget.HEADLESS, "1")
    inspector.show()
    assert shown[0] is inspector
    assert Image.open(io.BytesIO(shown[1].data)).width > 500
    assert "skip inspector" in shown[1].alt
