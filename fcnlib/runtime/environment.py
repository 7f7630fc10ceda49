"""What a process learns from its environment, without TensorFlow."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path

TF_CONFIG = "TF_CONFIG"  # in a process's environment: it is one of several
LAUNCHED = "FCNLIB_LAUNCHED"  # in a process's environment: a pipe that ends with its launcher


def nvidia_driver() -> str:
    """Return the version of the machine's NVIDIA driver, "" where there is none."""
    with contextlib.suppress(OSError):
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
        return next(iter(re.findall(r"\b\d{3,}\.\d[\d.]*", text)), "unknown")
    return "unknown" if shutil.which("nvidia-smi") else ""
