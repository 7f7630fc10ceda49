"""Downloads that survive a bad line: mirrors in turn, resumed, checked, whole or not there.

What has come so far is kept as NAME.partial beside the target and continued by the next call,
from whichever mirror answers; the checksum decides in the end, whatever a server said.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import math
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from fcnlib.errors import InputError
from fcnlib.runtime import progress
from fcnlib.runtime.files import OURS, held

CHUNK = 2**20  # bytes
TIMEOUT = 30.0  # seconds without a byte
TRIES = 5  # continuations of one mirror before the next one is asked

# What is wrong here and not with the line: asking another mirror would not help.
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}


class _MirrorFailed(Exception):
    """Why one mirror did not give the file; the next one is asked."""


def fetch(
    urls: Sequence[str], target: Path, checksum: str, size: int | None = None, about: int = 0
) -> Path:
    """Download a file from the first mirror that gives it whole, or find it there already.

    Args:
        urls: the mirrors, best first.
        target: the file to write; it appears only when it is complete and right.
        checksum: "md5:HEX" or "sha256:HEX"; where none is known "zip", an archive that holds its
            own, or "", then `size` must be given.
        size: bytes, where known; a mirror that has another number is passed over.
        about: bytes, roughly: for the bar and the space where a server does not say how many.

    Returns:
        The target.

    Raises:
        InputError: every mirror failed (each is named with its reason), the disk lacks the space,
            a file of this name is there with another content, or another process downloads it.
    """
    if target.exists():
        verify(target, checksum, size)
        return target
    part = target.with_name(f"{target.name}.partial")
    lock = target.with_name(f"{OURS}{target.name}.lock")
    failures = []
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(lock, f"{target}: another process downloads it; wait for it"):
            for url in urls:
                try:
                    _complete(url, part, checksum, size, about)
                except _MirrorFailed as error:
                    failures.append(f"{url}: {error}")
                else:
                    os.replace(part, target)
                    return target
    except OSError as error:
        raise InputError(f"{target.parent}: {error.strerror}; choose another folder") from None
    raise InputError(
        f"no mirror gave {target.name}: {'; '.join(failures)}; call again later to continue, or "
        "download it by other means and name the file with --archive"
    )


def verify(path: Path, checksum: str, size: int | None = None) -> None:
    """Check that a file is the one that was published.

    Args:
        path: the file.
        checksum: as for `fetch`.
        size: bytes, where known.

    Raises:
        InputError: there is no such file, or it is another one.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    if fault := _fault(path, checksum, size):
        raise InputError(f"{path}: {fault}; delete it and get it again")


def _fault(path: Path, checksum: str, size: int | None) -> str:
    if size is not None and path.stat().st_size != size:
        return f"has {path.stat().st_size} bytes, not {size}"
    name, _, wanted = checksum.partition(":")
    if not name:
        return ""
    if name == "zip":
        return _zip_fault(path)
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, name).hexdigest()
    return "" if found == wanted else f"its {name} is {found}, not {wanted}"


def _zip_fault(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except Exception as error:  # whatever a broken one makes it stumble over
        with open(path, "rb") as file:
            return f"is no whole zip archive, it begins with {file.read(20)!r} ({error})"
    return f"its entry {broken} is damaged" if broken else ""


def _complete(url: str, part: Path, checksum: str, size: int | None, about: int) -> None:
    """Continue a partial file from one mirror until it is whole and right."""
    for _ in range(TRIES):
        before = _size(part)
        try:
            _continue(url, part, size, about)
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in _LOCAL:
                raise
            if _size(part) > before:
                continue
            raise _MirrorFailed(getattr(error, "reason", None) or error or "cut") from None
        fault = _fault(part, checksum, size)
        if not fault:
            with open(part, "rb") as file:
                os.fsync(file.fileno())
            return
        part.unlink()
        if not before:  # else the fault may be in what was there: once more from the start
            raise _MirrorFailed(fault)
    raise _MirrorFailed(f"the line broke {TRIES} times")


def _continue(url: str, part: Path, size: int | None, about: int) -> None:
    """Append what a mirror still has; OSError when the line breaks before the announced end."""
    have = _size(part)
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), None, TIMEOUT
        )
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return  # nothing is left to send; the checksum tells whether that is so
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from None
    with response:
        if response.headers.get_content_type() == "text/html":
            raise _MirrorFailed("sends a web page; a proxy or a login may be in between")
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # this server knows no ranges and sends everything
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise _MirrorFailed("sends another part than was asked for")
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else size
        if size is not None and total != size:
            raise _MirrorFailed(f"has {total} bytes, not {size}")
        expected = total or about
        _require_space(part.parent, expected - have)
        chunks = math.ceil(expected / CHUNK)
        bar = progress.bar(chunks, part.stem, "MiB", initial=min(have, expected) // CHUNK)
        with open(part, "ab" if have else "wb", buffering=0) as file, bar:
            while chunk := response.read(CHUNK):
                have += file.write(chunk)
                bar.update(1)
                if total is not None and have > total:
                    raise _MirrorFailed(f"sends more than {total} bytes")
    if total is not None and have < total:
        raise ConnectionError(f"cut after {have} of {total} bytes")


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{folder}: {free / 1e6:.0f} MB are free, {needed / 1e6:.0f} MB more are needed; "
            "make room or choose another folder"
        )
