"""Unpacking an archive from elsewhere: plain files only, inside the target, whole or not at all.

While it runs everything lies in `.NAME.unpacking` beside the target. A run that is killed leaves
that folder and the archive; the next one begins the unpacking again.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from fcnlib import progress
from fcnlib.errors import InputError

_BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError)


def unpack(archive: Path, target: Path, inner: str = ".") -> None:
    """Unpack a .tar, .tar.gz, .tgz or .zip file.

    Args:
        archive: the file.
        target: the folder to make; it appears when everything is there.
        inner: the folder of the archive to take, "." for everything in it.

    Raises:
        InputError: the target is there already, the disk lacks space, the archive is damaged, lacks
            `inner`, or holds a link, a device or a path that leads outside.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; move it away or choose another folder")
    half = target.with_name(f".{target.name}.unpacking")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(half, ignore_errors=True)
        _fill(archive, half, PurePosixPath(inner))
        if not half.is_dir():
            raise InputError(f"{archive}: has no folder {inner}; it is another archive")
        half.rename(target)
    except _BROKEN as error:
        raise InputError(f"{archive}: damaged ({error}); delete it and get it again") from None
    except OSError as error:
        raise InputError(f"{target}: cannot unpack here: {error.strerror or error}") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)


def _fill(archive: Path, folder: Path, inner: PurePosixPath) -> None:
    free, needed = shutil.disk_usage(folder.parent).free, archive.stat().st_size
    if needed > free:
        raise InputError(
            f"{folder.parent}: {free / 1e6:.0f} MB are free, over {needed / 1e6:.0f} "
            "MB are needed; make room or choose another folder"
        )
    members = _tar_files if tarfile.is_tarfile(archive) else _zip_files
    with progress.bar(1 if needed > 1e6 else 0, f"unpacking {archive.name}", "archive") as bar:
        for name, file in members(archive):
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise InputError(f"{archive}: {name!r} would lie outside the folder; refused")
            if path.is_relative_to(inner):
                place = folder / path.relative_to(inner)
                place.parent.mkdir(parents=True, exist_ok=True)
                with file, open(place, "xb") as copy:
                    shutil.copyfileobj(file, copy, 1 << 20)
        bar.update(1)


def _tar_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if not member.isfile() and not member.isdir():
                raise InputError(f"{archive}: {member.name!r} is a link or a device; refused")
            if member.isfile():
                yield member.name, tar.extractfile(member)


def _zip_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as packed:
        for member in packed.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise InputError(f"{archive}: {member.filename!r} is a link or a device; refused")
            if not member.is_dir():
                yield member.filename, packed.open(member)
