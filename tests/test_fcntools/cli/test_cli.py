from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from conftest import TINY_SHAPES
from notebook_maker import STUB, write_notebook
from PIL import Image

from fcnlib import config
from fcnlib.config import ROOT
from fcnlib.runtime import files
from fcntools.cli import main
from fcntools.workbook import run_cache, runner
from fcntools.workbook.report import METRICS


def call(*words: str):
    return CliRunner().invoke(main.main, list(words), prog_name="fcnlib")


def test_help_names_every_command():
    found = call("--help")
    assert found.exit_code == 0
    commands = ["run", "data", "pretrain", "train", "evaluate", "doctor"]
    for name in [*commands, "profiles", "settings"]:
        assert f"\n  {name} " in found.output
        assert call(name, "--help").exit_code == 0


MISTAKES = [
    (["run", "--profile", "nosuch"], "no profile 'nosuch'"),
    (["run", "--set", "base_lr=fast"], "base_lr = 'fast'"),
    (["train", "--set", "bas_lr=1"], "did you mean base_lr"),
    (["settings", "--profile", "nosuch"], "no profile"),
    (["evaluate", "/no/such/folder"], "holds no checkpoint.npz"),
    (["data", "make", "--set", "dataset=camvid"], "only shapes, scenes, streets can be made"),
]


@pytest.mark.parametrize(("words", "complaint"), MISTAKES)
def test_a_mistake_is_one_line_and_status_2(words, complaint, tmp_path):
    if words[0] == "run":
        write_notebook(tmp_path / "00_a.ipynb", "1")
        words = [*words, "--notebooks", str(tmp_path)]
    found = call(*words)
    assert found.exit_code == 2
    assert found.stderr.startswith("fcnlib: error: ")
    assert complaint in found.stderr
    assert found.stderr.count("\n") == 1


def test_a_python_without_asserts_runs_no_notebook(tmp_path, monkeypatch):
    flags = SimpleNamespace(optimize=1)
    monkeypatch.setattr("fcntools.workbook.runner.sys", SimpleNamespace(flags=flags))
    found = call("run", "--out", str(tmp_path / "out"))
    said = "fcnlib: error: Python leaves out every assert; unset PYTHONOPTIMIZE, run without -O\n"
    assert (found.exit_code, found.stderr) == (2, said)
    assert not (tmp_path / "out").exists()


