"""How a process learns that it is one of several: variables of its environment."""

from __future__ import annotations

import os

TF_CONFIG, SLURM_TASKS = "TF_CONFIG", "SLURM_STEP_NUM_TASKS"
LAUNCHED = "FCNLIB_LAUNCHED"  # in a process's environment: a pipe that ends with its launcher


def scheduled() -> bool:
    """Return whether whoever started this process says that it is one of several."""
    return TF_CONFIG in os.environ or os.environ.get(SLURM_TASKS, "1") != "1"
