"""TensorFlow loads without a word, unless something is wrong."""

import os
import subprocess
import sys

import pytest
from jupyter_client.manager import start_new_kernel

from fcnlib.config import ROOT
from fcnlib.runtime.environment import nvidia_driver

LOAD = "from fcnlib.runtime.compat import tf; tf.constant(1)"
# What TensorFlow 2.21 writes while it loads, before it heeds a level; the last line is made up.
SPOKEN = """WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795828956.581078    5934 port.cc:153] oneDNN custom operations are on.
E0000 00:00:1795828966.235638    5934 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA
E0000 00:00:1795828966.235639    5934 other.cc:7] a real error
"""
CRASH = "F0000 00:00:1795828966.235640    5934 cpu.cc:9] this machine has no AVX instructions"


def load(code=LOAD, path="", **variables):
    """Run code in a process that has no log level of ours; return its status and what it says."""
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | variables
    env["PYTHONPATH"] = os.pathsep.join([str(path), str(ROOT)])
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    return run.returncode, run.stderr


@pytest.fixture
def spoken(tmp_path):
    """A folder with a tensorflow that speaks and crashes."""
    code = f"import os, sys\nos.write(2, {SPOKEN.encode()!r})\nos.write(2, {CRASH.encode()!r})"
    (tmp_path / "tensorflow.py").write_text(f"{code}\nos.abort()\n")
    return tmp_path


def test_loading_says_nothing():
    assert load() == (0, "")


def test_a_notebook_begins_without_red_lines():
    # Under this name a kernel leaves what is written to its standard error alone.
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT), env=env)
    try:
        said = []
        reply = client.execute_interactive(LOAD, timeout=240, output_hook=said.append)
        assert reply["content"]["status"] == "ok"
        assert [m["content"] for m in said if m["msg_type"] == "stream"] == []
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_errors_and_the_last_words_of_a_crash_come_through(spoken):
    status, said = load(path=spoken)
    assert status == -6
    assert said.splitlines()[-2:] == [SPOKEN.splitlines()[-1], CRASH]
    assert len(said.splitlines()) == 2 + bool(nvidia_driver())


def test_who_asks_for_all_gets_all(spoken):
    status, said = load(path=spoken, TF_CPP_MIN_LOG_LEVEL="0")
    assert (status, said) == (-6, SPOKEN + CRASH)
