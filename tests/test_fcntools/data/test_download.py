"""Downloads: a file is there whole and right, or it is not there, whatever the line does."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from http_server import serve

from fcnlib.config import ROOT
from fcnlib.errors import InputError
from fcnlib.runtime import files
from fcntools.data import download
from fcntools.data.download import Archive, fetch

DATA = random.Random(1).randbytes(3 * 2**20 + 12345)
MD5 = f"md5:{hashlib.md5(DATA).hexdigest()}"
SHA256 = f"sha256:{hashlib.sha256(DATA).hexdigest()}"


@pytest.fixture
def mirror():
    with serve({"/f.bin": DATA, "/other.bin": DATA[:-1]}) as server:
        yield server


@pytest.fixture
def get(mirror, tmp_path):
    """Fetch f.bin from the mirror, with what the test changes, and check what is left behind."""

    def run(*paths, checksum=SHA256):
        urls = [p if p.startswith("http") else mirror.url + p for p in paths or ("/f.bin",)]
        target = fetch(Archive(urls, "", checksum, ""), tmp_path / "new" / "f.bin")
        assert target.read_bytes() == DATA
        assert os.listdir(target.parent) == ["f.bin"]

    return run


def test_a_file_arrives_whole_once(get, mirror):
    get()
    get()
    assert mirror.asked == [""]  # the second time it was there
    mirror.files.clear()
    get(checksum=MD5)


@pytest.mark.parametrize(
    ("faults", "asked"),
    [
        (["cut"], ["", "half"]),
        (["cut", "cut", "cut"], ["", "half", "more", "more"]),
        (["wrong", "cut"], ["", "", "half"]),
        (["cut", "wrong"], ["", "half", ""]),  # which half was wrong? once more from the start
        (["cut", "no ranges"], ["", "half"]),
        (["missing"], ["", ""]),
    ],
)
def test_what_goes_wrong_is_made_good(get, mirror, faults, asked):
    mirror.faults = list(faults)
    get("/f.bin", "/f.bin")
    words = {"": "", "half": f"bytes={len(DATA) // 2}-"}
    assert len(mirror.asked) == len(asked) and not mirror.faults
    for found, expected in zip(mirror.asked, asked, strict=True):
        assert found == words[expected] if expected in words else found > words["half"]


def test_mirrors_are_asked_in_turn_and_continue_one_another(get, mirror, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f.bin.partial").write_bytes(DATA[:1000])
    get("http://127.0.0.1:1/f.bin", "/nothing.bin", "/f.bin")
    assert mirror.asked == ["bytes=1000-", "bytes=1000-"]


@pytest.mark.parametrize("rest", [DATA, DATA + b"more", b"x" * len(DATA), b"x" * 1000])
def test_any_remains_of_an_earlier_call_end_well(get, mirror, tmp_path, rest):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f.bin.partial").write_bytes(rest)
    get()


def test_when_every_mirror_fails_each_is_named_and_nothing_is_there(get, mirror, tmp_path):
    with pytest.raises(InputError) as caught:
        get("http://127.0.0.1:1/f.bin", "/nothing.bin", "/other.bin")
    said = str(caught.value)
    assert "127.0.0.1:1/f.bin: " in said and "refused" in said
    assert "/nothing.bin: HTTP Error 404" in said and "/other.bin: SHA256 hash of" in said
    assert "call again" in said and "\n" not in said
    assert os.listdir(tmp_path / "new") == []


def test_a_line_that_breaks_for_ever_is_given_up_and_what_came_is_kept(get, mirror, tmp_path):
    mirror.faults = ["cut"] * 50
    with pytest.raises(InputError, match="cut after"):
        get()
    assert len(mirror.asked) == download.ROUNDS
    part = (tmp_path / "new" / "f.bin.partial").read_bytes()
    assert len(part) > 0.9 * len(DATA) and DATA.startswith(part)
    mirror.faults.clear()
    get()
    assert mirror.asked[-1] == f"bytes={len(part)}-"


def test_a_full_disk_is_told_before_the_download(get, mirror, monkeypatch):
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * 10**6))
    with pytest.raises(InputError, match="2,000,000 bytes are free, 3,158,073 are needed"):
        get()


def test_two_do_not_write_into_one_download(get, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_PATIENCE", 0)
    (tmp_path / "new").mkdir()
    with (
        files.held(tmp_path / "new" / f"{files.OURS}f.bin.lock", "held"),
        pytest.raises(InputError, match=r"f\.bin: another process downloads it; wait for it"),
    ):
        get()
    assert mirror.asked == []
    get()


def test_another_file_of_that_name_is_not_overwritten(get, mirror, tmp_path):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "f.bin").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"f\.bin: its sha256 is .*; delete it"):
        get()
    assert (tmp_path / "new" / "f.bin").read_bytes() == b"mine" and mirror.asked == []


def test_a_file_had_by_other_means_is_checked_alike(tmp_path):
    path = tmp_path / "a.bin"
    with pytest.raises(InputError, match="no such file"):
        fetch(Archive((), "", MD5, ""), tmp_path / "new", path)
    path.write_bytes(DATA)
    assert fetch(Archive((), "", MD5, ""), tmp_path / "new", path) == path
    path.write_bytes(DATA[:-1] + b"!")
    for checksum in (MD5, SHA256):
        with pytest.raises(InputError, match=checksum.partition(":")[2]):
            fetch(Archive((), "", checksum, ""), tmp_path / "new", path)


def test_a_killed_download_goes_on_where_it_was(get, mirror, tmp_path):
    mirror.faults = ["slow"]
    target = tmp_path / "new" / "f.bin"
    code = "from fcntools.data.download import *; "
    code += f"fetch(Archive(('{mirror.url}/f.bin',), '', '{MD5}', ''), Path('{target}'))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    part, late = target.with_name("f.bin.partial"), time.monotonic() + 60
    while not (part.exists() and part.stat().st_size) and time.monotonic() < late:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    have = part.read_bytes()
    assert 0 < len(have) < len(DATA) and DATA.startswith(have) and not target.exists()
    get()
    assert mirror.asked == ["", f"bytes={len(have)}-"]