def test_a_tilde_is_the_home_also_behind_an_option(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shapes = ("train_images=8", "val_images=1", "objects_per_class=0", "objects_val_per_class=0")
    settings = [f"--set={text}" for text in ("data_dir=~/shapes", *shapes)]
    made = call("data", "make", *settings)
    assert made.exit_code == 0 and (tmp_path / "shapes" / "shapes.json").is_file(), made.output
    assert call("data", "check", "~/shapes", "--format=shapes").exit_code == 0
    packed = call("data", "pack", "~/shapes", "--format=shapes", "--to=~/packed")
    assert packed.exit_code == 0 and (tmp_path / "packed" / "index.json").is_file()
    assert not Path("~").exists() and not (ROOT / "~").exists()


IN_THE_WAY = """
import sys
from click.testing import CliRunner
from fcntools.cli.main import main

for line in sys.stdin:
    found = CliRunner().invoke(main, line.split())
    print(found.exit_code, found.output.count("\\n"), line.split(), found.output.strip())
print("tensorflow" in sys.modules)
"""


def test_a_file_in_the_way_is_one_line_before_anything_is_loaded(tmp_path):
    """Each command that writes somewhere, with the name of a file, below one, or of a folder."""
    file, folder, run = tmp_path / "notes.txt", tmp_path / "thesis", tmp_path / "net"
    for place in (folder, run):
        place.mkdir()
        (place / "checkpoint.npz").write_text("precious")
    file.write_text("precious")
    makers = ["run --out", "train --out", "train --workers 2 --out", "compare --out"]
    makers += [f"rerun {run} --out", f"predict {run} {file} --out"]
    makers += [f"tensorboard {run} --out", "data pack --to", "data download camvid --to"]
    makers += ["weights download vgg_16 --to", f"export {run} --format saved_model --out"]
    files = ["pretrain --out", f"weights import {file} --to", f"weights shrink {run} --to"]
    lines = [f"{words} {out}" for words in makers + files for out in (file, file / "sub")]
    lines += [f"{words} {out}" for words in files for out in (folder, run / "checkpoint.npz")]
    lines += [f"export {run} --out {out}" for out in (file, file / "sub")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(
        [sys.executable, "-c", IN_THE_WAY],
        input="\n".join(lines),
        env=env,
        text=True,
        capture_output=True,
    )
    *answers, loaded = told.stdout.splitlines()
    assert len(answers) == len(lines), told.stdout + told.stderr
    for answer in answers:
        assert answer.startswith("2 1 "), answer
        assert re.search(r"\] fcnlib: error: /.*: (is (a file|there)|not a whole)", answer), answer
    assert loaded == "False", "TensorFlow takes seconds"
    for kept in (file, folder / "checkpoint.npz", run / "checkpoint.npz"):
        assert kept.read_text() == "precious"
    assert len(list(tmp_path.rglob("*"))) == 5


def test_what_a_terminal_cannot_show_is_escaped(tmp_path):
    for folder in (tmp_path / "images/train", tmp_path / "masks/train"):
        folder.mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "a.png")
        for name in ("ü", os.fsdecode(b"caf\xe9")):
            (folder / f"{name}.png").write_bytes(b"no image")
    yaml = "classes: [背景]\nimages: images/{split}\nmasks: masks/{split}\nsplits: [train]\n"
    (tmp_path / "dataset.yaml").write_text(yaml, encoding="utf-8")
    for charset, wanted, name in (
        ("latin-1", r"\u80cc\u666f", "ü.png"),
        ("utf-8", "背景", r"caf\udce9"),
    ):
        words = ["data", "check", str(tmp_path)]
        found = CliRunner(charset=charset).invoke(main.main, words, prog_name="fcnlib")
        assert found.exit_code == 1 and not isinstance(found.exception, UnicodeError)
        shown = found.output_bytes.decode(charset)
        assert wanted in shown and name in shown, shown


def test_profiles_and_settings_are_listed(tmp_path, monkeypatch):
    (tmp_path / "tiny.toml").write_text("# Seconds only.\n[train]\nhead_steps = 3\n")
    monkeypatch.setattr(config, "PROFILES", tmp_path)
    assert call("profiles").output == "tiny         Seconds only.\n"
    lines = call("settings", "--profile", "tiny").output.splitlines()
    assert {line.split()[0] for line in lines if line.startswith("  ")} == set(config.keys())
    values = {line.split()[0]: line.split()[1:] for line in lines}
    assert values["head_steps"] == ["3", "int"]
    assert values["strides"] == ["32,16,8", "int,int,..."]
    assert values["optimizer"] == ["adam", "adam|sgd"]


@pytest.fixture
def stages(monkeypatch):
    """Stand-ins for the modules that train, and what they were called with."""
    calls = []
    scored = SimpleNamespace(scores=SimpleNamespace(**dict.fromkeys(METRICS, 0.5)))

    def note(result):
        return lambda *arguments: calls.append(arguments) or result

    recipe = SimpleNamespace(
        train_chain=note({"fcn-32s": scored, "fcn-8s": scored}),
        evaluate_fcn=note(scored),
    )
    pretraining = SimpleNamespace(pretrain=note({"accuracy": 0.931}))
    for name, module in (
        ("fcnlib.experiment", recipe),
        ("fcntools.pretrained.shapes_classifier", pretraining),
    ):
        monkeypatch.setitem(sys.modules, name, module)
        package, _, last = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(package), last, module, raising=False)
    monkeypatch.setattr("fcntools.synthetic.prepare", lambda settings: settings.data.dataset)
    return calls


def test_train_gives_settings_and_folder(stages, tmp_path):
    found = call("train", "--set", "seed=4", "--out", str(tmp_path / "x"), "--resume", "--control")
    assert found.output.splitlines()[1].startswith("fcn-8s: pixel accuracy 50.0, mean acc")
    ((settings, data, *others),) = stages
    assert (settings.train.seed, data, others[:3]) == (4, "shapes", [tmp_path / "x", True, True])


def test_pretrain_writes_where_the_profile_starts(stages):
    found = call("pretrain", "--profile", "quick")
    assert found.exit_code == 0 and "93.1 %" in found.output
    ((settings, target, resume),) = stages
    assert (target, resume) == (settings.path("init_checkpoint"), False)


