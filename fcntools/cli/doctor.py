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
from pathlib import Path
from typing import Any

from fcnlib.config import ROOT
from fcnlib.runtime.environment import nvidia_driver

NEEDED_GIB = 2.0  # the generated data, checkpoints and pages of a run, with room to spare
CPU_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
_REINSTALL = "run `make workbook`, or: python -m pip install -r requirements.txt -e ."
_PROBE_SECONDS = 240  # importing TensorFlow on a busy machine
_TENSORFLOW = """
import json, warnings
warnings.simplefilter("ignore")
from fcnlib.runtime.compat import TESTED_TENSORFLOW, device_name, tf
gpus = len(tf.config.list_physical_devices("GPU"))
print(json.dumps([tf.__version__, TESTED_TENSORFLOW, gpus, device_name()]))
"""
# Everything that a training needs, once: a network's variables, gradients, an optimizer's state.
_STEP = """
import json, pathlib, tempfile
from fcnlib import losses
from fcnlib.builders import build_fcn, describe_device
from fcnlib.runtime.compat import tf
from fcnlib.config import Config
from fcnlib.training import Stage, Trainer
config = Config().replace(depth_multiplier=0.125, min_depth=4, warmup_steps=0)
network = build_fcn(config, 3, 32)
image, label = tf.random.uniform([2, 65, 65, 3], -1, 1), tf.zeros([2, 65, 65], tf.uint8)
batches = lambda first, steps: [{"image": image, "label": label, "index": tf.range(2)}]
with tempfile.TemporaryDirectory() as folder:
    Trainer(
        network, [Stage("all", 1, 1e-3)], batches, losses.objective(config.train, None),
        config.train, pathlib.Path(folder), meta={},
    ).run("step")
print(json.dumps(describe_device(config.train.precision)))
"""
_KERNEL = """
import json
from jupyter_client.kernelspec import KernelSpecManager
spec = KernelSpecManager().get_kernel_spec("python3")
print(json.dumps([spec.argv[0], spec.resource_dir]))
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


def checks() -> list[Check]:
    """Look at interpreter, versions, TensorFlow, GPU, a training step, CPU, disk and kernel.

    Returns:
        The checks in the order in which a reader would repair them; TensorFlow in two other
        processes takes most of the 15 to 40 seconds.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    python = sys.version_info[:2], sys.flags.optimize
    found = [check_interpreter(project["requires-python"], *python)]
    found += [check_version(pin) for pin in project["dependencies"]]
    answer, complaint = _ask(_TENSORFLOW)
    found += check_tensorflow(answer, complaint, nvidia_driver())
    found += [check_step(*_ask(_STEP))] if answer else []
    found += [check_cpu(_read("/proc/cpuinfo")), check_disk(shutil.disk_usage(ROOT).free)]
    return [*found, check_kernel(*_ask(_KERNEL))]


def main() -> int:
    """Print every check and return the exit status: 1 where one failed, else 0."""
    found = checks()
    for check in found:
        print(check)
    failed = sum(not check.ok for check in found)
    print(f"{failed} of {len(found)} checks failed" if failed else "everything a run needs is here")
    return int(failed > 0)


def check_interpreter(supported: str, version: tuple[int, int], optimize: int) -> Check:
    """Check the Python version, and that asserts are not left out.

    Args:
        supported: such as ">=3.11,<3.14".
        version: (major, minor) of the interpreter.
        optimize: `sys.flags.optimize`.

    Returns:
        The check; its detail names the interpreter's path.
    """
    low, high = (tuple(map(int, v)) for v in re.findall(r"(\d+)\.(\d+)", supported))
    text = ".".join(map(str, version))
    if optimize:
        hint = "unset PYTHONOPTIMIZE, run without -O"
        return Check("interpreter", False, f"Python {text} leaves out every assert", hint)
    hint = f"use Python {low[0]}.{low[1]} to {high[0]}.{high[1] - 1}"
    return Check("interpreter", low <= version < high, f"Python {text}, {sys.executable}", hint)


def check_version(pin: str) -> Check:
    """Check that the installed version of a package is the tested one, without importing it.

    Args:
        pin: such as "numpy==2.4.6", as pyproject.toml has it.

    Returns:
        The check, named after the package.
    """
    name, _, wanted = pin.partition("==")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, False, f"not installed; tested with {wanted}", _REINSTALL)
    if version == wanted:
        return Check(name, True, version)
    return Check(name, False, f"{version}; tested with {wanted}", _REINSTALL)


