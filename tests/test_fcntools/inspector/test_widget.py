"""The inspector's widgets, driven by their values as a browser would: no browser, no kernel."""

from __future__ import annotations

import html
import io
import threading

import ipywidgets
import numpy as np
import pytest
from model_maker import write_network
from PIL import Image

from fcnlib.datasets import open_dataset
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcntools.inspector import widget
from fcntools.inspector.figure import draw, pixel_at
from fcntools.inspector.score_map_cache import Readings
from fcntools.inspector.widget import SkipInspector


@pytest.fixture(scope="module")
def readings(tmp_path_factory, tiny_shapes):
    folder = tmp_path_factory.mktemp("models")
    for stride in (32, 8):
        write_network(folder / f"fcn-{stride}s", SHAPES.classes, stride)
    return Readings(folder, open_dataset("shapes", tiny_shapes), "val")


@pytest.fixture
def inspector(readings):
    return SkipInspector(readings)


@pytest.fixture
def drawings(monkeypatch):
    """Return a list that grows with every drawing."""
    calls = []
    monkeypatch.setattr(widget, "draw", lambda *args: calls.append(args) or draw(*args))
    return calls


def upload(inspector, name, content):
    """Do what the browser does when a file is chosen."""
    file = {"name": name, "type": "image/png", "size": len(content), "last_modified": 0}
    inspector.upload.set_state({"value": [file | {"content": memoryview(content)}]})


def png(size):
    data = io.BytesIO()
    Image.effect_noise(size, 90).save(data, "png")
    return data.getvalue()


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_moving_a_slider_moves_the_picture(inspector, stride):
    before = inspector.picture.value
    inspector.weights[stride].value = 0.3
    assert inspector.picture.value != before
    assert inspector.view.weights == {32: 1.0, 16: 1.0, 8: 1.0} | {stride: 0.3}
    assert inspector.picture.value == draw(inspector.view)
    inspector.weights[stride].value = 1.0
    assert inspector.picture.value == before


@pytest.mark.parametrize("control", ["row", "column", "shown"])
def test_every_other_control_moves_it_too(inspector, control):
    before = inspector.picture.value
    getattr(inspector, control).value -= 1
    assert inspector.picture.value != before
    assert inspector.picture.value == draw(inspector.view)


def test_it_begins_with_the_finest_network_on_an_object(inspector, readings):
    assert inspector.network.value == "fcn-8s"
    view = inspector.view
    assert view.reading.truth[view.row, view.column] == view.class_index
    assert SkipInspector(readings, "fcn-32s", "val_00002").image.value == "val_00002"


def test_another_network_shows_its_own_sliders_and_keeps_the_pixel(inspector, drawings):
    row = inspector.row.value = 5
    drawings.clear()
    inspector.network.value = "fcn-32s"
    assert len(drawings) == 1
    shown = [s for s, slider in inspector.weights.items() if slider.layout.display != "none"]
    assert shown == [32]
    assert inspector.row.value == row
    inspector.network.value = "fcn-8s"
    shown = [s for s, slider in inspector.weights.items() if slider.layout.display != "none"]
    assert shown == [32, 16, 8]


def test_another_image_is_drawn_once(inspector, drawings):
    inspector.image.value = "val_00003"
    assert len(drawings) == 1
    view = inspector.view
    assert view.reading.truth[view.row, view.column] == view.class_index


def test_the_button_sets_all_weights_to_1_and_draws_once(inspector, drawings):
    before = inspector.picture.value
    inspector.weights[16].value, inspector.weights[8].value = 0.0, 2.0
    drawings.clear()
    inspector.reset.click()
    assert len(drawings) == 1
    assert [slider.value for slider in inspector.weights.values()] == [1.0] * 4
    assert inspector.picture.value == before


