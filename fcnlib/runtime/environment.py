"""What a process learns from its environment, without TensorFlow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

TF_CONFIG = "TF_CONFIG"
LAUNCHED = "FCNLIB_LAUNCHED"  # in a process's environment: a pipe that ends with its launcher


def scheduled() -> bool:
    """Return whether whoever started this process says that it is one of several."""
    return TF_CONFIG in os.environ


def nvidia_driver() -> bool:
    """Return whether the machine has a working NVIDIA driver."""
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
