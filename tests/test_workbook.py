from __future__ import annotations

import io
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path

import nbformat
import pytest
from conftest import TINY_SHAPES
from notebook_maker import PARAMETERS, write_notebook
from PIL import Image

from fcnlib.config import ROOT, load_profile
from fcnlib.errors import InputError
from fcnlib.runtime.files import locked
from fcntools.workbook import notebooks, run_cache, run_progress, runner
from fcntools.workbook.run_progress import RunProgress, Share

SOURCE_DIGEST = run_cache.source_digest


@pytest.fixture(autouse=True)
def still_sources(monkeypatch):
    """Digest the sources once: what else works on them meanwhile is no reason to run again."""
    monkeypatch.setattr(run_cache, "source_digest", lambda: "sources")


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


def job(place: Path, settings=(), only=(), out=None, at_once=2):
    out = out or place / "out {0} é"
    return runner.prepare(str(place / "small.toml"), settings, only, out, place / "nb", at_once)


def run(place: Path, resume=False, **more):
    """Run; return what was shown."""
    stream = io.StringIO()
    runner.run(job(place, **more), resume, stream)
    return stream.getvalue()


def log_cell(place: Path, word: str) -> str:
    return f"with open({str(place / 'log')!r}, 'a') as f:\n    f.write('{word} ')"


def log(place: Path) -> list[str]:
    words = (place / "log").read_text().split()
    (place / "log").write_text("")
    return words


def two(place: Path, *cells: str) -> None:
    made = "from pathlib import Path\nt = Path(out, 'tables')\nt.mkdir(exist_ok=True)\n"
    first = f"{made}_ = (t / f'{{steps}}.csv').write_text('a,b\\n1,2.5\\n')"
    parameters = f"{PARAMETERS}\nsteps = 3"
    write_notebook(
        place / "nb" / "00_a.ipynb", log_cell(place, "a"), first, *cells, parameters=parameters
    )
    write_notebook(place / "nb" / "01_b.ipynb", log_cell(place, "b"))


def test_a_run_from_nothing_to_resumed_to_afresh(place):
    see = "import os\nprint(profile, overrides, out, os.getcwd(), os.environ['FCNLIB_HEADLESS'])"
    two(place, see, "import fcnlib\nprint(fcnlib.__file__)")
    shown = run(place, settings=["seed=5", "steps=4"])
    out = place / "out {0} é"
    assert log(place) == ["a", "b"]
    assert (out / "tables" / "4.csv").is_file()
    executed = nbformat.read(out / "notebooks" / "00_a.ipynb", as_version=4)
    text = "".join(o.text for c in executed.cells for o in c.get("outputs", []))
    assert f"{place / 'small.toml'} {{'seed': 5}} {out} {place / 'nb'} 1" in text
    assert str(ROOT / "fcnlib" / "__init__.py") in text
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
    assert [p.name for p in (out / "tables").iterdir()] == ["6.csv"]  # 4.csv was a's

    run(place, only=["01"])
    assert log(place) == ["b2"]
    assert (out / "tables" / "6.csv").is_file()

    (out / "tables" / "stale.csv").write_text("a\n1\n")
    run(place)
    assert log(place) == ["a", "b2"]
    assert [p.name for p in (out / "tables").iterdir()] == ["3.csv"]
    assert (out / "notes.txt").read_text() == "mine"


def test_data_that_changed_are_named_and_what_was_made_from_them_is_made_again(place, capsys):
    two(place)
    run(place)
    log(place)
    run(place, resume=True)
    assert log(place) == [] and "changed since" not in capsys.readouterr().err
    mask = min((place / "shapes" / "SegmentationClass").glob("*.png"))
    in_train = mask.stem in (place / "shapes/ImageSets/Segmentation/train.txt").read_text()
    with Image.open(mask) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mask)
    run(place, resume=True)
    assert log(place) == ["a", "b"]
    split = "train" if in_train else "val"
    assert f"{split}: changed since" in capsys.readouterr().err


