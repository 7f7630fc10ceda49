from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from conftest import TINY_SHAPES
from notebook_maker import PARAMETERS, STUB, write_notebook
from PIL import Image

from fcnlib.config import ROOT
from fcnlib.errors import InputError
from fcnlib.runtime import environment, run_record
from fcnlib.runtime.files import locked
from fcntools.workbook import notebooks, run_cache, runner

SOURCE_DIGEST, PAPERMILL = run_cache.source_digest, runner._PAPERMILL


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Digest the sources once: what else works on them meanwhile is no reason to run again."""
    monkeypatch.setattr(run_cache, "source_digest", lambda: "sources")
    monkeypatch.setattr(runner, "_PAPERMILL", STUB)


@pytest.fixture
def kernels(monkeypatch, quick):
    monkeypatch.setattr(runner, "_PAPERMILL", PAPERMILL)


@pytest.fixture
def place(tmp_path, tiny_shapes):
    """A folder for notebooks, a profile, a run folder with a name that is hard to format."""
    shutil.copytree(tiny_shapes, tmp_path / "shapes")
    made = "\n".join(f"{key} = {value}" for key, value in asdict(TINY_SHAPES).items())
    (tmp_path / "small.toml").write_text(
        f"# Small.\n[data]\ndata_dir = {json.dumps(str(tmp_path / 'shapes'))}\n"
        f"[train]\nhead_steps = 2\n[shapes]\n{made}\n"
    )
    return tmp_path


def plan(place: Path, settings=(), only=(), out=None, at_once=2):
    out = out or place / "out {0} é"
    return runner.prepare(str(place / "small.toml"), settings, only, out, place / "nb", at_once)


def run(place: Path, resume=False, **more):
    """Run; return what was shown."""
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        runner.run(plan(place, **more), resume)
    return shown.getvalue()


def fail(place: Path, at_once: int) -> str:
    """Run to a failure; return what was shown."""
    with contextlib.redirect_stderr(io.StringIO()) as shown, pytest.raises(runner.NotebookFailed):
        runner.run(plan(place, at_once=at_once))
    return shown.getvalue()


def log_cell(place: Path, word: str) -> str:
    return f"with open({str(place / 'log')!r}, 'a') as f:\n    f.write('{word} ')"


def log(place: Path) -> list[str]:
    words = (place / "log").read_text().split()
    (place / "log").write_text("")
    return words


def table(name: str, book: str) -> str:
    made = f"from pathlib import Path\nt = Path(out, 'tables', '{book}')\n"
    made += "t.mkdir(parents=True, exist_ok=True)\n"
    return f"{made}_ = (t / f'{name}.csv').write_text('a\\n1\\n')"


def two(place: Path, *cells: str, **more) -> None:
    parameters, nb = f"{PARAMETERS}\nsteps = 3", place / "nb"
    first = (log_cell(place, "a"), table("{steps}", "00_a"))
    write_notebook(nb / "00_a.ipynb", *first, *cells, parameters=parameters, **more)
    write_notebook(nb / "01_b.ipynb", log_cell(place, "b"))


def tables(out: Path) -> list[str]:
    return sorted(p.relative_to(out / "tables").as_posix() for p in out.glob("tables/*/*.csv"))


def test_a_run_from_nothing_to_resumed_to_afresh(place):
    see = "import os\nprint(profile, overrides, out, os.getcwd(), os.environ['FCNLIB_HEADLESS'])"
    two(place, see)
    shown = run(place, settings=["seed=5", "steps=4"])
    out = place / "out {0} é"
    assert log(place) == ["a", "b"]
    assert tables(out) == ["00_a/4.csv"]
    executed = nbformat.read(out / "notebooks" / "00_a.ipynb", as_version=4)
    text = "".join(o.text for c in executed.cells for o in c.get("outputs", []))
    assert f"{place / 'small.toml'} {{'seed': 5}} {out} {place / 'nb'} 1" in text
    assert re.search(r"\[1/2\] 00_a: done .*\[2/2\] 01_b: done", shown, re.DOTALL)
    record = json.loads((out / "record.json").read_text())
    assert record["state"] == "finished"
    assert record["config"]["seed"] == 5 and record["config"]["head_steps"] == 2
    assert set(record["notebooks"]) == {"00_a", "01_b"}
    assert (out / "notebooks" / "01_b.html").is_file()
    assert "About 00_a &amp; more" in (out / "index.html").read_text(encoding="utf-8")
    assert not list(out.rglob("*.partial"))

    shown = run(place, resume=True, settings=["seed=5", "steps=4"])
    assert log(place) == []
    assert shown.count("unchanged") == 2

    write_notebook(place / "nb" / "01_b.ipynb", log_cell(place, "b2"))
    run(place, resume=True, settings=["seed=5", "steps=4"])
    assert log(place) == ["b2"]

    (out / "notes.txt").write_text("mine")
    run(place, resume=True, settings=["seed=5", "steps=6"])
    assert log(place) == ["a", "b2"]  # b too: what it builds on is new
    assert tables(out) == ["00_a/6.csv"]  # 4.csv was a's

    run(place, only=["01"])
    assert log(place) == ["b2"]
    assert tables(out) == ["00_a/6.csv"]

    (out / "tables" / "stale.csv").write_text("a\n1\n")
    run(place)
    assert log(place) == ["a", "b2"]
    assert tables(out) == ["00_a/3.csv"] and not (out / "tables" / "stale.csv").exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_data_that_changed_are_named_and_what_was_made_from_them_is_made_again(place):
    two(place)
    run(place)
    log(place)
    shown = run(place, resume=True)
    assert log(place) == [] and "changed since" not in shown
    mask = min((place / "shapes" / "SegmentationClass").glob("*.png"))
    in_train = mask.stem in (place / "shapes/ImageSets/Segmentation/train.txt").read_text()
    with Image.open(mask) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mask)
    shown = run(place, resume=True)
    assert log(place) == ["a", "b"]
    split = "train" if in_train else "val"
    assert f"{split}: changed since" in shown


KILLED = "import os\nos.write(2, b'out of luck')\nprint('hi')\nos.kill(os.getpid(), 9)"
FAILURES = {  # name: (cell, what is said)
    "00_raises": ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError: division by zero"),
    "01_killed": (KILLED, "The kernel died: .*\nout of luck"),
    "02_leaves": ("import sys\nsys.exit()", "program \\(sys.exit\\)"),
}


def test_a_cell_that_raises_a_killed_kernel_and_an_exit_are_failures(place, kernels):
    for name, (cell, _) in FAILURES.items():
        write_notebook(place / "nb" / f"{name}.ipynb", cell, "1", needs=[])
    write_notebook(place / "nb" / "03_after.ipynb", log_cell(place, "never"))
    shown, out = fail(place, 3), place / "out {0} é"
    assert not (place / "log").exists() and "\x1b" not in shown
    for name, (_, said) in FAILURES.items():
        text = shown[shown.index(f"fcnlib: {name} failed in cell 3 of 4\n") :]
        assert re.search(said, text[: text.index("as far as it got:")], re.DOTALL), text
        assert not run_cache.read(out, name)["finished"]
    record = json.loads((out / "record.json").read_text())
    assert record["state"] == "failed" and "failed in cell 3 of 4" in record["failure"]
    assert record["notebooks"] == {}
    assert "did not finish" in (out / "index.html").read_text(encoding="utf-8")
    assert "ZeroDivisionError" in (out / "notebooks/00_raises.html").read_text(encoding="utf-8")
    node = nbformat.read(out / "notebooks" / "01_killed.ipynb", as_version=4)
    before, dead = node.cells[2:4]  # the third of the source, after the injected one
    assert "os.kill" in dead.source and dead.outputs[-1].output_type == "error"
    assert dead.metadata.papermill["status"] == "failed"
    assert before.metadata.papermill["status"] == "completed"


def test_a_kernel_is_this_interpreter_and_listens_to_this_machine_alone(place, kernels):
    """Its listening sockets as the system has them: addresses in hexadecimal, state 0A."""
    code = """
