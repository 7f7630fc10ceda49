"""Files whole or not there, one writer a folder, remains of the dead removed, the living left."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from fcnlib.config import ROOT
from fcnlib.errors import InputError
from fcnlib.runtime import files


def test_json_has_numbers_for_arrays_and_null_for_nan(tmp_path):
    value = {"iou": np.array([0.5, np.nan]), "n": np.int64(3), "inf": float("inf"), "t": (1, True)}
    files.write_json(tmp_path / "new" / "a.json", value)
    text = (tmp_path / "new" / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"iou": [0.5, None], "n": 3, "inf": None, "t": [1, True]}


@pytest.mark.parametrize("where", ["replace", "serialize"])
def test_a_write_that_fails_leaves_the_old_file_and_no_part(tmp_path, monkeypatch, where):
    path = tmp_path / "a.json"
    files.write_json(path, {"a": 1})

    def fail(*_):
        raise OSError("disk full")

    if where == "replace":
        monkeypatch.setattr(os, "replace", fail)
    expected = pytest.raises(InputError, match=r"a\.json: cannot be written \(disk full\)")
    with expected if where == "replace" else pytest.raises(TypeError):
        files.write_json(path, {"a": object() if where == "serialize" else 2})
    assert files.read_json(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_reading_what_is_no_json_gives_none(tmp_path):
    (tmp_path / "a.json").write_text("{half")
    assert files.read_json(tmp_path / "a.json") is None
    assert files.read_json(tmp_path / "missing.json") is None


def test_two_that_write_one_file_do_not_meet(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")  # as long as a name may be
    with files.replacing(path) as one:
        one.write_text("one, in the middle of it")
        with files.replacing(path) as other:
            other.write_text("the other")
        assert path.read_text() == "the other"
    assert path.read_text() == "one, in the middle of it"
    assert list(tmp_path.iterdir()) == [path]


CHILD = """
import os, signal, sys
from pathlib import Path
from fcnlib.runtime import files
files._PATIENCE = 0
with files.{}(Path(sys.argv[1])) as place:
    if place:
        place.mkdir(), (place / "half").touch()
    print(os.getpid(), flush=True)
    {}
"""
WAIT, DIE = "sys.stdin.read()", "os.kill(os.getpid(), signal.SIGKILL)"


def child(what, path, then=WAIT, **environment):
    """Start a process that is in the middle of something, or died of kill -9 there."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(what, then), str(path)],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() or then == DIE or process.wait() == 1
    if then == DIE:
        leave(process)
        assert process.returncode == -signal.SIGKILL
    return process


def leave(process):
    return process.communicate()[1].splitlines()


@pytest.fixture
def at_once(monkeypatch):
    """Neither wait for a lock, nor trust in what this process has cleaned up before."""
    monkeypatch.setattr(files, "_PATIENCE", 0)
    files._remove_remains.cache_clear()


def test_remains_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(
    tmp_path, at_once
):
    living = child("scratch", tmp_path / "a")
    child("scratch", tmp_path / "b", DIE)
    assert len(list(tmp_path.glob("*/*/half"))) == 2
    (tmp_path / f"a.partial.here.{os.getpid()}").mkdir()  # whose number says nothing
    (tmp_path / f"{files.OURS}theirs").mkdir()
    with files.scratch(tmp_path / "a") as place:
        (half,) = tmp_path.glob("*/*/half")
        assert half.parent.name == "a" and not place.exists()
    assert leave(living) == []
    left = {f"a.partial.here.{os.getpid()}", f"{files.OURS}theirs"}
    assert {p.name for p in tmp_path.iterdir()} == left


def test_remains_that_cannot_be_opened_are_no_obstacle(tmp_path, at_once, monkeypatch):
    theirs = tmp_path / f"{files.OURS}0.lock"
    theirs.mkdir()  # opening it fails, as of another user's
    theirs.with_suffix(".partial").mkdir()
    files.write_text(tmp_path / "a", "1")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_run_and_the_networks_in_it_have_one_writer(tmp_path, at_once):
    out = tmp_path / "out"
    inside, line = out / "models" / "comparison" / "net", f"InputError: {out}: another run is"
    with files.locked(out):
        assert any(line in said for said in leave(child("locked", inside)))
        assert leave(child("locked", inside, **{files.RUN: str(out)})) == []  # a kernel of its own
        with files.locked(inside):  # as `fcnlib train` does
            pass
        with pytest.raises(InputError, match="another run is writing into it"), files.locked(out):
            pass
        with files.locked(inside):  # the first lock is as it was
            pass
    notebook = child("locked", inside)
    with pytest.raises(InputError, match="net: another run is writing"), files.locked(out):
        pass
    with files.locked(out / "models" / "other"):
        pass
    assert leave(notebook) == []
    with files.locked(out), files.locked(inside):
        pass


@pytest.mark.parametrize("where", ["", "models/net"])
def test_a_lock_dies_with_its_process_and_nothing_of_it_stays(tmp_path, at_once, where):
    child("locked", tmp_path / "out" / where, DIE)
    for folder in (tmp_path / "out", tmp_path / "out" / "models" / "net"):
        with files.locked(folder):
            assert (folder / f"{files.OURS}lock").exists()
    assert not list(tmp_path.rglob(f"{files.OURS}*"))


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    for use in (files.locked, files.replacing):
        with (
            pytest.raises(InputError, match=r"file.x: cannot be written"),
            use(tmp_path / "file/x"),
        ):
            pass


def test_a_folder_in_which_nothing_was_written_is_gone(tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new/models/net"):
        with files.locked(tmp_path / name):
            assert (tmp_path / name).is_dir()
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]
