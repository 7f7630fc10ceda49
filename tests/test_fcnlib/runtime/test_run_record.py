from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import numpy as np

from fcnlib.config import ROOT, Config
from fcnlib.runtime import run_record


def record(**changes):
    config = Config().replace(seed=7, data_dir="/somewhere/far/camvid", **changes)
    return run_record.capture(
        config, started=run_record.start(), device={"device": "CPU"}, extra={"note": "hi"}
    )


def test_a_record_tells_how_a_result_was_made():
    found = record(base_lr=0.25)
    assert found["config"]["base_lr"] == 0.25
    assert found["config"]["strides"] == [32, 16, 8]
    assert (found["seed"], found["device"], found["note"]) == (7, "CPU", "hi")
    assert found["versions"]["numpy"] == np.__version__
    assert found["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert found["machine"]["memory_gib"] > 0.1
    assert found["wall_seconds"] >= 0
    assert found["started"].endswith("Z")


def test_a_record_names_no_host_and_no_place(monkeypatch):
    words = [
        "/x/bin/fcnlib",
        "run",
        "--set",
        f"data_dir={ROOT}/data/a b",
        "--out",
        "/somewhere/out",
    ]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.delenv(run_record.COMMAND_VARIABLE, raising=False)
    found = record()
    text = json.dumps(found)
    assert socket.gethostname() not in text
    assert str(ROOT) not in text
    assert os.path.expanduser("~") + "/" not in text
    assert found["command"].startswith("fcnlib run --set 'data_dir=data/a b' --out ..")
    assert not found["config"]["data_dir"].startswith("/")
    assert found["config"]["data_dir"].endswith("somewhere/far/camvid")


def test_a_kernel_names_the_runners_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/ipykernel_launcher.py", "-f", "/tmp/kernel-1.json"])
    monkeypatch.setenv(run_record.COMMAND_VARIABLE, "fcnlib run")
    assert run_record.command() == "fcnlib run"
    monkeypatch.delenv(run_record.COMMAND_VARIABLE)
    assert run_record.command() == "jupyter lab"


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_state_of_a_checkout(tmp_path):
    assert run_record.git_state(tmp_path) == (None, None)
    git(tmp_path, "init", "-q")
    assert run_record.git_state(tmp_path) == (None, None)  # no commit yet
    (tmp_path / "fcnlib").mkdir()
    (tmp_path / "fcnlib" / "a.py").write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert run_record.git_state(tmp_path) == (head, False)
    (tmp_path / "README.md").write_text("decides no number\n")
    assert run_record.git_state(tmp_path) == (head, False)
    (tmp_path / "fcnlib" / "b.py").write_text("b = 1\n")
    assert run_record.git_state(tmp_path) == (head, True)
    assert run_record.git_state(tmp_path / "fcnlib") == (None, None)  # inside someone else's


def test_a_record_names_the_commit_that_ran_and_not_what_came_meanwhile(monkeypatch):
    states = iter([("a" * 40, False), ("b" * 40, True)])
    monkeypatch.setattr(run_record, "git_state", lambda root: next(states))
    found = record()
    assert (found["commit"], found["dirty"]) == ("a" * 40, False)
