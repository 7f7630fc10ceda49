"""Getting the public data sets, from a local server and from an archive that is there already."""

import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from http_server import serve
from PIL import Image

from fcnlib.config import ROOT
from fcnlib.errors import InputError
from fcntools.cli import main
from fcntools.data import download
from fcntools.data.download import Archive


def png(array):
    data = io.BytesIO()
    Image.fromarray(array).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def archive(tmp_path):
    """A small archive in CamVid's layout, with some bulk so that a download takes chunks."""
    path = tmp_path / "served" / "camvid.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as packed:
        for split in ("train", "val", "test"):
            packed.writestr(f"repo/CamVid/{split}.txt", f"{split}0.png\n")
            picture, mask = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8)
            packed.writestr(f"repo/CamVid/{split}/{split}0.png", png(picture))
            packed.writestr(f"repo/CamVid/{split}annot/{split}0.png", png(mask))
        packed.writestr("repo/CamVid/bulk.bin", os.urandom(3 << 20))
    return path


@pytest.fixture
def mirror(archive):
    with serve({"/camvid.zip": archive.read_bytes()}) as server:
        yield server


@pytest.fixture
def known(archive, mirror, monkeypatch):
    """The table of archives with this one as CamVid, from a server on this machine."""
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    urls = (f"{mirror.url}/",)
    entry = Archive(urls, "camvid.zip", f"sha256:{sha256}", "repo/CamVid", "CamVid")
    monkeypatch.setitem(download.ARCHIVES, "camvid", entry)
    return entry


def get(target, *words):
    return CliRunner().invoke(
        main.main, ["data", "download", "camvid", "--to", str(target), *map(str, words)]
    )


def test_a_data_set_is_downloaded_unpacked_and_counted(known, tmp_path):
    run = get(tmp_path / "to")
    assert run.exit_code == 0, run.output
    assert "1 train" in run.output and "1 test" in run.output
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["CamVid"]
    (tmp_path / "to" / "CamVid" / "mine").write_text("x")
    assert get(tmp_path / "to").exit_code == 0, "a second call finds it there"
    assert (tmp_path / "to" / "CamVid" / "mine").is_file()


def test_an_archive_that_is_there_is_taken_and_kept(known, archive, tmp_path):
    run = get(tmp_path / "to", "--archive", archive)
    assert run.exit_code == 0 and archive.is_file()


def test_another_archive_is_refused(known, archive, tmp_path):
    other = tmp_path / "other.zip"
    other.write_bytes(archive.read_bytes()[:-1] + b"x")
    run = get(tmp_path / "to", "--archive", other)
    assert run.exit_code == 2 and "its sha256 is" in run.output
    assert not (tmp_path / "to" / "CamVid").exists()


def test_an_unknown_name_lists_those_there(tmp_path):
    with pytest.raises(InputError, match="no download for 'coco'; there are: voc2012, sbd"):
        download.obtain("coco", tmp_path)


def test_the_table_is_complete():
    assert set(download.ARCHIVES) == {"voc2012", "sbd", "scene-parsing", "camvid"}
    for name, entry in download.ARCHIVES.items():
        assert all(url.startswith(("http://", "https://")) for url in entry.mirrors)
        kind, _, digest = (entry.checksum or "").partition(":")
        assert (kind, len(digest)) == ("md5", 32) or name == "camvid"


@pytest.fixture
def unsigned(known, monkeypatch):
    """The same without a published checksum, as CamVid is."""
    entry = known._replace(checksum=None)
    monkeypatch.setitem(download.ARCHIVES, "camvid", entry)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("page", "sends a web page"),
        ("<html>", "cannot be unpacked (file could not be opened"),
        ("damaged", "cannot be unpacked (Bad CRC-32 for file 'repo/CamVid/bulk.bin')"),
        ("cut, no length", "cannot be unpacked"),
    ],
)
def test_without_a_checksum_only_a_whole_archive_counts(
    unsigned, mirror, archive, tmp_path, fault, said
):
    data = whole = archive.read_bytes()
    if fault == "damaged":
        middle = len(data) // 2
        data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    elif fault == "cut, no length":
        data, mirror.faults = data[:-1000], ["no length"]
    elif fault == "<html>":
        data = b"<html>"
    else:
        mirror.faults = [fault]
    mirror.files["/camvid.zip"] = data
    run = get(tmp_path / "to")
    assert run.exit_code == 2 and said in run.output and "camvid" in run.output
    assert "Traceback" not in run.output and not (tmp_path / "to/CamVid").exists()
    if fault != "page":
        assert "delete it and get it again" in run.output
        (tmp_path / "to/camvid.download").unlink()
    mirror.files["/camvid.zip"] = whole
    assert get(tmp_path / "to").exit_code == 0


