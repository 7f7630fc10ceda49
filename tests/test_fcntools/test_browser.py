"""What a person does with mouse and keys, in Debian's Chromium: the inspector as page and in 06.

Without Chromium they are skipped, and the end of the run says so; with FCNLIB_NEEDS_BROWSER=1, as
`.ci/run` sets it, they fail: an inspector that no one has opened is not tested.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from browser import Browser
from conftest import NO_BROWSER, TINY_SHAPES
from lab import IDLE, jupyter_lab, run_all
from model_maker import make_network, write_network

from fcnlib.builders import load_fcn
from fcnlib.datasets import open_dataset
from fcnlib.labels import SHAPES
from fcntools.figures.pictures import spread_out
from fcntools.inspector import what_if
from fcntools.inspector.page import write_inspector
from fcntools.inspector.score_map_cache import ScoreMapCache

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
    return ScoreMapCache(run / "models", open_dataset("shapes", tiny_shapes), "val")


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


DRAWN = "Number(document.querySelector('[data-drawn]')?.dataset.drawn)"


def drawn(browser, count):
    browser.wait_for(f"{DRAWN} >= {count}")


def drawings(browser):
    return browser.value(DRAWN)


def text(browser, selector):
    return browser.value(f"document.querySelector('{selector}').textContent")


def focus(browser, selector):
    browser.value(f"document.querySelector('{selector}').focus()")


def painted(browser, canvas=".answer .paint"):
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
    focus(browser, f"[name=weight-{stride}]")
    browser.press(key)
    drawn(browser, count + 1)
    wanted = what_if.answer(readings[0], {stride: weight})
    assert same(painted(browser), wanted)
    assert not same(painted(browser), readings[0].own)
    assert text(browser, f".slider .times-{stride}") == f"{weight:.2f}"
    count = drawings(browser)
    browser.click(".reset")
    drawn(browser, count + 1)
    assert same(painted(browser), readings[0].own)


def test_a_click_on_the_page_takes_the_pixel_apart(page):
    browser, readings = page
    height, width = readings[0].own.shape
    count = drawings(browser)
    browser.click(".source", (13 + 0.5) / width, (41 + 0.5) / height)
    drawn(browser, count + 1)
    added, chances = what_if.probe(readings[0], {}, 41, 13)
    best = chances.argmax()
    said = text(browser, ".said")
    assert said.startswith(f"The pixel in row 41, column 13 is called {SHAPES.classes[best]}, ")
    shown = text(browser, ".account b")
    assert float(shown.split()[0]) == pytest.approx(100 * chances[best], abs=0.15)
    words = browser.value("document.querySelector('.account [role=img]').ariaLabel")
    found = [float(v) for v in re.findall(r": (-?[\d.]+)", words)]
    assert found == pytest.approx([c[best] for c in added.values()], abs=0.02)
    top, left, bottom, right = what_if.receptive_fields(readings[0], 41, 13)[8]
    frame = browser.value(
        "(() => { const r = [...document.querySelectorAll('.source rect')].at(-1);"
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
        "(() => { const c = document.querySelector('[name=shown]'); c.selectedIndex = 3;"
        "c.dispatchEvent(new Event('change')); })()"
    )
    drawn(browser, count + 1)
    score = spread_out(readings[0].parts[32][..., 3], 0, 8, size)
    clear = np.abs(score) > 0.05 * np.abs(score).max()
    shown = painted(browser, ".scores-32").astype(int)
    np.testing.assert_array_equal((shown[..., 0] > shown[..., 2])[clear], (score > 0)[clear])
    assert same(painted(browser, ".so-far-32"), what_if.answer(readings[0], {16: 0, 8: 0}))
    focus(browser, "[name=weight-32]")
    browser.press("Home")
    drawn(browser, count + 2)
    assert np.ptp(painted(browser, ".scores-32"), axis=(0, 1)).tolist() == [0, 0, 0, 0]
    assert same(painted(browser, ".so-far-32"), np.zeros(size, np.uint8))


def test_keys_move_the_ring_and_choose_the_image(page):
    browser, readings = page
    row, column = readings[0].own.shape[0] // 2, 5
    browser.click(".source", (5 + 0.5) / readings[0].own.shape[1], 0.5)
    focus(browser, ".source")
    browser.press("ArrowRight", times=2)
    browser.press("ArrowUp", shift=True)
    words = f"row {row - 10}, column {column + 2} "
    browser.wait_for(f"document.querySelector('.said').textContent.includes('{words}')")
    count = drawings(browser)
    focus(browser, ".images [aria-checked=true]")
    browser.press("ArrowRight")
    drawn(browser, count + 1)
    assert same(painted(browser), readings[1].own)


def test_a_page_of_a_network_with_values_in_the_middles_of_cells(page, tmp_path):
    """Its first sample point is no pixel: the grid of VGG, not of Inception."""
    browser, readings = page
    half_pixel_centers = make_network(9, 8, backbone="vgg_16")
    maps = what_if.read(half_pixel_centers, readings[0].image)
    path = write_inspector(tmp_path / "half_pixel_centers.html", {"x": maps}, SHAPES, "FCN-8s")
    browser.open(path.as_uri())
    drawn(browser, 1)
    assert maps.first == 3.5
    assert same(painted(browser), maps.own)


def test_the_page_fits_a_phone(page):
    browser, _ = page
    browser.resize(390, 844, phone=True)
    assert browser.value("document.documentElement.scrollWidth") <= 390
    size = "document.querySelector('{}').getBoundingClientRect()"
    assert browser.value(size.format("[name=weight-32]") + ".height") > 28
    assert browser.value(size.format(".answer") + ".width") > 150


@pytest.fixture(scope="module")
def lab(run, tiny_shapes, tmp_path_factory):
    """JupyterLab with notebook 06, set to the small networks: its address."""
    sizes = {k: v for k, v in vars(TINY_SHAPES).items() if k != "shapes_seed"}
    overrides = {"data_dir": str(tiny_shapes), **sizes}
    values = {"profile": "smoke", "overrides": overrides, "out": str(run)}
    values |= {"image": 1, "images": 3, "moves": 2}
    with jupyter_lab(tmp_path_factory.mktemp("lab"), "06_skip_inspector", values) as address:
        yield address


def wait_for_answer(browser, answer):
    """Wait until the notebook shows an answer, but for ties; fail with how much differs."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = painted(browser)
        if found.shape[:2] == answer.shape and same(found, answer):
            return
        time.sleep(0.3)
    wrong = found.shape[:2] != answer.shape or 1 - np.mean(
        np.all(found == colours(answer), axis=-1)
    )
    raise AssertionError(f"another size, or another share of pixels: {wrong}")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_inspector_of_notebook_06_in_jupyterlab(chromium, lab, readings):
    """Open 06, run all cells, move a slider, click a pixel, choose a network, bring an image."""
    chromium.resize(1500, 1100)
    chromium.open(lab)
    chromium.wait_for("document.querySelectorAll('.jp-Notebook .jp-Cell').length > 3")
    run_all(chromium)
    maps = readings.read("fcn-8s", "val_00001")
    wait_for_answer(chromium, maps.own)  # the cells after it set the weights, and set them back
    chromium.wait_for(IDLE)
    chromium.click("[name=weight-32]")  # in its middle, where the weight is 1
    chromium.press("ArrowLeft", times=8)
    wait_for_answer(chromium, what_if.answer(maps, {32: 0.6}))
    row, column = 13, 3
    height, width = maps.own.shape
    chromium.click(".source", (column + 0.5) / width, (row + 0.5) / height)
    best = what_if.probe(maps, {32: 0.6}, row, column)[1].argmax()
    words = f"The pixel in row {row}, column {column} is called {SHAPES.classes[best]}, "
    chromium.wait_for(f"document.querySelector('.said').textContent.startsWith('{words}')", 60)
    milliseconds = "document.querySelector('[data-drawn]').dataset.milliseconds"
    print(f"a move of a slider, drawn by the browser: {chromium.value(milliseconds)} ms")
    chromium.value(
        "(() => { const s = document.querySelector('[name=network]'); s.value = 'fcn-32s';"
        "s.dispatchEvent(new Event('change')); })()"
    )
    coarse = readings.read("fcn-32s", "val_00001")
    wait_for_answer(chromium, what_if.answer(coarse, {32: 0.6}))
    # An image of one's own, as a file that a person chooses.
    chromium.value(
        "(async () => { const c = document.createElement('canvas'); [c.width, c.height] = [50, 40];"
        "const p = c.getContext('2d'); p.fillStyle = 'rgb(200, 30, 60)'; p.fillRect(9, 9, 30, 20);"
        "const blob = await new Promise((done) => c.toBlob(done));"
        "const files = new DataTransfer(); files.items.add(new File([blob], 'mine.png'));"
        "const input = document.querySelector('.choices [type=file]'); input.files = files.files;"
        "input.dispatchEvent(new Event('change')); })()"
    )
    own = np.zeros((40, 50, 3), np.uint8)
    own[9:29, 9:39] = 200, 30, 60
    network = load_fcn(readings.networks["fcn-32s"])[0]
    wait_for_answer(chromium, what_if.answer(what_if.read(network, own), {32: 0.6}))
