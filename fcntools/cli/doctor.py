"""Check the machine and the environment before a run: `fcnlib doctor`.

Only the standard library is imported here, so that the answer comes even where a package is
missing; TensorFlow and Jupyter are asked in processes of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from fcnlib.config import ROOT
from fcnlib.runtime.environment import nvidia_driver

NEEDED_GIB = 2.0  # the generated data, checkpoints and pages of a run, with room to spare
_REINSTALL = "run `make workbook`, or: python -m pip install -r requirements.txt -e ."
_EXPORT = "python -m pip install -e '.[export]'"
# All that a training needs, once: a network's variables, gradients, an optimizer's state.
_TENSORFLOW = """
import json, pathlib, tempfile, warnings
warnings.simplefilter("ignore")
from fcnlib.runtime.compat import tf
print(json.dumps({"gpus": len(tf.config.list_physical_devices("GPU"))}), flush=True)
from fcnlib import losses
from fcnlib.builders import build_fcn, describe_device
from fcnlib.config import Config
from fcnlib.training import Stage, Trainer
config = Config().replace(depth_multiplier=0.125, min_depth=4, warmup_steps=0)
image, label = tf.random.uniform([2, 65, 65, 3], -1, 1), tf.zeros([2, 65, 65], tf.uint8)
batches = lambda first, steps: [{"image": image, "label": label, "index": tf.range(2)}]
with tempfile.TemporaryDirectory() as folder:
    start = build_fcn(config, 3, 32), [Stage("all", 1, 1e-3)], batches
    loss = losses.objective(config.train, None)
    Trainer(*start, loss, config.train, pathlib.Path(folder), meta={}).run("step")
print(json.dumps(describe_device(config.train.precision)))
"""
_KERNEL = """
import json
from jupyter_client.kernelspec import KernelSpecManager
spec = KernelSpecManager().get_kernel_spec("python3")
print(json.dumps({"program": spec.argv[0], "folder": spec.resource_dir}))
"""


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, whether it will do, what is there, what to do."""

    name: str
    ok: bool
    detail: str
    hint: str = ""

    def __str__(self) -> str:
        mark, hint = ("[OK]  ", "") if self.ok else ("[FAIL]", f"\n       {self.hint}")
        return f"{mark} {self.name}: {self.detail}{hint}"


def main() -> int:
    """Print every check and return the exit status: 1 where one failed, else 0."""
    found = checks()
    failed = sum(not check.ok for check in found)
    print(*found, sep="\n")
    print(f"{failed} of {len(found)} checks failed" if failed else "everything a run needs is here")
    return int(failed > 0)


def checks() -> list[Check]:
    """Make every check, in the order in which a reader would repair them: 10 to 40 seconds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = [check_interpreter(project["requires-python"], sys.version_info[:2])]
    found += [check_version(pin) for pin in project["dependencies"]]
    found += [
        check_version(pin, needed=False) for pin in project["optional-dependencies"]["export"]
    ]
    found += check_tensorflow(*_ask(_TENSORFLOW), nvidia_driver())
    gib = shutil.disk_usage(ROOT).free / 2**30
    hint = "free some: results/runs and data/ hold what runs made"
    detail = f"{gib:.1f} GiB free, {NEEDED_GIB:.0f} wanted"
    return [*found, Check("disk", gib >= NEEDED_GIB, detail, hint), check_kernel(*_ask(_KERNEL))]


def check_interpreter(supported: str, version: tuple[int, int]) -> Check:
    """Check that a Python version is in a range such as ">=3.11,<3.14", and that asserts count."""
    text = ".".join(map(str, version))
    if sys.flags.optimize:
        hint = "unset PYTHONOPTIMIZE, run without -O"
        return Check("interpreter", False, f"Python {text} leaves out every assert", hint)
    low, high = (tuple(map(int, v)) for v in re.findall(r"(\d+)\.(\d+)", supported))
    hint = f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    return Check("interpreter", low <= version < high, f"Python {text}, {sys.executable}", hint)


def check_version(pin: str, needed: bool = True) -> Check:
    """Check that the installed version of a package is that of its pin, such as "numpy==2.4.6"."""
    name, _, wanted = pin.partition("==")
    hint = _REINSTALL if needed else _EXPORT
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        said = f"not installed; tested with {wanted}"
        return Check(name, not needed, said if needed else f"{said}, for exports only", hint)
    tested = "" if version == wanted else f"; tested with {wanted}"
    return Check(name, version == wanted, version + tested, hint)


def check_tensorflow(answer: dict[str, Any], complaint: str, nvidia: bool) -> list[Check]:
    """Return the checks that TensorFlow loads, sees the GPU that is there, and trains a network.

    Args:
        answer: "gpus", their number, where it loads; what `describe_device` says after a step.
        complaint: what the attempt wrote to standard error.
        nvidia: whether the machine has a working NVIDIA driver.
    """
    if "gpus" not in answer:
        return [Check("TensorFlow", False, f"does not load: {_last(complaint)}", _REINSTALL)]
    seen = f"{answer['gpus']} seen" if answer["gpus"] else "none; runs use the CPU"
    gpu = Check("GPU", True, seen)
    if nvidia and not answer["gpus"]:
        words = [line for line in complaint.splitlines() if "GPU" in line or "dlopen" in line]
        hint = (
            f"TensorFlow says: {_last(chr(10).join(words))}\n       python -m pip install "
            '"tensorflow[and-cuda]", or use environment-gpu.yml; the CPU works meanwhile'
        )
        gpu = Check("GPU", False, "an NVIDIA driver is here, TensorFlow sees no GPU", hint)
    if "device" in answer:
        step = Check("training step", True, f"taken; {answer['device']}, {answer['computed_in']}")
    else:
        hint = "no training will run here; CUDA_VISIBLE_DEVICES=-1 leaves a GPU that fails out"
        step = Check("training step", False, f"failed: {_last(complaint)}", hint)
    return [Check("TensorFlow", True, "loads with tf-slim"), gpu, step]


def check_kernel(answer: dict[str, Any], complaint: str) -> Check:
    """Check that the kernel `python3` is this interpreter; its spec gives program and folder."""
    if not answer:
        return Check("kernel", False, f"no kernel python3: {_last(complaint)}", _REINSTALL)
    program = answer["program"]
    # Jupyter puts its own interpreter where a spec says just "python".
    if program in ("python", "python3", f"python3.{sys.version_info.minor}"):
        program = sys.executable
    hint = f"python -m ipykernel install --sys-prefix, or remove {answer['folder']}"
    ours = os.path.abspath(program) == os.path.abspath(sys.executable)
    return Check("kernel", ours, f"python3 is {program}", hint)


def _ask(code: str) -> tuple[dict[str, Any], str]:
    """Run code in a fresh interpreter; return the JSON objects that it printed, and its errors."""
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    env = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    answer: dict[str, Any] = {}
    for line in run.stdout.splitlines():
        answer |= json.loads(line) if line.startswith("{") else {}
    return answer, run.stderr or f"ended with status {run.returncode}"


def _last(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip() or "(nothing)"


if __name__ == "__main__":
    sys.exit(main())