def test_a_page_instead_of_the_rest_leaves_what_has_come(unsigned, mirror, archive, tmp_path):
    part = tmp_path / "to" / "camvid.download.partial"
    part.parent.mkdir()
    part.write_bytes(archive.read_bytes()[:1000])
    mirror.faults = ["page"]
    assert "web page" in get(tmp_path / "to").output and part.stat().st_size == 1000
    assert get(tmp_path / "to").exit_code == 0 and mirror.asked[-1] == "bytes=1000-"


def test_a_file_of_the_users_own_is_left_alone(known, archive, tmp_path):
    mine = tmp_path / "to" / "camvid.zip"
    mine.parent.mkdir()
    shutil.copy(archive, mine)
    assert get(tmp_path / "to").exit_code == 0 and mine.is_file()


def test_voc_2012_comes_beside_another_year(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "voc.tar", "w") as packed:
        for name, data in {
            "ImageSets/Segmentation/train.txt": b"a",
            "JPEGImages/a.png": png(np.zeros((4, 4, 3), np.uint8)),
            "SegmentationClass/a.png": png(np.zeros((4, 4), np.uint8)),
        }.items():
            entry = tarfile.TarInfo(f"VOCdevkit/VOC2012/{name}")
            entry.size = len(data)
            packed.addfile(entry, io.BytesIO(data))
    digest = hashlib.md5((tmp_path / "voc.tar").read_bytes()).hexdigest()
    known = download.ARCHIVES["voc2012"]
    entry = known._replace(checksum=f"md5:{digest}")
    monkeypatch.setitem(download.ARCHIVES, "voc2012", entry)
    (tmp_path / "VOCdevkit" / "VOC2011").mkdir(parents=True)
    dataset = download.obtain("voc2012", tmp_path, tmp_path / "voc.tar")
    assert dataset.root == tmp_path / "VOCdevkit" / "VOC2012" and dataset.counts() == {"train": 1}
    assert sorted(p.name for p in dataset.root.parent.iterdir()) == ["VOC2011", "VOC2012"]


# What a child does at a moment of `obtain` instead of what belongs there: kill -9 to itself.
MOMENTS = {
    "in mid-download": "progress._Bar.update = die",
    "before the archive is whole": "os.replace = die",
    "before unpacking": "download.unpack = die",
    "between two files": "ZipFile._extract_member = second(ZipFile._extract_member)",
    "in the middle of a file": "shutil.copyfileobj = die",
    "before the folder is whole": "os.rename = of_folders(os.rename)",
    "before the archive is deleted": "Path.unlink = die",
}
CHILD = """
import dataclasses, os, shutil, signal, sys
from zipfile import ZipFile
from pathlib import Path
from fcnlib.runtime import progress
from fcntools.data import download
progress.bar = lambda *a, **k: progress._Bar(disable=True)
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def second(call, seen=[]): return lambda *a: die() if seen else seen.append(1) or call(*a)
def of_folders(call): return lambda a, b: die() if os.path.isdir(a) else call(a, b)
{}
download.ARCHIVES["camvid"] = download.Archive(
    (sys.argv[1],), "camvid.zip", sys.argv[2], "repo/CamVid", "CamVid"
)
download.obtain("camvid", Path(sys.argv[3]))
"""


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_leaves_what_the_next_call_completes(known, mirror, archive, tmp_path, moment):
    target = tmp_path / "to"
    code = CHILD.format(MOMENTS[moment])
    command = [sys.executable, "-c", code, known.mirrors[0], known.checksum, str(target)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    run = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True)
    assert run.returncode == -signal.SIGKILL, run.stderr
    left, done = sorted(p.name for p in target.iterdir()), moment == "before the archive is deleted"
    assert ("CamVid" in left) == done, "half of a data set may not pass for one"
    part = target / "camvid.download.partial"
    had = part.stat().st_size if part.exists() else 0
    assert get(target).exit_code == 0
    assert [p.name for p in target.iterdir()] == ["CamVid"]
    with zipfile.ZipFile(archive) as packed:
        for entry in packed.infolist():
            name = entry.filename.removeprefix("repo/")
            assert (target / name).read_bytes() == packed.read(entry)
    if moment == "in mid-download":
        assert 0 < had < archive.stat().st_size and mirror.asked == ["", f"bytes={had}-"]
    else:
        assert len([asked for asked in mirror.asked if not asked]) == 1, "it came once"
