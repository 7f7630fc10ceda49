"""Files that are whole or not there, folders with one writer, and no remains of killed processes.

Everything half-made lies in a hidden folder of its own beside its target, under a lock that dies
with its process. So a lock that can be had says that its process is gone, whatever its number was,
whose it was and in which container it ran.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fcnlib.errors import InputError

OURS = ".fcnlib."  # how the names of locks and of half-made things begin
RUN = "FCNLIB_RUN"  # in a process's environment: the run folder that its parent has locked
_LOCK = f"{OURS}lock"
_PATIENCE = 2.0  # seconds: others look at a lock for a moment, a kernel outlives its killed run so
_locked: set[Path] = set()  # by this process
_swept: set[Path] = set()


def _take(lock: Path) -> IO[bytes] | None:
    """Lock a file until it is closed or this process dies; None where it is another's."""
    file = lock.open("ab")
    # FileNotFoundError: who held it has removed it meanwhile; another file may have the name, too.
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            return file
    file.close()
    return None


@contextlib.contextmanager
def held(lock: Path, message: str) -> Iterator[None]:
    """Hold a lock file, which is there for no longer, also when the process dies.

    Raises:
        InputError: `message` where another holds it; or its folder cannot be written.
    """
    late = time.monotonic() + _PATIENCE
    with _explained(lock.parent):
        while (file := _take(lock)) is None:
            if time.monotonic() > late:
                raise InputError(message)
            time.sleep(0.05)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(lock)
        file.close()


@contextlib.contextmanager
def locked(folder: Path, wanted: bool = True) -> Iterator[None]:
    """Hold the folder of a run or of a network, so that no two processes write into it.

    Who holds a run's folder holds the networks in it, for itself and for the kernels it starts.

    Args:
        folder: made where it is missing, and removed again where nothing was written.
        wanted: False holds nothing, for a process that works beside the one that does.

    Raises:
        InputError: another process holds it, the run it is in or a network in it; or it cannot be
            written.
    """
    if not wanted:
        yield
        return
    folder = folder.resolve()
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    with _explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    said = "{}: another run is writing into it; wait, or give another --out (`out` in a notebook)"
    try:
        with held(folder / _LOCK, said.format(folder)):
            # Its own lock first: of two that come at once, at least one sees the other's.
            inside = [lock.parent for lock in folder.glob(f"models/**/{_LOCK}")]
            for other in {*folder.parents, *inside} - _locked - {Path(os.environ.get(RUN, folder))}:
                if (other / _LOCK).exists():
                    with held(other / _LOCK, said.format(other)):
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
    """Give a place to make a file or folder at, and remove what is left there in the end.

    What killed processes left beside the target is removed, too: hidden folders with a free lock.

    Args:
        target: what it will become; its folder is made where it is missing.

    Yields:
        A path of the same name on the same disk, of this call's own; there is nothing yet.
    """
    folder = target.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    if folder not in _swept:  # once: there may be thousands of files
        _swept.add(folder)
        for lock in folder.glob(f"{OURS}*.lock"):
            with contextlib.suppress(OSError):  # of another user
                if file := _take(lock):
                    shutil.rmtree(lock.with_suffix(".partial"), ignore_errors=True)
                    os.unlink(lock)
                    file.close()
    own = folder / f"{OURS}{secrets.token_hex(6)}.partial"
    with held(own.with_suffix(".lock"), f"{own}: is another's"):  # before there is anything
        try:
            own.mkdir()
            yield own / target.name
        finally:
            shutil.rmtree(own, ignore_errors=True)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a place to write a file at, which takes its path when it is whole.

    A reader of the path sees the old file or the new one, never a part. Its folder is made.

    Raises:
        InputError: it cannot be written, or the disk is full; an older file is kept.
    """
    path = Path(path)
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
    """Write text as UTF-8 by `replacing`; bytes of a file name that are no UTF-8 are escaped."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, value: Any) -> None:
    """Write JSON by `replacing`: NumPy values as numbers, NaN and infinity as null."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None  # JSON has no NaN; an absent class reads as null
    return value


def read_json(path: Path) -> Any:
    """Read JSON, or return None where the file is missing, unreadable or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