def failure(place: Path, cell: str, **more) -> tuple[str, Path]:
    two(place, cell)
    with pytest.raises(runner.NotebookFailed) as caught:
        run(place, **more)
    out = place / "out {0} é"
    assert log(place) == ["a"]  # the notebook after it did not run
    assert run_cache.read(out, "00_a") is None
    assert not (out / ".stamps" / "00_a.json").exists()
    record = json.loads((out / "record.json").read_text())
    assert (record["state"], record["failure"]) == ("failed", "00_a failed in cell 5 of 5")
    assert "did not finish" in (out / "index.html").read_text(encoding="utf-8")
    return str(caught.value), out


def test_a_failing_cell_stops_the_run_and_is_named(place):
    message, out = failure(place, "def f():\n    return 1 / 0\nf()")
    assert message.startswith("00_a failed in cell 5 of 5\n")
    assert "ZeroDivisionError: division by zero" in message
    assert "\x1b" not in message
    assert "ZeroDivisionError" in (out / "notebooks" / "00_a.html").read_text(encoding="utf-8")


def test_a_killed_kernel_is_a_failure_and_the_notebook_says_so(place):
    code = "import os, sys\nos.write(2, b'out of luck')\nprint('hi')\nos.kill(os.getpid(), 9)"
    message, out = failure(place, code)
    assert "The kernel died" in message
    node = nbformat.read(out / "notebooks" / "00_a.ipynb", as_version=4)
    dead = node.cells[5]  # the fifth of the source, after the injected one
    assert "os.kill" in dead.source
    assert dead.metadata.papermill["status"] == "failed"
    assert dead.outputs[-1].output_type == "error"
    assert node.metadata.papermill["exception"] is True
    assert node.cells[4].metadata.papermill["status"] == "completed"


def test_leaving_by_sys_exit_is_a_failure(place):
    message, _ = failure(place, "import sys\nsys.exit()")
    assert "sys.exit" in message


def test_a_failed_notebook_is_taken_up_again_unless_something_changed(place):
    flag = place / "flag"
    half = "from pathlib import Path\nm = Path(out, 'models')\nm.mkdir(exist_ok=True)\n"
    half += "n = open(m / 'half', 'a').write('x')\n"
    _, out = failure(place, f"{half}assert Path({str(flag)!r}).exists()")
    flag.touch()
    run(place, resume=True)
    assert (out / "models" / "half").read_text() == "xx"
    assert log(place) == ["a", "b"]
    run(place, resume=True, settings=["head_lr=0.5"])
    assert (out / "models" / "half").read_text() == "x"


def test_a_kernel_listens_to_this_machine_alone(place):
    """Its listening sockets as the system has them: addresses in hexadecimal, state 0A."""
    code = """
import os
from pathlib import Path
own = {os.readlink(p) for p in Path("/proc/self/fd").iterdir() if p.is_symlink()}
lines = [Path("/proc/self/net", n).read_text().splitlines()[1:] for n in ("tcp", "tcp6")]
rows = [line.split() for line in lines[0] + lines[1]]
listening = [r[1] for r in rows if r[3] == "0A" and f"socket:[{r[9]}]" in own]
print(sorted({address.split(":")[0] for address in listening}))
"""
    write_notebook(place / "nb" / "00_a.ipynb", code)
    run(place)
    page = nbformat.read(place / "out {0} é" / "notebooks" / "00_a.ipynb", as_version=4)
    assert page.cells[-1].outputs[0].text == "['0100007F']\n"


def meet(place: Path, own: str, other: str) -> str:
    """A cell that ends well only while the other one runs."""
    return (
        f"import time\nfrom pathlib import Path\nPath({str(place)!r}, {own!r}).touch()\n"
        f"late = time.monotonic() + 60\n"
        f"while not Path({str(place)!r}, {other!r}).exists():\n"
        f"    assert time.monotonic() < late\n    time.sleep(0.05)"
    )


def table(name: str) -> str:
    made = "from pathlib import Path\nt = Path(out, 'tables')\nt.mkdir(exist_ok=True)\n"
    return f"{made}_ = (t / '{name}.csv').write_text('a\\n1\\n')"


