"""Unpack archives of strangers: plain files below one folder, or nothing at all."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from fcnlib.errors import InputError
from fcnlib.runtime.files import scratch

_ENTRY = 512  # bytes that any entry counts, so that a million empty files are too much as well
_DAMAGED = (
    *(OSError, EOFError, RuntimeError, UnicodeError, MemoryError),
    *(zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
)


def unpack(archive: Path, folder: Path, limit: int, inner: str = ".") -> Path:
    """Unpack a zip or tar archive into a new folder.

    It is unpacked beside it and renamed, so the folder is complete if it is there; after a kill the
    next call begins anew. Owners, modes and times of the archive are left out.

    Args:
        archive: .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, told by its content.
        folder: to make; must not exist.
        limit: bytes that the files may have in all.
        inner: the folder of the archive to take, "." for everything in it.

    Returns:
        The folder.

    Raises:
        InputError: the archive is damaged, larger than the limit or the disk, lacks `inner`, or
            holds anything but files and folders below its own root; or the folder exists.
    """
    if folder.exists():
        raise InputError(f"{folder}: exists already; delete it to unpack {archive.name} again")
    try:
        with scratch(folder) as part:
            part.mkdir()
            free, needed = shutil.disk_usage(part).free, archive.stat().st_size
            if needed > free:
                raise InputError(
                    f"{folder.parent}: {free / 1e6:.0f} MB are free, over {needed / 1e6:.0f} MB "
                    "are needed; make room or choose another folder"
                )
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as opened:
                    _write(_zip_entries(opened), part, limit, archive, inner)
            else:
                with tarfile.open(archive) as opened:
                    _write(_tar_entries(opened), part, limit, archive, inner)
            if not any(part.iterdir()):
                raise InputError(f"{archive}: has no folder {inner}; it is another archive")
            os.rename(part, folder)
    except _DAMAGED as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{archive}: cannot be unpacked ({reason}); get it again") from None
    return folder


_Entries = Iterator[tuple[str, Callable[[], IO[bytes]] | None]]


def _zip_entries(archive: zipfile.ZipFile) -> _Entries:
    for entry in archive.infolist():
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InputError(
                f"{archive.filename}: {entry.filename!r} is a link or a device; refused"
            )
        yield entry.filename, None if entry.filename.endswith("/") else partial(archive.open, entry)


def _tar_entries(archive: tarfile.TarFile) -> _Entries:
    for entry in archive:
        if not (entry.isreg() or entry.isdir()):
            raise InputError(f"{archive.name}: {entry.name!r} is a link or a device; refused")
        yield entry.name, None if entry.isdir() else partial(archive.extractfile, entry)
    # tarfile takes a broken header for the end; the true one is zeros, and after a compressed one
    # stands a checksum that only reading to the end checks.
    rest = archive.fileobj.read(_ENTRY)
    if not rest or any(rest) or any(map(any, iter(lambda: archive.fileobj.read(2**16), b""))):
        raise tarfile.ReadError("it breaks off in the middle")


def _write(entries: _Entries, folder: Path, limit: int, archive: Path, inner: str) -> None:
    for name, opener in entries:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
            raise InputError(f"{archive}: {name!r} would be written elsewhere; refused")
        limit -= _ENTRY
        if not path.is_relative_to(inner):
            continue
        target = folder / path.relative_to(inner)
        if opener is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            # "x": a second entry of the same name is a fault, not a correction.
            with opener() as source, open(target, "xb") as file:
                while limit >= 0 and (chunk := source.read(2**20)):
                    limit -= file.write(chunk)
        if limit < 0:
            raise InputError(f"{archive}: unpacks to more than it should; not the published file")
