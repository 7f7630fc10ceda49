"""The record beside every result: command, settings, commit, versions, machine, seed, time.

A record names no host and no absolute path (paths count from the project's root), so it can be
committed and shared.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from fcnlib.config import ROOT, Config, is_path

COMMAND_VARIABLE = "FCNLIB_COMMAND"
# TensorFlow's own; where they are set they decide the speed and the last bits.
INTRA, INTER = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
_PACKAGES = (
    "tensorflow tf-slim keras numpy pillow pandas matplotlib ipywidgets papermill jupyterlab "
    "nvidia-cuda-runtime-cu12 nvidia-cudnn-cu12"
)
_CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
# What decides the numbers: an edited README or a new result does not make a run "dirty".
_SOURCES = ("fcnlib", "fcntools", "notebooks", "data/pretrained", "requirements.lock")


class Start(NamedTuple):
    """The beginning of a run: the time, and `git_state` of the code that runs."""

    clock: float
    code: tuple[str | None, bool | None]


def start() -> Start:
    """Return the present moment, from which `capture` counts, and the code that will run."""
    return Start(time.time(), git_state(ROOT))


def capture(
    config: Config,
    *,
    started: Start,
    device: Mapping[str, str | None],
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a run that is ending now, ready for JSON.

    Args:
        config: its settings.
        started: from `start`, taken when the run began; the commit is that of then.
        device: what it computed on, from `builders.describe_device`.
        extra: further keys, which win over the others.
    """
    (commit, dirty), settings = started.code, config.to_dict()
    settings |= {k: relative(config.path(k)) for k, v in settings.items() if v and is_path(k)}
    return {
        "command": command(),
        "config": settings,
        "seed": config.train.seed,
        **device,
        "commit": commit,
        "dirty": dirty,
        "versions": versions(),
        "machine": machine(),
        "threads": {name: os.environ[name] for name in (INTRA, INTER) if name in os.environ},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started.clock)),
        "wall_seconds": round(time.time() - started.clock, 1),
        **(extra or {}),
    }


def relative(path: Path | str) -> str:
    """Return a path as seen from the project's root, with `..` where it lies outside."""
    return os.path.relpath(path, ROOT)


def command() -> str:
    """Return the command line that started the run or its kernel, without absolute paths."""
    if COMMAND_VARIABLE in os.environ:
        return os.environ[COMMAND_VARIABLE]
    program = Path(sys.argv[0])
    if program.name.startswith(("ipykernel", "colab_kernel")):
        return "jupyter lab"
    words = ["fcnlib" if "fcnlib" in program.parts[-2:] else program.name]
    for word in sys.argv[1:]:
        key, equals, value = word.rpartition("=")
        words.append(f"{key}{equals}{relative(value)}" if value.startswith("/") else word)
    return shlex.join(words)


def versions() -> dict[str, str]:
    """Return {"python": ..., package: version} of the packages that decide a result."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES.split():
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def machine() -> dict[str, Any]:
    """Return the system, processor and its vector extensions, usable cores, memory (GiB)."""
    first_core = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    pairs = (line.partition(":") for line in first_core.splitlines())
    facts = {key.strip(): value.strip() for key, _, value in pairs}
    flags = facts.get("flags", "").split()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": facts.get("model name", platform.machine()),
        "cpu_flags": [flag for flag in _CPU_FLAGS if flag in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
    }


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Return the commit of a checkout, 40 hex digits, and whether its sources differ from it.

    Return (None, None) where `root` is not the top folder of a checkout with a commit.
    """
    git = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True, check=True)
    try:
        inside, commit = git(["git", "rev-parse", "--show-prefix", "HEAD"]).stdout.splitlines()
        if inside:  # installed in a folder of another checkout
            return None, None
        return commit, bool(git(["git", "status", "--porcelain", "--", *_SOURCES]).stdout)
    except (OSError, subprocess.SubprocessError):
        return None, None
