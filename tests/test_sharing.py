"""How many notebooks at once, and how many threads each: made-up machines, and TensorFlow."""

import os
import subprocess
import sys

import pytest

from fcnlib.config import ROOT
from fcnlib.runtime import run_record
from fcntools.workbook import parallelism

MACHINES = [  # cores, memory in GiB, a GPU's driver, how many at once
    (1, 24.0, False, 1),
    (2, 4.0, False, 1),
    (2, 24.0, False, 2),
    (64, 256.0, False, 2),
    (64, 256.0, True, 1),
]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    for name in (run_record.INTRA, run_record.INTER):
        monkeypatch.delenv(name, raising=False)


def pretend(monkeypatch, cores, memory=24.0, driver=False):
    monkeypatch.setattr(parallelism, "machine", lambda: {"cores": cores, "memory_gib": memory})
    monkeypatch.setattr(parallelism, "nvidia_driver", lambda: driver)


@pytest.mark.parametrize(("cores", "memory", "driver", "count"), MACHINES)
def test_how_many_at_once(monkeypatch, cores, memory, driver, count):
    pretend(monkeypatch, cores, memory, driver)
    assert parallelism.at_once() == count


def test_cores_are_shared_out_unless_the_user_has_said_how(monkeypatch):
    pretend(monkeypatch, 8)
    assert parallelism.variables(1) == {}
    assert parallelism.variables(2) == {run_record.INTRA: "4", run_record.INTER: "2"}
    pretend(monkeypatch, 1)
    assert parallelism.variables(2)[run_record.INTRA] == "1"
    monkeypatch.setenv(run_record.INTER, "3")
    assert parallelism.variables(2) == {}


def test_tensorflow_reads_these_variables():
    """A pool of one thread computes one part after the other: the ids of its threads say so."""
    code = """
import os, threading
from fcnlib.runtime.compat import tf
tf.matmul(tf.ones([4, 4]), tf.ones([4, 4]))
names = [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
print(sum(name.startswith("tf_Compute") for name in names))
"""
    counts = {}
    for threads in ("1", "5"):
        env = os.environ | {run_record.INTER: threads, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
        counts[threads] = int(done.stdout)
    assert counts["5"] - counts["1"] == 4