def test_two_run_at_once_and_each_file_is_its_own(place):
    nb = place / "nb"
    write_notebook(nb / "00_a.ipynb", meet(place, "a", "c"), table("a"), log_cell(place, "a"))
    write_notebook(nb / "01_b.ipynb", log_cell(place, "b"), table("b"), needs=["00_a"])
    write_notebook(
        nb / "02_c.ipynb", meet(place, "c", "a"), table("c"), log_cell(place, "c"), needs=[]
    )
    shown = run(place, at_once=2)
    words = log(place)
    assert sorted(words) == ["a", "b", "c"] and words.index("a") < words.index("b")
    assert shown.startswith("[1/3] 00_a\n[3/3] 02_c\n")
    out = place / "out {0} é"
    assert {n: run_cache.files(out, n) for n in ("00_a", "01_b", "02_c")} == {
        "00_a": ["tables/a.csv"],
        "01_b": ["tables/b.csv"],
        "02_c": ["tables/c.csv"],
    }
    assert json.loads((out / "record.json").read_text())["at_once"] == 2

    write_notebook(nb / "00_a.ipynb", log_cell(place, "a"))
    run(place, resume=True, at_once=2)
    assert log(place) == ["a", "b"]  # what c needs has not changed
    assert sorted(p.name for p in (out / "tables").iterdir()) == ["b.csv", "c.csv"]


def test_what_runs_beside_a_failing_notebook_ends_and_nothing_begins(place):
    nb = place / "nb"
    late = "import time\ntime.sleep(1)"
    write_notebook(nb / "00_a.ipynb", meet(place, "a", "b"), "1 / 0")
    write_notebook(nb / "01_b.ipynb", meet(place, "b", "a"), late, log_cell(place, "b"), needs=[])
    write_notebook(nb / "02_c.ipynb", log_cell(place, "c"), needs=[])
    stream = io.StringIO()
    with pytest.raises(runner.NotebookFailed, match="00_a failed in cell 4 of 4"):
        runner.run(job(place, at_once=2), stream=stream)
    assert log(place) == ["b"]
    shown = stream.getvalue()
    assert "ZeroDivisionError" in shown[: shown.index("01_b: done")], "at once, not at the end"
    out = place / "out {0} é"
    assert run_cache.read(out, "01_b") and not run_cache.read(out, "00_a")
    write_notebook(nb / "00_a.ipynb", log_cell(place, "a"))
    run(place, resume=True, at_once=1)
    assert log(place) == ["a", "c"]


def test_needs_that_are_not_there_are_refused(place):
    write_notebook(place / "nb" / "01_b.ipynb", "1", needs=["00_aa"])
    with pytest.raises(InputError, match="needs names 00_aa, which is not beside it"):
        job(place)


def test_what_was_killed_amid_a_second_run_is_not_taken_for_done(place):
    two(place)
    run(place)
    assert log(place) == ["a", "b"]
    out = place / "out {0} é"
    digest = run_cache.read(out, "00_a").digest
    run_cache.write(out, "00_a", digest, 0.0, False)  # as the runner does before a notebook begins
    run(place, resume=True)
    assert log(place) == ["a", "b"]


def test_a_file_that_two_have_written_stays_with_the_one_that_is_done(place):
    two(place)
    write_notebook(place / "nb" / "01_b.ipynb", table("3"), log_cell(place, "b"))
    run(place)
    out = place / "out {0} é"
    assert run_cache.files(out, "00_a") == run_cache.files(out, "01_b") == ["tables/3.csv"]
    run_cache.clean(out, ["01_b"])
    assert (out / "tables" / "3.csv").exists() and run_cache.read(out, "00_a")
    assert not run_cache.read(out, "01_b") and not run_cache.journal(out, "01_b").exists()


@pytest.mark.parametrize("needs", ["00_a", [3], ["01_b"], ["02_c"], {"00_a": 1}])
def test_needs_that_are_no_list_of_earlier_notebooks_are_refused(place, needs):
    write_notebook(place / "nb" / "01_b.ipynb", "1", needs=needs)
    with pytest.raises(InputError, match=r"01_b.ipynb: metadata.fcnlib.needs = .* must list names"):
        job(place)


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
    """Its journal names what it made, not the places where that was half-made."""
    code = "from pathlib import Path\nfrom fcnlib.runtime.files import locked, write_text\n"
    code += "with locked(Path(out, 'models', 'net')):\n"
    code += "    write_text(Path(out, 'models', 'net', 'log.csv'), 'a')"
    write_notebook(place / "nb" / "00_a.ipynb", code)
    run(place)
    out = place / "out {0} é"
    assert run_cache.files(out, "00_a") == ["models/net/log.csv"]
    assert [p.name for p in (out / "models" / "net").iterdir()] == ["log.csv"]


