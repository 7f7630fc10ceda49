"""What a process learns from its environment, without TensorFlow."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path

TF_CONFIG = "TF_CONFIG"
LAUNCHED = "FCNLIB_LAUNCHED"  # in a process's environment: a pipe that ends with its launcher


def scheduled() -> bool:
    """Return whether whoever started this process says that it is one of several."""
    return TF_CONFIG in os.environ


def nvidia_driver() -> str:
    """Return the version of the machine's NVIDIA driver, "" where there is none."""
    with contextlib.suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        return next(iter(re.findall(r"\b\d{3,}\.\d[\d.]*", text)), "unknown")
    return "unknown" if shutil.which("nvidia-smi") else ""
