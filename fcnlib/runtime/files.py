"""Atomic files, folders with one writer, and no remains of killed processes.

A file or folder is made under a hidden name beside its target, with a lock file that the system
frees when the process dies: a free lock marks remains.

Source: https://py-filelock.readthedocs.io
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fcnlib.errors import InputError

OURS = ".fcnlib."  # how the names of locks and of half-made things begin
RUN = "FCNLIB_RUN"  # in a process's environment: the run folder that its parent has locked
_LOCK = f"{OURS}lock"
_PATIENCE = 2.0  # seconds: a kernel outlives its killed run for a moment
_locked: set[Path] = set()  # by this process


@contextlib.contextmanager
def held(lock: Path, message: str) -> Iterator[None]:
    """Hold a lock file and remove it at the end; the lock ends with the process, too.

    Raises:
        InputError: `message` where another process holds it; or its folder cannot be written.
    """
    file = FileLock(lock, timeout=_PATIENCE)
    with _explained(lock.parent):
        try:
            file.acquire()
        except Timeout:
            raise InputError(message) from None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        file.release()


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run or of a network, so that no two processes write into it.

    The lock of a run's folder covers the networks in it, for this process and its kernels. A new
    folder is removed again where nothing was written.

    Raises:
        InputError: another process holds it, its run or a network in it; or it cannot be written.
    """
    folder = folder.resolve()
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    busy = "{}: another run is writing into it; wait, or give another --out (`out` in a notebook)"
    try:
        with held(folder / _LOCK, busy.format(folder)):
            # Its own lock first: of two that come at once, at least one sees the other's.
            inside = [lock.parent for lock in folder.glob(f"models/**/{_LOCK}")]
            for other in {*folder.parents, *inside} - _locked - {Path(os.environ.get(RUN, folder))}:
                if (other / _LOCK).exists():
                    with held(other / _LOCK, busy.format(other)):
                        pass
            _locked.add(folder)
            try:
                yield
            finally:
                _locked.remove(folder)
    finally:
        with contextlib.suppress(OSError):  # something is in it
            for place in new:
                place.rmdir()


@contextlib.contextmanager
def scratch(target: Path) -> Iterator[Path]:
    """Give a path to make a file or folder at, and remove what is still there at the end.

    It has the name of the target, to which the caller moves it, on its disk; nothing is there yet.
    """
    folder = target.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    _remove_remains(folder)
    own = folder / f"{OURS}{secrets.token_hex(6)}.partial"
    with held(own.with_suffix(".lock"), f"{own}: is in use"):
        try:
            own.mkdir()
            yield own / target.name
        finally:
            shutil.rmtree(own, ignore_errors=True)


@functools.cache  # once a process: there may be thousands of files
def _remove_remains(folder: Path) -> None:
    """Remove what killed processes left in a folder."""
    for lock in folder.glob(f"{OURS}*.lock"):
        # OSError, of which a timeout is one: of a living process, or of another user.
        with contextlib.suppress(OSError), FileLock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(".partial"), ignore_errors=True)
            os.unlink(lock)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write a file at, which takes its name once it is complete.

    A reader sees the old file or the new one, never a part. Its folder is made.

    Raises:
        InputError: it cannot be written, or the disk is full; an older file is kept.
    """
    with _explained(path), scratch(path) as part:
        yield part
        os.replace(part, path)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); free the disk or name another "
            "folder; an older file is as it was"
        ) from None


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8 atomically; undecodable bytes of file names are escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: NumPy values as numbers, NaN and infinity as null."""
    plain = lambda part: part.tolist() if hasattr(part, "tolist") else os.fspath(part)  # noqa: E731
    text = json.dumps(value, default=plain)
    value = json.loads(text, parse_constant=lambda name: None)  # JSON has no NaN
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON, or return None where the file is missing, unreadable or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