def test_a_foreign_folder_is_refused_and_stays_as_it_is(place):
    two(place)
    theirs = place / "theirs"
    (theirs / "models").mkdir(parents=True)
    (theirs / "models" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="theirs: is not empty and no run made it"):
        run(place, out=theirs)
    assert [p.name for p in theirs.rglob("*")] == ["models", "thesis.txt"]
    with pytest.raises(InputError, match="is a file"):
        run(place, out=theirs / "models" / "thesis.txt")


def test_cleaning_never_leaves_the_folder(place):
    out = place / "out"
    run_cache.claim(out)
    (place / "outside").write_text("mine")
    run_cache.journal(out, "00_a").write_text(
        "tables/../../outside\n../outside\ntables/\nmodels/.\n"
    )
    (out / "tables").mkdir()
    (out / "tables" / "other.csv").write_text("another's")
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "big").write_text("mine")
    (out / "models").symlink_to(place / "elsewhere")
    run_cache.clean(out, ["00_a"])
    assert (out / "tables" / "other.csv").exists()
    run_cache.clean(out)
    assert (place / "outside").read_text() == "mine"
    assert (place / "elsewhere" / "big").read_text() == "mine"
    run_cache.claim(out)  # still a run's


BAD_SETTINGS = [
    ("nonsense=1", "unknown setting 'nonsense'.*parameters of the notebooks: steps"),
    ("base_lr", "has no '='"),
    ("base_lr=fast", "base_lr = 'fast' does not read as float"),
    ("steps=many", "steps = 'many' does not read as int, such as 3"),
    ("steps=1.5", "does not read as int"),
    ("profile=camvid", "use --profile"),
]


@pytest.mark.parametrize(("setting", "complaint"), BAD_SETTINGS)
def test_a_bad_setting_is_refused_before_anything_runs(place, setting, complaint):
    two(place)
    with pytest.raises(InputError, match=complaint):
        job(place, settings=[setting])
    assert not (place / "out {0} é").exists()


def test_a_parameter_of_a_notebook_that_is_not_chosen_is_refused(place):
    two(place)
    assert job(place, settings=["steps=4"]).values == {"steps": 4}
    with pytest.raises(InputError, match="unknown setting 'steps'"):
        job(place, settings=["steps=4"], only=["01"])
    with pytest.raises(InputError, match="--only 07: no such notebook; there are: 00_a, 01_b"):
        job(place, only=["07"])


def test_parameters_take_the_type_of_their_default():
    typed = {"f": 1.0, "b": False, "s": "x", "l": [1], "i": 2}
    book = notebooks.Notebook(Path("00_a.ipynb"), nbformat.v4.new_notebook(), typed)
    words = ["f=3", "b=true", "s=1", "l=[4, 5]", "i=-7"]
    _, values = notebooks.split_settings(words, [book])
    assert values == {"f": 3.0, "b": True, "s": "1", "l": [4, 5], "i": -7}
    assert type(values["f"]) is float


BAD_CELLS = [
    ("x = 1", "lacks profile, overrides, out"),
    (f"{PARAMETERS}\nn = 2 * 3", "may hold only `name = literal`"),
    (f"{PARAMETERS}\nimport os", "may hold only"),
    (f"{PARAMETERS}\nx = ", "may hold only"),
]


@pytest.mark.parametrize(("parameters", "complaint"), BAD_CELLS)
def test_a_bad_parameters_cell_is_refused(place, parameters, complaint):
    path = write_notebook(place / "nb" / "00_a.ipynb", parameters=parameters)
    with pytest.raises(InputError, match=f"00_a.ipynb: .*{re.escape(complaint)}"):
        notebooks.read_notebook(path)


