"""Getting the public data sets, from a local server and from an archive that is there already."""

import functools
import hashlib
import http.server
import io
import os
import subprocess
import sys
import threading
import time
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fcnlib import archives, cli
from fcnlib.archives import Archive
from fcnlib.config import ROOT
from fcnlib.errors import InputError


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
def known(archive, monkeypatch):
    """The table of archives with this one as CamVid, from a server on this machine."""
    handler = functools.partial(_Quiet, directory=archive.parent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{archive.name}"
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    counts = dict.fromkeys(("train", "val", "test"), 1)
    entry = Archive((url,), f"md5:{md5}", "repo/CamVid", "CamVid", counts)
    monkeypatch.setitem(archives.ARCHIVES, "camvid", entry)
    yield entry
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def get(target, *words):
    return CliRunner().invoke(
        cli.main, ["data", "download", "camvid", "--to", str(target), *map(str, words)]
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
    assert run.exit_code == 2 and "its md5 is" in run.output
    assert not (tmp_path / "to" / "CamVid").exists()


def test_a_set_with_images_missing_is_refused(known, tmp_path, monkeypatch):
    fewer = archives.ARCHIVES["camvid"].counts | {"test": 2}
    entry = Archive(known.urls, known.checksum, known.inner, known.folder, fewer)
    monkeypatch.setitem(archives.ARCHIVES, "camvid", entry)
    assert "test has 1 images, 2 belong to it" in get(tmp_path / "to").output


def test_an_unknown_name_lists_those_there(tmp_path):
    with pytest.raises(InputError, match="no download for 'coco'; there are: voc2012, sbd"):
        archives.obtain("coco", tmp_path)


def test_the_table_is_complete():
    assert set(archives.ARCHIVES) == {"voc2012", "sbd", "scene-parsing", "camvid"}
    for name, entry in archives.ARCHIVES.items():
        assert all(url.startswith(("http://", "https://")) for url in entry.urls)
        kind, _, digest = entry.checksum.partition(":")
        assert (kind, len(digest)) == ("md5", 32) or (name == "camvid" and not digest)
        assert entry.checksum or entry.counts, "something must tell a whole set from a part"


SLOW = """
import sys, time
from pathlib import Path
from fcnlib import archives, download
from fcnlib.archives import Archive
archives.ARCHIVES["camvid"] = Archive((sys.argv[1],), sys.argv[2], "repo/CamVid", "CamVid", {})
real = download.progress.bar
class Slow:
    def __enter__(self): return self
    def __exit__(self, *a): pass
    def update(self, n): time.sleep(60)
download.progress.bar = lambda *a, **k: Slow()
archives.obtain("camvid", Path(sys.argv[3]))
"""


def test_a_killed_download_goes_on(known, tmp_path):
    target = tmp_path / "to"
    command = [sys.executable, "-c", SLOW, known.urls[0], known.checksum, str(target)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
    part = target / "camvid.zip.partial"
    for _ in range(600):
        if part.exists() and part.stat().st_size:
            break
        time.sleep(0.1)
    process.kill()
    process.wait()
    had = part.stat().st_size
    assert 0 < had < 3 << 20 and not (target / "CamVid").exists()
    assert get(target).exit_code == 0
    assert [p.name for p in target.iterdir()] == ["CamVid"]