def test_evaluate_takes_a_run_and_reads_its_settings(stages, tmp_path):
    for name in ("fcn-32s", "fcn-8s"):
        folder = tmp_path / "models" / name
        files.write_json(folder / "record.json", {"config": {"dataset": "camvid"}})
        (folder / "checkpoint.npz").touch()
    assert call("evaluate", str(tmp_path), "--set", "eval_limit=3").exit_code == 0
    assert [folder.name for _, _, folder, *_ in stages] == ["fcn-32s", "fcn-8s"]
    assert stages[0][0].data.eval_limit == 3 and stages[0][1] == "camvid"
    stages.clear()
    assert call("evaluate", str(folder / "checkpoint.npz")).exit_code == 0
    assert [folder.name for _, _, folder, *_ in stages] == ["fcn-8s"]
    (folder / "record.json").unlink()
    assert call("evaluate", str(folder)).exit_code == 2


def test_the_data_sets_that_can_be_read_are_listed():
    listed = call("data", "list").output
    assert re.search(r"voc2012 .*train 1464, val 1449", listed)
    assert re.search(r"scene-parsing .*train 20210, val 2000", listed)
    assert re.search(r"camvid .*train 367, val 101, test 233", listed)


def test_data_make_generates_shapes(tmp_path):
    sizes = ["train_images=2", "val_images=1", "image_size=65"]
    sizes += ["objects_per_class=1", "objects_val_per_class=1", f"data_dir={tmp_path / 'shapes'}"]
    words = [word for size in sizes for word in ("--set", size)]
    found = call("data", "make", *words)
    assert found.exit_code == 0, found.output
    assert "2 train, 3 trainval, 1 val" in found.output
    assert len(list((tmp_path / "shapes" / "JPEGImages").iterdir())) == 3


def test_the_status_of_doctor_is_passed_on(monkeypatch):
    doctor = SimpleNamespace(main=lambda: 1)
    monkeypatch.setitem(sys.modules, "fcntools.cli.doctor", doctor)
    monkeypatch.setattr(importlib.import_module("fcntools.cli"), "doctor", doctor, raising=False)
    assert call("doctor").exit_code == 1


def words(folder: Path, shapes: Path) -> list[str]:
    """Return a command that runs the notebooks of a folder."""
    settings = vars(TINY_SHAPES) | {"data_dir": shapes}
    settings = [f"--set={key}={value}" for key, value in settings.items()]
    places = ["--notebooks", str(folder), "--out", str(folder / "out")]
    return ["run", "--profile", "smoke", *places, *settings]


def test_a_failing_notebook_gives_status_1_and_the_traceback(tmp_path, tiny_shapes, monkeypatch):
    write_notebook(tmp_path / "00_a.ipynb", "assert 1 > 2, 'the claim'")
    monkeypatch.setattr(runner, "_PAPERMILL", STUB)
    before = signal.getsignal(signal.SIGTERM)
    found = call(*words(tmp_path, tiny_shapes))
    signal.signal(signal.SIGTERM, before)
    assert found.exit_code == 1
    assert "fcnlib: 00_a failed in cell 3 of 3" in found.stderr
    assert "AssertionError: the claim" in found.stderr
    assert "NotebookFailed" not in found.stderr  # of the runner's own traceback there is none


def runs(pid: int) -> bool:
    """Return whether a process is there and has not ended; nobody may have asked for its status."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_keeps_what_finished_and_leaves_no_kernel(
    tmp_path, tiny_shapes, number, status
):
    write_notebook(tmp_path / "00_a.ipynb", "1")
    wait = """
import os, subprocess, time
from pathlib import Path
_ = Path(out, 'pid').write_text(str(os.getpid()))
child = subprocess.Popen(['sleep', '300'])
_ = Path(out, 'child').write_text(str(child.pid))
try:
    time.sleep(300)
except KeyboardInterrupt:
    _ = Path(out, 'kept').touch()
"""
    later = "_ = Path(out, 'later').touch()"
    write_notebook(tmp_path / "01_b.ipynb", wait, later)
    process = subprocess.Popen(
        [sys.executable, "-m", "fcnlib", *words(tmp_path, tiny_shapes)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A suite started in the background ignores Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    out, late = tmp_path / "out", time.monotonic() + 150
    while not (out / "child").is_file() and time.monotonic() < late:
        time.sleep(0.1)
    process.send_signal(number)
    _, shown = process.communicate(timeout=150)
    assert process.returncode == status, shown
    assert "Traceback" not in shown
    for name in ("pid", "child"):
        assert not runs(int((out / name).read_text()))
    assert not (out / "later").exists()  # though the cell before has ended well
    assert (out / "kept").is_file()  # interrupted, as a training must be, not killed
    assert run_cache.read(out, "00_a")["finished"]
    assert not run_cache.read(out, "01_b")["finished"]
    record = files.read_json(out / "record.json")
    assert record["state"] == "interrupted"
    assert record["command"].startswith("fcnlib run --profile ")
