"""The form of the notebooks as they are stored, and one headless run of them all."""

from __future__ import annotations

import ast
import copy
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from fcnlib import config
from fcntools.workbook.notebooks import INJECTED

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MAX_CELLS, MAX_LINES, MAX_DEF, MAX_BYTES = 20, 15, 8, 60_000
RUN_SECONDS = 900


def code_cells(notebook: dict) -> list[tuple[int, str]]:
    """Return (number from 1 among all cells, source) of the code cells."""
    cells = enumerate(notebook["cells"], 1)
    return [(n, "".join(c["source"])) for n, c in cells if c["cell_type"] == "code"]


def syntax(source: str) -> ast.Module:
    return ast.parse(re.sub(r"^(\s*)[%!].*$", r"\1pass", source, flags=re.M))


def stored_results(notebook: dict) -> list[str]:
    faults = []
    for number, cell in enumerate(notebook["cells"], 1):
        if cell.get("outputs") or cell.get("execution_count") is not None:
            faults.append(f"cell {number}: stored with its output; run nbstripout")
        if "papermill" in cell["metadata"]:
            faults.append(f"cell {number}: has papermill metadata; run nbstripout")
    extra = {"widgets", "papermill"} & set(notebook["metadata"])
    return faults + [f"has metadata.{name}; run nbstripout" for name in sorted(extra)]


def parameter_faults(notebook: dict) -> list[str]:
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1 or tagged[0]["cell_type"] != "code":
        return [f"{len(tagged)} cells tagged parameters; one code cell must be"]
    names = []
    for node in syntax("".join(tagged[0]["source"])).body:
        try:
            (target,) = node.targets
            ast.literal_eval(node.value)
            names.append(target.id)
        except (AttributeError, ValueError):
            return [f"parameters: {ast.unparse(node)!r} is no `name = literal`"]
    return [f"parameters: no {name}; the runner gives it" for name in INJECTED if name not in names]


def cell_faults(notebook: dict) -> list[str]:
    faults, cells = [], code_cells(notebook)
    if len(cells) > MAX_CELLS:
        faults.append(f"{len(cells)} code cells, at most {MAX_CELLS}")
    for number, source in cells:
        if (lines := len(source.rstrip("\n").split("\n"))) > MAX_LINES:
            faults.append(f"cell {number}: {lines} lines, at most {MAX_LINES}")
        for node in ast.walk(syntax(source)):
            if isinstance(node, ast.Assert):
                faults.append(f"cell {number}: an assert, which -O leaves out; use lesson.fact")
            elif isinstance(node, ast.ClassDef):
                faults.append(f"cell {number}: class {node.name} belongs into fcnlib")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1
                if lines > MAX_DEF:
                    faults.append(
                        f"cell {number}: {node.name} has {lines} lines; it belongs into fcnlib"
                    )
    return faults


def story_faults(notebook: dict) -> list[str]:
    markdown = [c for c in notebook["cells"] if c["cell_type"] == "markdown"]
    text = "\n".join("".join(c["source"]) for c in markdown)
    headings = " | ".join(re.findall(r"^#+ (.+)$", text, re.M))
    faults = [f"no heading {h!r}" for h in ("Goal", "Exercises") if h not in headings]
    nodes = (n for _, source in code_cells(notebook) for n in ast.walk(syntax(source)))
    calls = (ast.unparse(n.func) for n in nodes if isinstance(n, ast.Call))
    if not {"lesson.fact", "lesson.claim"} & set(calls):
        faults.append("no lesson.fact or lesson.claim: what it says cannot fail")
    kernel = notebook["metadata"].get("kernelspec", {}).get("name")
    return faults + ([] if kernel == "python3" else [f"kernel {kernel!r}; must be python3"])


def problems(text: str) -> list[str]:
    """Return every fault of a stored notebook, a line each."""
    notebook = json.loads(text)
    found = stored_results(notebook) + parameter_faults(notebook)
    found += cell_faults(notebook) + story_faults(notebook)
    size = len(text.encode())
    return found + ([f"{size} bytes, at most {MAX_BYTES}"] if size > MAX_BYTES else [])


def test_the_notebooks_are_numbered():
    names = [path.name for path in NOTEBOOKS]
    assert len(names) >= 7
    assert [n for n in names if not re.fullmatch(r"\d\d_[a-z_]+\.ipynb", n)] == []
    assert len({n[:2] for n in names}) == len(names)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_form_of_a_notebook(path):
    text = path.read_text(encoding="utf-8")
    nbformat.validate(nbformat.reads(text, as_version=4))
    found = problems(text)
    assert not found, "\n".join(found)