def check_tensorflow(answer: Any, complaint: str, nvidia: bool) -> list[Check]:
    """Check that TensorFlow and tf-slim load in a tested release, and list the GPUs.

    Args:
        answer: [version, tested minor version, number of GPUs, device name]; None where the import
            failed.
        complaint: what the import wrote to standard error.
        nvidia: whether the machine has a working NVIDIA driver.

    Returns:
        The checks "TensorFlow" and, where it loads, "GPU".
    """
    if answer is None:
        return [Check("TensorFlow", False, f"does not load: {_last(complaint)}", _REINSTALL)]
    version, tested, gpus, device = answer
    minor = ".".join(version.split(".")[:2])
    detail = f"{version} loads with tf-slim; tested with {tested}"
    found = [Check("TensorFlow", minor == tested, detail, _REINSTALL)]
    if gpus:
        return [*found, Check("GPU", True, f"{gpus} seen; first {device}")]
    if not nvidia:
        return [*found, Check("GPU", True, "none; runs use the CPU")]
    lines = [line for line in complaint.splitlines() if "GPU" in line or "dlopen" in line]
    hint = (
        f"TensorFlow says: {_last(chr(10).join(lines))}\n       python -m pip install "
        f'"tensorflow[and-cuda]=={version}", or use environment-gpu.yml; the CPU works meanwhile'
    )
    return [*found, Check("GPU", False, "an NVIDIA driver is here, TensorFlow sees no GPU", hint)]


def check_step(answer: Any, complaint: str) -> Check:
    """Check that a network can be trained on the device that TensorFlow chooses.

    Args:
        answer: what `builders.describe_device` says after a step of training; None where it failed.
        complaint: what the attempt wrote to standard error.

    Returns:
        The check.
    """
    if answer is None:
        hint = "no training will run here; CUDA_VISIBLE_DEVICES=-1 leaves a GPU that fails out"
        return Check("training step", False, f"failed: {_last(complaint)}", hint)
    facts = [f"{key} {answer[key]}" for key in ("driver", "cuda", "cudnn") if answer.get(key)]
    where = ", ".join([answer["device"], answer["computed_in"], *facts])
    return Check("training step", True, f"taken; {where}")


def check_cpu(cpuinfo: str) -> Check:
    """Say which vector units the processor has; they decide the speed and nothing else.

    Args:
        cpuinfo: the text of /proc/cpuinfo, empty on other systems than Linux.

    Returns:
        A check that never fails.
    """
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo, re.M)
    words = set(flags[1].split()) if flags else set()
    has = [name for name in CPU_FEATURES if name in words]
    lacks = [name for name in CPU_FEATURES if name not in words]
    detail = f"{os.cpu_count()} cores; has {', '.join(has) or 'none'}"
    detail += f"; lacks {', '.join(lacks)}" if lacks else ""
    return Check("CPU", True, detail if flags else f"{os.cpu_count()} cores; features not known")


def check_disk(free: int) -> Check:
    """Check the room for a run.

    Args:
        free: bytes free where the project lies.

    Returns:
        The check.
    """
    gib = free / 2**30
    hint = "free some: results/runs and data/ hold what runs made"
    return Check("disk", gib >= NEEDED_GIB, f"{gib:.1f} GiB free, {NEEDED_GIB:.0f} wanted", hint)


def check_kernel(answer: Any, complaint: str) -> Check:
    """Check that notebooks opened in JupyterLab get this interpreter as their kernel.

    Args:
        answer: [first word of the command, folder] of Jupyter's kernel spec `python3`; None where
            Jupyter could not be asked.
        complaint: what it wrote to standard error.

    Returns:
        The check.
    """
    if answer is None:
        return Check("kernel", False, f"no kernel python3: {_last(complaint)}", _REINSTALL)
    program, folder = answer
    # Jupyter puts its own interpreter where a spec says just "python".
    generic = program in ("python", "python3", f"python3.{sys.version_info.minor}")
    ours = generic or os.path.abspath(program) == os.path.abspath(sys.executable)
    hint = f"python -m ipykernel install --sys-prefix, or remove {folder}"
    return Check("kernel", ours, f"python3 is {sys.executable if generic else program}", hint)


def _ask(code: str) -> tuple[Any, str]:
    """Run code in a fresh interpreter; return (its last line read as JSON or None, its errors)."""
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
    env = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "1"}
    command = [sys.executable, "-c", code]
    try:
        run = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {_PROBE_SECONDS} seconds"
    answer = json.loads(run.stdout.splitlines()[-1]) if run.returncode == 0 else None
    return answer, run.stderr or f"ended with status {run.returncode}"


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "(nothing)"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
