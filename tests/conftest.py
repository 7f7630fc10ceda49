"""What every test shares: quiet TensorFlow, few threads, fixed seeds, a tiny data set."""

from __future__ import annotations

import os

# Before TensorFlow or OpenMP is loaded; notebooks and subprocesses inherit them.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Two workers of `pytest -n 2` share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", os.environ["OMP_NUM_THREADS"])
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")

import random
import signal
import sys

import numpy as np
import pytest

from fcnlib.config import ShapesConfig
from fcntools.synthetic import shapes

# A shell that starts the tests in the background has told them to ignore Ctrl-C, which some raise.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A worker takes a file at a time: the longest come first, so that none is waited for at the end.
LONGEST = "test_notebooks.py", "test_systems.py", "test_distributed.py"
NO_BROWSER = "no Chromium here; to have it: apt-get install chromium"

TINY_SHAPES = ShapesConfig(
    train_images=12,  # one batch and a rest
    val_images=5,  # does not divide by a batch, so padding of the last one shows
    image_size=65,  # 2 * 32 + 1
    objects_per_class=4,
    objects_val_per_class=2,
)


@pytest.fixture(scope="session")
def tiny_shapes(tmp_path_factory):
    """The folder of a tiny generated data set; tests read it and never write into it."""
    root = tmp_path_factory.mktemp("data") / "shapes"
    shapes.ensure(root, TINY_SHAPES)
    return root


@pytest.fixture(autouse=True)
def seeds():
    """Start every test from the same random numbers, in whatever order tests run."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (what old code of others draws from)
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


def pytest_collection_modifyitems(items):
    """Put the longest files first."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter):
    """Say last of all that pages were not opened, where there is no browser to open them."""
    done = yield
    skipped = terminalreporter.stats.get("skipped", ())
    if count := sum(NO_BROWSER in str(report.longrepr) for report in skipped):
        said = f"skipped {count} of the tests that open pages: {NO_BROWSER}"
        terminalreporter.write_line(said, yellow=True)
    return done
