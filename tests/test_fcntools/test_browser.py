"""What a person does with mouse and keys, in Debian's Chromium: the inspector as page and in 06.

Without Chromium they are skipped, and the end of the run says so; with FCNLIB_NEEDS_BROWSER=1, as
`.ci/run` sets it, they fail: an inspector that no one has opened is not tested.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from browser import SECONDS, Browser
from conftest import NO_BROWSER, TINY_SHAPES
from lab import jupyter_lab, run_all
from model_maker import write_network
from PIL import Image

from fcnlib.datasets import open_dataset
from fcnlib.labels import SHAPES
from fcntools.figures.pictures import spread_out
from fcntools.inspector import what_if
from fcntools.inspector.figure import draw, pixel_at
from fcntools.inspector.page import write_inspector
from fcntools.inspector.score_map_cache import Readings
from fcntools.inspector.what_if import View

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not shutil.which("chromium") and not os.environ.get("FCNLIB_NEEDS_BROWSER"), reason=NO_BROWSER
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with two small networks of drawn weights."""
    out = tmp_path_factory.mktemp("run")
    for stride in (32, 8):
        write_network(out / "models" / f"fcn-{stride}s", SHAPES.classes, stride)
    return out


@pytest.fixture(scope="module")
def readings(run, tiny_shapes):
    return Readings(run / "models", open_dataset("shapes", tiny_shapes), "val")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def page(chromium, readings, tmp_path):
    """The inspector's page, opened from disk; (browser, readings in their order)."""
    kept = {name: readings.read("fcn-8s", name) for name in list(readings.images)[:3]}
    path = write_inspector(tmp_path / "inspector.html", kept, SHAPES, "FCN-8s")
    chromium.complaints.clear()
    chromium.resize(1280, 1000)
    chromium.open(path.as_uri())
    drawn(chromium, 1)
    return chromium, list(kept.values())


def drawn(browser, count):
    browser.wait_for(f"Number(document.body.dataset.drawn) >= {count}")


def drawings(browser):
    return browser.value("Number(document.body.dataset.drawn)")


def painted(browser, canvas="#answer .paint"):
    """Return the colours of a canvas of the page, uint8 [H, W, 4]."""
    script = (
        f"(() => {{ const c = document.querySelector('{canvas}');"
        "return [c.height, c.width, ...c.getContext('2d').getImageData(0, 0, c.width, c.height)"
        ".data].join(); })()"
    )
    height, width, *values = map(int, browser.value(script).split(","))
    return np.array(values, np.uint8).reshape(height, width, 4)


def colours(answer):
    """Return what the page should paint: the classes' colours, nothing for the background."""
    opaque = np.where(answer == 0, 0, 255)[..., None]
    return np.concatenate([SHAPES.palette[answer] * (opaque > 0), opaque], axis=-1)


def same(found, answer):
    return np.mean(np.all(found == colours(answer), axis=-1)) > 0.999


def test_the_page_shows_the_networks_own_answer(page):
    browser, readings = page
    assert same(painted(browser), readings[0].own)
    foreign = [c for c in browser.complaints if not str(c).startswith(("file:", "data:"))]
    assert foreign == []


@pytest.mark.parametrize(("stride", "key", "weight"), [(32, "Home", 0.0), (8, "ArrowRight", 1.05)])
def test_a_slider_of_the_page_moves_the_picture(page, stride, key, weight):
    browser, readings = page
    count = drawings(browser)
    browser.value(f"document.getElementById('weight-{stride}').focus()")
    browser.press(key)
    drawn(browser, count + 1)
    wanted = what_if.answer(readings[0], {stride: weight})
    assert same(painted(browser), wanted)
    assert not same(painted(browser), readings[0].own)
    assert (
        browser.value(f"document.getElementById('value-{stride}').textContent") == f"{weight:.2f}"
    )
    count = drawings(browser)
    browser.click("#reset")
    drawn(browser, count + 1)
    assert same(painted(browser), readings[0].own)


def test_a_click_on_the_page_takes_the_pixel_apart(page):
    browser, readings = page
    height, width = readings[0].own.shape
    count = drawings(browser)
    browser.click("#source", (13 + 0.5) / width, (41 + 0.5) / height)
    drawn(browser, count + 1)
    probe = what_if.probe(readings[0], {}, 41, 13)
    best = probe.probabilities.argmax()
    said = browser.value("document.getElementById('said').textContent")
    assert said.startswith(f"The pixel in row 41, column 13 is called {SHAPES.classes[best]}, ")
    shown = browser.value("document.querySelector('#account b').textContent")
    assert float(shown.split()[0]) == pytest.approx(100 * probe.probabilities[best], abs=0.15)
    words = browser.value("document.querySelector('#account [role=img]').ariaLabel")
    found = [float(v) for v in re.findall(r": (-?[\d.]+)", words)]
    assert found == pytest.approx([c[best] for c in probe.contributions.values()], abs=0.02)
    top, left, bottom, right = what_if.receptive_fields(readings[0], 41, 13)[8]
    frame = browser.value(
        "(() => { const r = [...document.querySelectorAll('#source rect')].at(-1);"
        "return ['x', 'y', 'width', 'height'].map(n => Number(r.getAttribute(n))); })()"
    )
    edges = np.clip([left, top, right + 1, bottom + 1], 0, [width, height] * 2)
    found = [frame[0], frame[1], frame[0] + frame[2], frame[1] + frame[3]]
    assert found == pytest.approx(edges, abs=0.02 * width)  # a frame at the border is set in