def test_what_is_no_notebook_is_refused(place):
    (place / "nb").mkdir()
    with pytest.raises(InputError, match="holds no notebook"):
        job(place)
    path = place / "nb" / "00_a.ipynb"
    path.write_text("{}")
    with pytest.raises(InputError, match="00_a"):
        job(place)
    nbformat.write(nbformat.v4.new_notebook(), path)
    with pytest.raises(InputError, match="has 0 cells tagged"):
        job(place)


def test_the_digest_follows_what_matters_and_nothing_else(place, tmp_path):
    two(place)
    start = tmp_path / "start.npz"
    start.write_bytes(b"one")
    book = notebooks.read_notebook(place / "nb" / "00_a.ipynb")

    def digest(node=book.node, steps=3, upstream=(), source="s", **settings):
        config = load_profile(str(place / "small.toml"), {"initial": str(start), **settings})
        return run_cache.notebook_digest(
            node, {"out": "o", "steps": steps}, config, upstream, source
        )

    first = digest()
    other = nbformat.from_dict(book.node)
    for cell in other.cells:
        cell.id = cell.id[::-1]
        cell.metadata["collapsed"] = True
    other.cells[1].outputs = [nbformat.v4.new_output("stream", text="seen")]
    assert digest(other) == first
    stamp = run_cache.Stamp("d", "i", 1.0)
    changed = [digest(steps=4), digest(upstream=[stamp]), digest(source="t"), digest(seed=9)]
    changed.append(digest(upstream=[run_cache.Stamp("d", "j", 1.0)]))
    other.cells[1].source += "\n"
    changed.append(digest(other))
    start.write_bytes(b"two")
    changed.append(digest())
    assert len({first, *changed}) == 8


def test_the_digest_of_sources_sees_every_file(tmp_path):
    (tmp_path / "a.py").write_text("a")
    first = SOURCE_DIGEST([tmp_path])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.py").write_text("c")
    second = SOURCE_DIGEST([tmp_path])
    (tmp_path / "b" / "c.py").rename(tmp_path / "b" / "d.py")
    assert len({first, second, SOURCE_DIGEST([tmp_path])}) == 3


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_bar_weighs_notebooks_by_their_last_time():
    stream = Terminal()
    with RunProgress([Share("00_a", 4, 30.0), Share("01_b", 4, 10.0)], stream) as progress:
        track = progress.begin(0)
        track.cell(cell_index=1)
        track.write("step 3/9\r step 4/9 loss 0.5\n")
        assert progress.line().endswith(" elapsed; 00_a: cell 2 of 4 | step 4/9 loss 0.5")
        other = progress.begin(1)
        other.cell(cell_index=2)
        assert progress.line().endswith("loss 0.5; 01_b: cell 3 of 4")
        track.finish("done", 29.0)
        assert progress.line().endswith(" to go; 01_b: cell 3 of 4")
    assert "00_a 2/4, 01_b 3/4" in stream.getvalue() and " 75%" in stream.getvalue()


def test_what_was_skipped_says_nothing_about_the_time_to_go(monkeypatch):
    shares = [Share(f"0{number}_n", 4, 1000.0) for number in range(5)]
    now = [100.0]
    monkeypatch.setattr(run_progress.time, "monotonic", lambda: now[0])
    progress = RunProgress(shares, io.StringIO(), quiet=1e9)
    for number in range(4):
        progress.begin(number).finish("unchanged", 1000.0, skipped=True)
    progress.begin(4)
    now[0] += 100
    assert progress.line().startswith("1:40 elapsed, about 15:00 to go")


def test_a_log_gets_a_line_now_and_then():
    stream = io.StringIO()
    with RunProgress([Share("00_a", 4)], stream, quiet=0.0) as progress:
        progress.begin(0).cell(cell_index=2)
        assert re.search(":.. elapsed, about .*; 00_a: cell 3 of 4", stream.getvalue())
    stream = io.StringIO()
    with RunProgress([Share("00_a", 4)], stream) as progress:
        progress.begin(0).cell(cell_index=2)
    assert stream.getvalue() == "[1/1] 00_a\n"


def test_a_list_of_the_command_line_stays_a_list_for_papermill():
    overrides, _ = notebooks.split_settings(["chain=32,16", "flip=false"], [])
    assert overrides == {"chain": [32, 16], "flip": False}
