"""One writer a folder: a lock that dies with its process, and no remains of killed ones."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from fcnlib.errors import InputError

_LOCK = ".lock"


@contextlib.contextmanager
def locked(out: Path, wanted: bool = True) -> Iterator[None]:
    """Hold the folder of a run, so that two runs never write into one.

    Args:
        out: the folder; it is made where it is missing.
        wanted: False holds nothing, for a process that works beside the one that does.

    Yields:
        Nothing; the lock is dropped at the end, also when the process dies.

    Raises:
        InputError: another process holds it.
    """
    if not wanted:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    with open(out / _LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{out}: another run is writing into it; wait, or give --out"
            ) from None
        yield


def scratch(folder: Path) -> Path:
    """Name a place of this process's own beside a folder, and remove those of killed processes.

    Args:
        folder: absolute; what is made at the place will become it.

    Returns:
        The place; there is nothing.
    """
    stem = f"{folder.name}.partial.{platform.node()}."
    for old in folder.parent.glob(f"{glob.escape(stem)}*"):
        try:
            os.kill(int(old.name.removeprefix(stem)), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
    return folder.with_name(f"{stem}{os.getpid()}")
