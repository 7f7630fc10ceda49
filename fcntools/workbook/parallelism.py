"""How notebooks that run at once share a machine: how many, and with how many threads each.

Measured on 2 cores, a training step of the thin network, median: alone, with TensorFlow's own
choice of threads, 134 ms; two processes that each choose for themselves 213 to 249 ms; two with one
thread an operation and two operations at once 153 to 166 ms.
"""

from __future__ import annotations

import os

from fcnlib.runtime.run_record import INTER, INTRA, machine, nvidia_driver

_ROOM = 6.0  # GiB of memory for two kernels and a browser


def at_once() -> int:
    """Return how many notebooks to run at once: two where there are cores and memory, and no GPU.

    A training fills a GPU by itself, and two halve its memory.
    """
    here = machine()
    return 2 if here["cores"] > 1 and here["memory_gib"] >= _ROOM and not nvidia_driver() else 1


def variables(processes: int) -> dict[str, str]:
    """Return the environment in which so many processes share the cores, {} for one alone.

    What the user has set stays.
    """
    if processes == 1 or INTRA in os.environ or INTER in os.environ:
        return {}
    return {INTRA: str(max(machine()["cores"] // processes, 1)), INTER: "2"}