def test_a_click_moves_the_ring(inspector, drawings):
    before = (inspector.row.value, inspector.column.value)
    inspector.click.value = "0.05,0.2"
    row, column = pixel_at(inspector.view.reading, 0.05, 0.2)
    assert (inspector.row.value, inspector.column.value) == (row, column) != before
    assert len(drawings) == 1
    assert inspector.picture.value == draw(inspector.view)
    inspector.click.value = "0.05,0.99"  # the account at the foot is no pixel
    assert len(drawings) == 1


def test_a_picture_of_ones_own(inspector):
    inspector.row.value = inspector.row.max
    upload(inspector, "mine.png", png((50, 40)))
    assert inspector.image.value == "mine.png"
    assert (inspector.row.max, inspector.column.max) == (39, 49)
    assert inspector.view.reading.image.shape == (40, 50, 3)
    assert inspector.picture.value == draw(inspector.view)
    upload(inspector, "mine.png", png((30, 60)))
    assert inspector.view.reading.image.shape == (60, 30, 3)


@pytest.mark.parametrize("content", [b"no picture", png((50, 40))[:900], b""])
def test_a_file_that_is_no_picture_is_said_so(inspector, content):
    upload(inspector, "<mine>.png", png((50, 40)))
    before, image = inspector.picture.value, inspector.image.value
    for name in ("<mine>.png", "<notes>.txt"):  # also one by the name of what is shown
        upload(inspector, name, content)
        words = f"{html.escape(name)}: not a readable picture; choose another file"
        assert inspector.note.value == f"<b>{words}</b>"
        assert inspector.picture.value == before
        assert inspector.image.value == image
    inspector.weights[8].value = 0.5
    assert inspector.picture.value == draw(inspector.view)


def test_a_file_that_has_gone_is_said_so(inspector, readings, monkeypatch):
    def gone(*names):
        raise InputError("val_00004.jpg: no such file")

    monkeypatch.setattr(readings, "read", gone)
    before = inspector.picture.value
    inspector.image.value = "val_00004"
    assert "val_00004.jpg: no such file" in inspector.note.value
    assert inspector.picture.value == before


def test_a_change_from_another_thread_waits_for_its_turn(inspector, monkeypatch):
    """JupyterLab calls back from a thread of its own, also while a cell moves a slider."""
    drawing, finish = threading.Event(), threading.Event()

    def slow(*args):
        drawing.set()
        assert finish.wait(20)
        return draw(*args)

    monkeypatch.setattr(widget, "draw", slow)
    cell = threading.Thread(target=setattr, args=(inspector.weights[8], "value", 0.5))
    cell.start()
    assert drawing.wait(20)
    browser = threading.Thread(target=setattr, args=(inspector.image, "value", "val_00003"))
    browser.start()
    finish.set()
    for thread in (cell, browser):
        thread.join(20)
        assert not thread.is_alive()
    view = inspector.view
    assert view.reading.truth[view.row, view.column] == view.class_index
    assert inspector.picture.value == draw(view)


def test_200_moves_leave_nothing_behind(inspector):
    def count():
        return len(ipywidgets.widgets.widget._instances)

    before, places = count(), np.linspace(0, 2, 200)
    sizes = set()
    for number, weight in enumerate(places):
        inspector.weights[(32, 16, 8)[number % 3]].value = float(weight)
        sizes.add(Image.open(io.BytesIO(inspector.picture.value)).size)
    assert count() == before
    assert len(sizes) == 1
    from matplotlib import pyplot

    assert pyplot.get_fignums() == []


def test_it_shows_controls_to_a_person_and_a_picture_to_a_runner(inspector, monkeypatch):
    shown = []
    monkeypatch.setattr(widget, "display", lambda *things: shown.append(things[0]))
    monkeypatch.delenv(widget.HEADLESS, raising=False)
    inspector.show()
    monkeypatch.setenv(widget.HEADLESS, "1")
    inspector.show()
    assert shown[0] is inspector.box
    assert shown[1].data == draw(inspector.view, compact=True)
    assert len(shown[1].data) < len(inspector.picture.value)
    assert "skip inspector" in shown[1].alt
