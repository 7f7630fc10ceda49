"""Check the machine and the environment before a run: `fcnlib doctor`, 10 to 40 seconds.

Only the standard library is imported here, so that the answer comes even where a package is
missing; TensorFlow is asked in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from typing import NamedTuple

from fcnlib.config import ROOT
from fcnlib.runtime.environment import nvidia_driver

NEEDED_GIB = 2.0  # the generated data, checkpoints and pages of a run, with room to spare
_REINSTALL = "run `make workbook`, or: python -m pip install -r requirements.txt -e ."
# All that a training needs, once: a network's variables, gradients, an optimizer's state.
_TENSORFLOW = """
import json, pathlib, tempfile
from fcnlib.runtime.compat import tf
from fcnlib import losses
from fcnlib.builders import build_fcn, describe_device
from fcnlib.config import Config
from fcnlib.training import Stage, Trainer
config, tiny = Config().replace(depth_multiplier=0.125, min_depth=4, warmup_steps=0), [2, 65, 65]
batch = {"image": tf.zeros([*tiny, 3]), "label": tf.zeros(tiny, tf.uint8), "index": tf.range(2)}
with tempfile.TemporaryDirectory() as folder:
    start = build_fcn(config, 3, 32), [Stage("all", 1, 1e-3)], lambda first, steps: [batch]
    loss = losses.objective(config.train, None)
    Trainer(*start, loss, config.train, pathlib.Path(folder), meta={}).run("step")
gpus = len(tf.config.list_physical_devices("GPU"))
print(json.dumps({"gpus": gpus, **describe_device("auto")}))
"""


class Check(NamedTuple):
    """One line of the doctor: what was looked at, whether it will do, what is there, what to do."""

    name: str
    ok: bool
    detail: str
    hint: str


def main() -> int:
    """Print every check and return the exit status: 1 where one failed, else 0."""
    found = checks()
    for name, ok, detail, hint in found:
        print(f"[OK]   {name}: {detail}" if ok else f"[FAIL] {name}: {detail}; {hint}")
    failed = sum(not check.ok for check in found)
    print(f"{failed} of {len(found)} checks failed" if failed else "everything a run needs is here")
    return int(failed > 0)


def checks() -> list[Check]:
    """Make every check, in the order in which a reader would repair them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known, detail = (3, 11) <= sys.version_info < (3, 14), f"{sys.version.split()[0]}, {sys.prefix}"
    hint = f"use one of {project['requires-python']}, without -O, which leaves out asserts"
    found = [Check("Python", known and __debug__, detail, hint)]
    found += [check_version(pin) for pin in project["dependencies"]]
    found += [check_version(pin, False) for pin in project["optional-dependencies"]["export"]]
    gib = shutil.disk_usage(ROOT).free / 2**30
    hint = "free some: results/runs and data/ hold what runs made"
    detail = f"{gib:.1f} GiB free, {NEEDED_GIB:.0f} wanted"
    found += [Check("disk", gib >= NEEDED_GIB, detail, hint)]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "1"}
    command = [sys.executable, "-c", _TENSORFLOW]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    answer = json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else None
    return found + check_tensorflow(answer, run.stderr, nvidia_driver())


def check_version(pin: str, needed: bool = True) -> Check:
    """Check that the installed version of a package is that of its pin, such as "numpy==2.4.6"."""
    name, _, wanted = pin.partition("==")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        version = ""
    tested = "" if version == wanted else f"; tested with {wanted}"
    detail = (version or "not installed") + tested + ("" if needed else ", for exports only")
    return Check(name, version == wanted or not (version or needed), detail, _REINSTALL)


def check_tensorflow(answer: dict | None, complaint: str, nvidia: str) -> list[Check]:
    """Return the checks that a training step can be taken, and that the GPU that is there is seen.

    Args:
        answer: "gpus", their number, and what `describe_device` says; None where no step was taken.
        complaint: what the attempt wrote to standard error.
        nvidia: the version of the machine's driver, empty where there is none.
    """
    if answer is None:
        hint = f"{_REINSTALL}; CUDA_VISIBLE_DEVICES=-1 leaves a GPU that fails out"
        return [Check("TensorFlow", False, complaint.strip().rpartition("\n")[2], hint)]
    seen = f"{answer['gpus']} seen by TensorFlow, NVIDIA driver: {nvidia or 'none'}"
    hint = 'python -m pip install "tensorflow[and-cuda]", or use environment-gpu.yml'
    facts = ", ".join(f"{key} {answer[key]}" for key in answer if key != "gpus" and answer[key])
    gpu = Check("GPU", answer["gpus"] > 0 or not nvidia, seen, hint)
    return [Check("TensorFlow", True, f"took a training step; {facts}", ""), gpu]