import os, sys
from pathlib import Path
own = {os.readlink(p) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()}
lines = [Path("/proc/self/net", n).read_text().splitlines()[1:] for n in ("tcp", "tcp6")]
rows = [line.split() for line in lines[0] + lines[1]]
listening = [r[1] for r in rows if r[3] == "0A" and f"socket:[{r[9]}]" in own]
print(sorted({address.split(":")[0] for address in listening}), sys.executable)
import fcnlib
print(fcnlib.__file__, overrides, seen, os.getcwd())
"""
    cell = f"{PARAMETERS}\nseen = 1.5"
    write_notebook(place / "nb" / "00_a.ipynb", code, parameters=cell)
    run(place, settings=["seen=1e-05", "base_lr=1e-05", "strides=32,16"])
    page = nbformat.read(place / "out {0} é" / "notebooks" / "00_a.ipynb", as_version=4)
    first, second = page.cells[-1].outputs[0].text.splitlines()
    assert first == f"['0100007F'] {sys.executable}"
    own = "{'base_lr': 1e-05, 'strides': [32, 16]} 1e-05"
    assert second == f"{ROOT / 'fcnlib' / '__init__.py'} {own} {place / 'nb'}"


def test_a_failed_notebook_is_taken_up_again_unless_something_changed(place):
    flag, out = place / "flag", place / "out {0} é"
    half = "from pathlib import Path\nm = Path(out, 'models')\nm.mkdir(exist_ok=True)\n"
    half += "n = open(m / 'half', 'a').write('x')\n"
    two(place, f"{half}assert Path({str(flag)!r}).exists()", makes=["models/h*"])
    with pytest.raises(runner.NotebookFailed, match="00_a failed in cell 5 of 5\n"):
        run(place)
    assert log(place) == ["a"]  # the notebook after it did not run
    flag.touch()
    run(place, resume=True)
    assert (out / "models" / "half").read_text() == "xx"
    assert log(place) == ["a", "b"]
    run(place, resume=True, settings=["head_lr=0.5"])
    assert (out / "models" / "half").read_text() == "x"


def test_what_a_notebook_needs_stays_when_it_is_made_again(place):
    """Both make networks of the chain: the first one the coarsest, the second one the others."""
    nb, out = place / "nb", place / "out {0} é"
    code = (
        "from pathlib import Path\nfor n in {}:\n    Path(out, 'models', f'fcn-{{n}}s').mkdir({})"
    )
    first = code.format("[32]", "parents=True")
    write_notebook(nb / "00_a.ipynb", first, makes=["models/fcn-{strides[0]}s"])
    write_notebook(nb / "01_b.ipynb", code.format("(16, 8)", ""), makes=["models/fcn-*"])
    run(place)
    write_notebook(nb / "01_b.ipynb", code.format("[4]", ""), makes=["models/fcn-*"])
    run(place, resume=True)
    assert sorted(p.name for p in (out / "models").iterdir()) == ["fcn-32s", "fcn-4s"]


def meet(place: Path, own: str, other: str) -> str:
    """A cell that ends well only while the other one runs."""
    return (
        f"import time\nfrom pathlib import Path\nPath({str(place)!r}, {own!r}).touch()\n"
        f"late = time.monotonic() + 60\n"
        f"while not Path({str(place)!r}, {other!r}).exists():\n"
        f"    assert time.monotonic() < late\n    time.sleep(0.05)"
    )


def test_two_run_at_once_and_each_file_is_its_own(place):
    nb, out = place / "nb", place / "out {0} é"
    cells = [(meet(place, "a", "c"), table("1", "00_a")), (table("1", "01_b"),)]
    cells += [(meet(place, "c", "a"), table("1", "02_c"))]
    for name, own, needs in zip("abc", cells, ([], ["00_a"], []), strict=True):
        book = nb / f"0{'abc'.index(name)}_{name}.ipynb"
        write_notebook(book, *own, log_cell(place, name), needs=needs)
    shown = run(place, at_once=2)
    words = log(place)
    assert sorted(words) == ["a", "b", "c"] and words.index("a") < words.index("b")
    assert shown.startswith("[1/3] 00_a\n[3/3] 02_c\n")
    assert tables(out) == ["00_a/1.csv", "01_b/1.csv", "02_c/1.csv"]
    assert json.loads((out / "record.json").read_text())["at_once"] == 2

    write_notebook(nb / "00_a.ipynb", log_cell(place, "a"), needs=[])
    run(place, resume=True, at_once=2)
    assert log(place) == ["a", "b"]  # what c needs has not changed
    assert tables(out) == ["01_b/1.csv", "02_c/1.csv"]


def test_what_runs_beside_a_failing_notebook_ends_and_nothing_begins(place):
    nb, out = place / "nb", place / "out {0} é"
    late = "import time\ntime.sleep(1)"
    write_notebook(nb / "00_a.ipynb", meet(place, "a", "b"), "1 / 0", needs=[])
    write_notebook(nb / "01_b.ipynb", meet(place, "b", "a"), late, log_cell(place, "b"), needs=[])
    write_notebook(nb / "02_c.ipynb", log_cell(place, "c"), needs=[])
    shown = fail(place, 2)
    assert log(place) == ["b"]
    assert "ZeroDivisionError" in shown[: shown.index("01_b: done")], "at once, not at the end"
    assert run_cache.read(out, "01_b")["finished"] and not run_cache.read(out, "00_a")["finished"]
    write_notebook(nb / "00_a.ipynb", log_cell(place, "a"), needs=[])
    run(place, resume=True, at_once=1)
    assert log(place) == ["a", "c"]


def test_what_was_killed_amid_a_second_run_is_not_taken_for_done(place):
    two(place)
    run(place)
    assert log(place) == ["a", "b"]
    out = place / "out {0} é"
    digest = run_cache.read(out, "00_a")["digest"]
    log_file = out / ".stamps" / "00_a.log"
    run_cache.write(log_file, digest=digest, seconds=0, finished=False)  # as when it begins
    run(place, resume=True)
    assert log(place) == ["a", "b"]


def test_a_locked_folder_is_refused(place):
    two(place)
    out = place / "out {0} é"
    run_cache.claim(out)
    with locked(out), pytest.raises(InputError, match="another run is writing"):
        run(place)
    assert not (place / "log").exists()
    with locked(out):
        pass  # the lock was given back


def test_a_notebook_of_the_run_writes_into_the_locked_folder(place):
    code = "from pathlib import Path\nfrom fcnlib.runtime.files import locked, write_text\n"
    code += "with locked(Path(out, 'models', 'net')):\n"
    code += "    write_text(Path(out, 'models', 'net', 'log.csv'), 'a')"
    write_notebook(place / "nb" / "00_a.ipynb", code)
    run(place)
    out = place / "out {0} é"
    assert [p.name for p in (out / "models" / "net").iterdir()] == ["log.csv"]


def test_a_foreign_folder_is_refused_and_stays_as_it_is(place):
    two(place)
    theirs = place / "theirs"
    (theirs / "models").mkdir(parents=True)
    (theirs / "models" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="theirs: is not empty, no run made it"):
        run(place, out=theirs)
    assert [p.name for p in theirs.rglob("*")] == ["models", "thesis.txt"]


def test_cleaning_never_leaves_the_folder(tmp_path):
    out = tmp_path / "out"
    run_cache.claim(out)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "big").write_text("mine")
    (out / "models").symlink_to(tmp_path / "elsewhere")
    run_cache.clean(out)
    assert (tmp_path / "elsewhere" / "big").read_text() == "mine"
    assert [p.name for p in out.iterdir()] == [".stamps"]
    run_cache.claim(out)  # still a run's


BAD_SETTINGS = [
    ("nonsense=1", "unknown setting 'nonsense'"),
    ("base_lr", "has no '='"),
    ("base_lr=fast", "base_lr = 'fast' does not read as float"),
    ("steps=many", "steps = 'many' does not read as int, such as 3"),
    ("steps=1.5", "does not read as int"),
    ("profile=camvid", "unknown setting 'profile'"),
]


@pytest.mark.parametrize(("setting", "complaint"), BAD_SETTINGS)
def test_a_bad_setting_is_refused_before_anything_runs(place, setting, complaint):
    two(place)
    with pytest.raises(InputError, match=complaint):
        plan(place, settings=[setting])
    assert not (place / "out {0} é").exists()


def test_a_parameter_of_a_notebook_that_is_not_chosen_is_refused(place):
    two(place)
    assert plan(place, settings=["steps=4"]).values == {"steps": 4}
    with pytest.raises(InputError, match="unknown setting 'steps'"):
        plan(place, settings=["steps=4"], only=["01"])
    with pytest.raises(InputError, match="--only 07: no such notebook; there are: 00_a, 01_b"):
        plan(place, only=["07"])


def test_parameters_take_the_type_of_their_default():
    typed = {"f": 1.0, "b": False, "s": "x", "l": [1], "i": 2}
    book = notebooks.Notebook(Path("00_a.ipynb"), nbformat.v4.new_notebook(), typed)
    words = ["f=3", "b=true", "s=1", "l=[4, 5]", "i=-7", "strides=32,16", "flip=false"]
    overrides, values = notebooks.split_settings(words, [book])
    assert values == {"f": 3.0, "b": True, "s": "1", "l": [4, 5], "i": -7}
    assert type(values["f"]) is float
    assert overrides == {"strides": [32, 16], "flip": False}  # a list, as JSON keeps it


BAD_CELLS = [
    ("x = 1", "lacks profile, overrides, out"),
    (f"{PARAMETERS}\nn = 2 * 3", "of nothing but `name = literal`"),
    (f"{PARAMETERS}\nimport os", "of nothing but"),
    (f"{PARAMETERS}\nx = ", "of nothing but"),
]


@pytest.mark.parametrize(("parameters", "complaint"), BAD_CELLS)
def test_a_bad_parameters_cell_is_refused(tmp_path, parameters, complaint):
    path = write_notebook(tmp_path / "00_a.ipynb", parameters=parameters)
    with pytest.raises(InputError, match=f"00_a.ipynb: .*{re.escape(complaint)}"):
        notebooks.read_notebook(path)


def test_what_is_no_notebook_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no notebook"):
        notebooks.discover(tmp_path)
    path = tmp_path / "00_a.ipynb"
    for text in ("{}", '{"cells": [], "metadata": {"fcnlib": 3}, "nbformat": 4}'):
        path.write_text(text)
        with pytest.raises(InputError, match="not a notebook"):
            notebooks.discover(tmp_path)
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(InputError, match="must have one cell tagged"):
        notebooks.discover(tmp_path)


def test_ids_and_outputs_do_not_count_but_the_bytes_of_a_checkpoint_do(place):
    two(place)
    start = place / "start.npz"
    start.write_bytes(b"one")
    settings = [f"init_checkpoint={start}"]
    run(place, settings=settings)
    book = notebooks.read_notebook(place / "nb" / "00_a.ipynb")
    for cell in book.node.cells:
        cell.id = cell.id[::-1]
        cell.metadata["collapsed"] = True
    book.node.cells[1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    nbformat.write(book.node, book.path)
    assert log(place) == ["a", "b"]
    run(place, resume=True, settings=settings)
    assert log(place) == []
    start.write_bytes(b"two")
    run(place, resume=True, settings=settings)
    assert log(place) == ["a", "b"]


def test_the_digest_of_sources_sees_every_file(tmp_path):
    (tmp_path / "fcnlib").mkdir()
    (tmp_path / "fcnlib" / "a.py").write_text("a")
    first = SOURCE_DIGEST(tmp_path)
    (tmp_path / "fcntools" / "b").mkdir(parents=True)
    (tmp_path / "fcntools" / "b" / "c.py").write_text("c")
    second = SOURCE_DIGEST(tmp_path)
    (tmp_path / "fcntools" / "b" / "c.py").rename(tmp_path / "fcntools" / "b" / "d.py")
    assert len({first, second, SOURCE_DIGEST(tmp_path)}) == 3


MACHINES = [  # cores, memory in GiB, a GPU's driver, how many at once
    (1, 24.0, False, 1),
    (2, 4.0, False, 1),
    (2, 24.0, False, 2),
    (64, 256.0, True, 1),
]


def pretend(monkeypatch, cores, memory=24.0, driver=False):
    for name in (run_record.INTRA, run_record.INTER):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(run_record, "machine", lambda: {"cores": cores, "memory_gib": memory})
    monkeypatch.setattr(environment, "nvidia_driver", lambda: driver)


@pytest.mark.parametrize(("cores", "memory", "driver", "count"), MACHINES)
def test_how_many_at_once(monkeypatch, cores, memory, driver, count):
    pretend(monkeypatch, cores, memory, driver)
    assert runner.suitable_jobs() == count


def test_cores_are_shared_out_unless_the_user_has_said_how(monkeypatch):
    pretend(monkeypatch, 8)
    assert runner.thread_variables(1) == {}
    assert runner.thread_variables(2) == {run_record.INTRA: "4", run_record.INTER: "2"}
    pretend(monkeypatch, 1)
    assert runner.thread_variables(2)[run_record.INTRA] == "1"
    monkeypatch.setenv(run_record.INTER, "3")
    assert runner.thread_variables(2) == {}
