"""Unpacking: only plain files, only inside, whole or not at all, also after a kill."""

import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from fcnlib.errors import InputError
from fcnlib.unpacking import unpack

FILES = {"set/a.txt": b"one", "set/deep/b.txt": b"two" * 1000, "readme.txt": b"no"}


def write_tar(path, files=FILES, mode="w", extra=()):
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in extra:
            tar.addfile(entry)
    return path


def write_zip(path, files=FILES):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def tree(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def archives(tmp_path):
    yield write_tar(tmp_path / "a.tar")
    yield write_tar(tmp_path / "a.tgz", mode="w:gz")
    yield write_zip(tmp_path / "a.zip")


def test_every_kind_of_archive_and_a_folder_of_it(tmp_path):
    for number, archive in enumerate(archives(tmp_path)):
        unpack(archive, tmp_path / f"all{number}")
        assert tree(tmp_path / f"all{number}") == FILES
        unpack(archive, tmp_path / f"part{number}", "set")
        assert tree(tmp_path / f"part{number}") == {"a.txt": b"one", "deep/b.txt": b"two" * 1000}


def linked(kind, target):
    entry = tarfile.TarInfo("set/link")
    entry.type, entry.linkname = kind, target
    return [entry]


def bad_archives(tmp_path):
    yield "outside", write_tar(tmp_path / "1.tar", {"../evil": b""})
    yield "outside", write_tar(tmp_path / "2.tar", {"/tmp/evil": b""})
    yield "outside", write_zip(tmp_path / "3.zip", {"set/../../evil": b""})
    yield "link or a device", write_tar(tmp_path / "4.tar", extra=linked(tarfile.SYMTYPE, "/etc"))
    yield "link or a device", write_tar(tmp_path / "5.tar", extra=linked(tarfile.LNKTYPE, "a"))
    yield "link or a device", write_tar(tmp_path / "6.tar", extra=linked(tarfile.FIFOTYPE, ""))
    with zipfile.ZipFile(tmp_path / "7.zip", "w") as archive:
        entry = zipfile.ZipInfo("set/link")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    yield "link or a device", tmp_path / "7.zip"
    whole = write_tar(tmp_path / "8.tgz", {"set/a": bytes(range(256)) * 400}, "w:gz")
    whole.write_bytes(whole.read_bytes()[:-300])
    yield "damaged", whole
    whole = write_zip(tmp_path / "9.zip", {"set/a": bytes(range(256)) * 400})
    data = bytearray(whole.read_bytes())
    data[200] ^= 255
    whole.write_bytes(data)
    yield "damaged", whole
    (tmp_path / "10.zip").write_text("<html>404</html>")
    yield "damaged", tmp_path / "10.zip"
    yield "no folder", write_zip(tmp_path / "11.zip", {"other/a": b""})


def test_what_is_unsafe_or_broken_leaves_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for said, archive in bad_archives(tmp_path):
        with pytest.raises(InputError, match=said):
            unpack(archive, home / "out", "set" if "no folder" in said else ".")
        assert list(home.iterdir()) == [], archive


def test_what_is_there_is_not_touched(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with pytest.raises(InputError, match="is there already"):
        unpack(write_tar(tmp_path / "a.tar"), tmp_path / "out")
    assert tree(tmp_path / "out") == {"mine": b"x"}


def test_a_full_disk_is_told_before(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("U", (), {"free": 10})())
    with pytest.raises(InputError, match="make room"):
        unpack(write_tar(tmp_path / "a.tar"), tmp_path / "out")


SLOW = """
import shutil, sys, time
from pathlib import Path
from fcnlib import unpacking
copy = shutil.copyfileobj
def slow(*a):
    copy(*a); print("one", flush=True); time.sleep(60)
shutil.copyfileobj = slow
unpacking.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_unpacking_is_done_over(tmp_path):
    archive = write_tar(tmp_path / "a.tar")
    command = [sys.executable, "-c", SLOW, str(archive), str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "one\n"
        process.kill()
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.unpacking").is_dir()
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == FILES
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar", "out"]