def test_a_notebook_names_those_that_it_needs():
    names = [path.stem for path in NOTEBOOKS]
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        about = json.loads(text)["metadata"]["fcnlib"]
        asked = re.findall(r"lesson\.need\(.*?(\d\d_\w+)", text)
        assert set(asked) <= set(about["needs"]) <= {n for n in names if n < path.stem}
        assert not [m for m in about.get("makes", ()) if ".." in m or m.startswith("/")]


def test_every_profile_loads():
    assert {"smoke", "quick", "camvid", "voc2012"} <= set(config.profiles())
    for name in config.profiles():
        config.load_profile(name)


FACT = 'lesson.fact("one is one", True)\n'


@pytest.fixture
def good():
    """A small notebook without a fault, as a dictionary."""
    new = nbformat.v4
    first = new.new_code_cell('profile = "quick"\noverrides = {}\nout = ""\nscale = 2.0')
    first.metadata["tags"] = ["parameters"]
    cells = [
        new.new_markdown_cell("# 09 Nothing\n\n## Goal\n\nSee that one is one."),
        first,
        new.new_code_cell("%matplotlib inline\ndef f(x):\n    return x\n\n\n" + FACT),
        new.new_markdown_cell("## Exercises\n\n1. Two?"),
    ]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    return json.loads(nbformat.writes(new.new_notebook(cells=cells, metadata=metadata)))


def test_a_good_notebook_has_no_problems(good):
    assert problems(json.dumps(good)) == []


def _edit(cell: int, **values):
    return lambda nb: nb["cells"][cell].update(values)


def _source(cell: int, text: str):
    return _edit(cell, source=text)


OUTPUT = [{"output_type": "stream", "name": "stdout", "text": "1"}]
PARAMETERS = 'profile = ""\noverrides = {}\nout = ""\n'
BAD = [  # (what is said, how a good notebook is spoilt)
    ("cell 3: stored with its output", _edit(2, outputs=OUTPUT)),
    ("cell 3: stored with its output", _edit(2, execution_count=4)),
    ("cell 3: has papermill metadata", _edit(2, metadata={"papermill": {}})),
    ("has metadata.widgets", lambda nb: nb["metadata"].update(widgets={})),
    ("has metadata.papermill", lambda nb: nb["metadata"].update(papermill={})),
    ("0 cells tagged parameters", _edit(1, metadata={})),
    ("2 cells tagged parameters", _edit(2, metadata={"tags": ["parameters"]})),
    ("'x = 2 * 3' is no `name = literal`", _source(1, PARAMETERS + "x = 2 * 3")),
    ("'import os' is no `name = literal`", _source(1, "import os\n" + PARAMETERS)),
    ("'a = b = 1' is no `name = literal`", _source(1, "a = b = 1\n" + PARAMETERS)),
    ("parameters: no overrides", _source(1, 'profile = ""\nout = ""')),
    ("cell 3: 16 lines", _source(2, FACT * 16)),
    ("cell 3: f has 9 lines", _source(2, "def f():\n" + "    x = 1\n" * 8 + FACT)),
    ("cell 3: class A belongs", _source(2, "class A:\n    pass\n" + FACT)),
    ("21 code cells", lambda nb: nb["cells"].extend([copy.deepcopy(nb["cells"][2])] * 19)),
    ("no heading 'Goal'", _source(0, "# 09 Nothing\n\nGoal: none.")),
    ("no heading 'Exercises'", _source(3, "That is all.")),
    ("no lesson.fact", _source(2, "x = 1  # lesson.fact")),
    ("cell 3: an assert, which -O", _source(2, FACT + "assert True")),
    ("kernel 'venv'", lambda nb: nb["metadata"]["kernelspec"].update(name="venv")),
    ("bytes, at most 60000", _source(3, "## Exercises\n" + "x" * 60_000)),
]


@pytest.mark.parametrize(("fault", "spoil"), BAD, ids=[fault for fault, _ in BAD])
def test_a_bad_notebook_is_caught(good, fault, spoil):
    spoil(good)
    found = problems(json.dumps(good))
    assert len(found) == 1
    assert fault in found[0]


@pytest.mark.slow
@pytest.mark.timeout(RUN_SECONDS + 60)
def test_all_notebooks_run_headlessly(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "fcnlib", "run", "--profile", "smoke", "--out", str(out)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    env = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=RUN_SECONDS
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-6000:]
    assert (out / "index.html").stat().st_size > 1000
    assert list((out / "tables").glob("*/*.csv"))
    executed = sorted((out / "notebooks").glob("*.ipynb"))
    assert [p.name for p in executed] == [p.name for p in NOTEBOOKS]
    for path in executed:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        counts = [c["execution_count"] for c in cells if c["cell_type"] == "code" and c["source"]]
        assert counts == list(range(1, len(counts) + 1)), f"{path.name}: cells were left out"
        assert path.stat().st_size < 2_000_000