def test_the_small_pictures_follow_class_and_slider(page):
    """Of stride 32: orange where it speaks for the class, and the answer that it gives alone."""
    browser, readings = page
    size, count = readings[0].own.shape, drawings(browser)
    browser.value(
        "(() => { const c = document.getElementById('class'); c.value = 3;"
        "c.dispatchEvent(new Event('change')); })()"
    )
    drawn(browser, count + 1)
    score = spread_out(readings[0].parts[32][..., 3], 0, 8, size)
    clear = np.abs(score) > 0.05 * np.abs(score).max()
    shown = painted(browser, "#scores-0").astype(int)
    np.testing.assert_array_equal((shown[..., 0] > shown[..., 2])[clear], (score > 0)[clear])
    assert same(painted(browser, "#so-far-0"), what_if.answer(readings[0], {16: 0, 8: 0}))
    browser.value("document.getElementById('weight-32').focus()")
    browser.press("Home")
    drawn(browser, count + 2)
    assert np.ptp(painted(browser, "#scores-0"), axis=(0, 1)).tolist() == [0, 0, 0, 0]
    assert same(painted(browser, "#so-far-0"), np.zeros(size, np.uint8))


def test_keys_move_the_ring_and_choose_the_image(page):
    browser, readings = page
    row, column = readings[0].own.shape[0] // 2, 5
    browser.click("#source", (5 + 0.5) / readings[0].own.shape[1], 0.5)
    browser.value("document.getElementById('source').focus()")
    browser.press("ArrowRight", times=2)
    browser.press("ArrowUp", shift=True)
    words = f"row {row - 10}, column {column + 2} "
    browser.wait_for(f"document.getElementById('said').textContent.includes('{words}')")
    count = drawings(browser)
    browser.value("document.querySelector('#images [aria-checked=true]').focus()")
    browser.press("ArrowRight")
    drawn(browser, count + 1)
    assert same(painted(browser), readings[1].own)


def test_the_page_fits_a_phone(page):
    browser, _ = page
    browser.resize(390, 844, phone=True)
    assert browser.value("document.documentElement.scrollWidth") <= 390
    assert browser.value("document.getElementById('weight-32').getBoundingClientRect().height") > 28
    assert browser.value("document.getElementById('answer').getBoundingClientRect().width") > 150


@pytest.fixture(scope="module")
def lab(run, tiny_shapes, tmp_path_factory):
    """JupyterLab with notebook 06, set to the small networks: its address."""
    sizes = {k: v for k, v in vars(TINY_SHAPES).items() if k != "shapes_seed"}
    overrides = {"data_dir": str(tiny_shapes), **sizes}
    values = {"profile": "smoke", "overrides": overrides, "out": str(run)}
    values |= {"image": 1, "images": 3, "moves": 2}
    with jupyter_lab(tmp_path_factory.mktemp("lab"), "06_skip_inspector", values) as address:
        yield address


def shown(browser):
    """Return the picture of the inspector in the notebook as pixels; it is a blob of the page."""
    script = (
        "fetch(document.querySelector('.fcnlib-picture').src).then(r => r.arrayBuffer())"
        ".then(b => Array.from(new Uint8Array(b)).join())"
    )
    data = bytes(map(int, browser.value(script).split(",")))
    return np.asarray(Image.open(io.BytesIO(data)))


def wait_for_picture(browser, view):
    """Wait until the notebook shows what the pure function draws; fail with how much differs."""
    wanted = np.asarray(Image.open(io.BytesIO(draw(view))))
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = shown(browser)
        # Two processes may round a score differently, a few pixels in a hundred thousand.
        if found.shape == wanted.shape and np.mean(found != wanted) < 1e-3:
            return
        time.sleep(0.3)
    raise AssertionError(f"{np.mean(found != wanted):.2%} of the picture is not as it should be")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_inspector_of_notebook_06_in_jupyterlab(chromium, lab, readings):
    """Open 06, run all cells, move a slider, click a pixel."""
    chromium.resize(1500, 1100)
    chromium.open(lab)
    chromium.wait_for("document.querySelectorAll('.jp-Notebook .jp-Cell').length > 3")
    run_all(chromium)
    reading = readings.read("fcn-8s", "val_00001")
    start = what_if.landmark(reading)
    view = View(reading, SHAPES, start[0], dict.fromkeys((32, 16, 8), 1.0), *start[1:])
    wait_for_picture(chromium, view)
    chromium.value("document.querySelectorAll('.fcnlib-inspector .noUi-handle')[0].focus()")
    chromium.press("ArrowLeft", times=8)
    quieter = View(reading, SHAPES, start[0], {32: 0.6, 16: 1.0, 8: 1.0}, *start[1:])
    wait_for_picture(chromium, quieter)
    chromium.click(".fcnlib-picture", 0.05, 0.2)
    row, column = pixel_at(reading, 0.05, 0.2)
    assert (row, column) != start[1:]
    wait_for_picture(chromium, View(reading, SHAPES, start[0], quieter.weights, row, column))
