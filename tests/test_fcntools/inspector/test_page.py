"""The inspector's page as data; test_browser.py opens it."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from model_maker import make_network

from fcnlib.labels import SHAPES
from fcnlib.upsampling import upsample
from fcntools.inspector import what_if
from fcntools.inspector.page import write_inspector

RANDOM = np.random.default_rng(2)
NAMES = ("one", "</script><b>two")


@pytest.fixture(scope="module")
def images():
    network = make_network(SHAPES.num_classes, 8)
    found = {}
    for name, size in zip(NAMES, ((65, 65), (40, 50)), strict=True):
        image = RANDOM.integers(0, 256, (*size, 3), np.uint8)
        truth = RANDOM.choice(np.array([0, 3, 255], np.uint8), size) if name == "one" else None
        found[name] = what_if.read(network, image, truth)
    return found


@pytest.fixture(scope="module")
def page(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "inspector.html"
    return write_inspector(path, images, SHAPES, "FCN-8s", "index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def data(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(found[1])


def test_what_is_stored_gives_the_networks_own_answer(images, data):
    for image, maps in zip(data["images"], images.values(), strict=True):
        total = 0
        for part in image["parts"]:
            levels = np.frombuffer(base64.b64decode(part["bytes"]), "<u2")
            levels = levels.reshape(image["rows"], image["columns"], -1)
            total = total + np.array(part["low"]) + np.array(part["step"]) * levels
        fine = upsample(total[None].astype(np.float32), image["strides"][-1])
        height, width = maps.own.shape
        answer = fine[0, :height, :width].numpy().argmax(-1)
        assert np.mean(answer == maps.own) > 0.999


def test_the_truth_is_stored_in_runs(images, data):
    runs = np.array(data["images"][0]["truth"]).reshape(-1, 2)
    assert np.array_equal(np.repeat(*runs.T).reshape(65, 65), images["one"].truth)
    assert data["images"][1]["truth"] is None


def test_the_page_asks_no_one_and_a_name_breaks_nothing(page, data):
    assert [image["name"] for image in data["images"]] == list(NAMES)
    assert page.count("</script>") == 2
    found = re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)|(?:fetch|import)\(', page)
    assert found == [("index.html", "")]
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
