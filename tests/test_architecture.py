"""The house rules, read off the syntax trees of fcnlib; see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION = 400, 60  # lines; more is two things

# Lowest first. A module imports from the lines above its own only, so there can be no cycle.
LAYERS = """
    __init__ errors schema
    files
    blocks borders config diagnosis journal labels launching metrics progress
    download protocols unpacking
    runrecord
    sharing
    datasets.generation datasets.matlab datasets.records datasets.scene_canvas datasets.shape_forms
    datasets.reading datasets.scene_indoor datasets.scene_things
    datasets.scene_outdoor
    datasets.shape_scenes
    datasets.camvid datasets.scene_parsing datasets.voc
    datasets.folder datasets.identity datasets.sbd datasets.scenes datasets.shapes
    datasets.streets
    datasets
    archives data_check
    compat
    precision tensorboard_log workers
    augmentation image_store packing
    input_pipeline
    geometry weights
    slim_module
    backbone
    upsampling
    fusion
    network
    seed_2017
    losses
    optimization
    training
    checkpoints jobs
    imagenet
    releases
    folding
    onnx_file
    engines export
    evaluation
    pretraining recipe
    ablation experiments imbalance
    comparison published rerun
    calibration smoothing
    postprocess
    canvas
    pictures
    inference plotting prediction_files
    scoring
    inspector
    sheet readings
    inspector_account
    inspector_page
    inspector_panel
    lesson
    kernel notebook_files pages run_progress stamps
    execution
    run_contents
    publish report
    widgets
    workbook
    doctor
    command_options
    commands
    commands_data commands_predict commands_weights
    cli
    __main__
"""
RANK = {name: rank for rank, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def rank(name: str) -> int | None:
    """Return a module's layer; a new file of datasets/ is a reader like `voc`."""
    return RANK.get(name, RANK["datasets.voc"] if name.startswith("datasets.") else None)


# Imports inside functions that have a reason; those of fcnlib itself never do, but for `cli`.
LATE = {
    "command_options": None,
    "commands": None,  # anything, as cli
    "commands_data": None,
    "commands_predict": None,
    "commands_weights": None,
    "cli": None,  # anything: help must answer before TensorFlow is loaded
    "pages": {"jinja2", "matplotlib", "nbconvert"},  # seconds to load, for one page at the end
    "progress": {"IPython"},  # there in a notebook, and wanted nowhere else
}

# What a reader, a table or a page needs must not wait for TensorFlow.
LIGHT = (
    *("errors", "config", "labels", "metrics", "borders", "diagnosis", "datasets", "runrecord"),
    *("calibration", "smoothing", "postprocess", "prediction_files", "data_check"),
    *("progress", "files", "download", "unpacking", "geometry", "canvas", "pictures", "plotting"),
    *(
        "pages",
        "run_contents",
        "publish",
        "report",
        "notebook_files",
        "journal",
        "kernel",
        "execution",
        "sharing",
        "run_progress",
        "stamps",
    ),
    *("workbook", "doctor", "cli"),
)


def module_name(path: Path) -> str:
    """Return "datasets.voc" for fcnlib/datasets/voc.py, "datasets" for its __init__."""
    parts = path.relative_to(ROOT / "fcnlib").with_suffix("").parts
    return ".".join(parts[:-1]) if len(parts) > 1 and parts[-1] == "__init__" else ".".join(parts)


SOURCES = {
    module_name(p): p.read_text(encoding="utf-8") for p in sorted(ROOT.glob("fcnlib/**/*.py"))
}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def imported(node: ast.AST, known: set[str]) -> list[str]:
    """Return the modules of fcnlib that an import names, without the leading "fcnlib."."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            return ["."]
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    found = []
    for name in (
        n.removeprefix("fcnlib").lstrip(".") for n in names if n.split(".")[0] == "fcnlib"
    ):
        while name and name not in known:
            name = name.rpartition(".")[0]
        found.append(name or "__init__")
    return found


def import_faults(name: str, tree: ast.AST, known: set[str]) -> list[str]:
    own = rank(name)
    if own is None:
        return [f"{name}: give it a line in LAYERS of tests/test_architecture.py"]
    faults = []
    for node in ast.walk(tree):
        for target in imported(node, known):
            if target == ".":
                faults.append(f"{name}:{node.lineno}: relative import; write fcnlib.…")
            elif (rank(target) or 0) >= own:
                faults.append(f"{name}:{node.lineno}: imports upwards, from {target}")
    return faults + late_faults(name, tree)


def late_faults(name: str, tree: ast.AST) -> list[str]:
    """Return the imports inside functions that LATE does not allow."""
    allowed, faults = LATE.get(name, set()), set()
    for node in (n for function in functions(tree) for n in ast.walk(function)):
        if isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        else:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
        for package in (n.split(".")[0] for n in names):
            if allowed is not None and package not in allowed:
                faults.add(f"{name}:{node.lineno}: import inside a function, of {package}")
    return sorted(faults)


def size_faults(name: str, source: str, tree: ast.AST) -> list[str]:
    faults = []
    if (lines := source.count("\n")) > MAX_FILE:
        faults.append(f"{name}: {lines} lines, at most {MAX_FILE}")
    if name.rpartition(".")[2] == "utils":
        faults.append(f"{name}: name a module after what it does")
    for node in functions(tree):
        if (lines := node.end_lineno - node.lineno + 1) > MAX_FUNCTION:
            faults.append(
                f"{name}:{node.lineno}: {node.name} has {lines} lines, at most {MAX_FUNCTION}"
            )
    return faults


def public(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Return the public functions and classes of a module, and those classes' public methods."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = []
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            found.append(node)
            if isinstance(node, ast.ClassDef):
                found += public(node)
    return found


def documented(docstring: str) -> list[str] | None:
    """Return the names in the Args section of a docstring, None where there is no such section."""
    section = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", docstring, re.M)
    return re.findall(r"^ {4}(\*{0,2}\w+)(?: \(.*?\))?:", section[1], re.M) if section else None


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    a = node.args
    names = [arg.arg for arg in (*a.posonlyargs, *a.args)]
    names += [f"*{a.vararg.arg}"] if a.vararg else []
    names += [arg.arg for arg in a.kwonlyargs]
    names += [f"**{a.kwarg.arg}"] if a.kwarg else []
    return [n for n in names if n not in ("self", "cls")]


def section_faults(node: ast.FunctionDef | ast.AsyncFunctionDef, text: str) -> list[str]:
    """Return which of Returns and Raises a docstring lacks; "Return ..." on top says the former."""
    inner = {n for f in functions(node) if f is not node for n in ast.walk(f)}
    own = [n for n in ast.walk(node) if n not in inner]
    faults = []
    gives = any(isinstance(n, ast.Return | ast.Yield) and n.value for n in own)
    if gives and "Args:" in text and not re.search(r"\AReturn |^(Returns|Yields):", text, re.M):
        faults.append("has no Returns section")
    for raised in (
        n.exc.func for n in own if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call)
    ):
        name = ast.unparse(raised)
        if not re.search(rf"^Raises:\n(.*\n)*? +{re.escape(name)}:", text, re.M):
            faults.append(f"raises {name} and does not say so")
    return faults


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell a command of the command line: --help shows its docstring and documents its options."""
    calls = [d.func for d in node.decorator_list if isinstance(d, ast.Call)]
    return any(isinstance(f, ast.Attribute) and f.attr == "command" for f in calls)


def docstring_faults(name: str, tree: ast.AST) -> list[str]:
    faults = [] if ast.get_docstring(tree) else [f"{name}: the module has no docstring"]
    for node in public(tree):
        text, where = ast.get_docstring(node), f"{name}:{node.lineno}: {node.name}"
        if not text:
            faults.append(f"{where} has no docstring")
        elif not isinstance(node, ast.ClassDef):
            names, expected = documented(text), parameters(node)
            if names is None and len(expected) > 2 and not is_command(node):
                faults.append(f"{where} takes {len(expected)} arguments and has no Args section")
            elif names is not None and names != expected:
                faults.append(f"{where} documents {names}, takes {expected}")
            if not is_command(node):
                faults += [f"{where} {fault}" for fault in section_faults(node, text)]
    return faults


def violations(sources: dict[str, str]) -> list[str]:
    """Return every broken rule in {module: source}, a line each."""
    found = []
    for name, source in sources.items():
        tree = ast.parse(source)
        found += import_faults(name, tree, set(sources))
        found += size_faults(name, source, tree)
        found += docstring_faults(name, tree)
    return found


def test_fcnlib_keeps_the_house_rules():
    assert len(SOURCES) > 15
    found = violations(SOURCES)
    assert not found, "\n".join(found)


def test_the_table_of_layers_names_no_ghost():
    assert sorted(set(RANK) - set(SOURCES)) == []


DOC = '"""A module."""\n'
ABC = "a: one, such as {x: y}\n            More: of it.\n        b: 2\n        c: 3"
THREE = DOC + 'def f(a, b, c=1):\n    """Do.\n\n    Args:\n        {}.\n    """\n'
BAD = [  # (what is said, module, its source)
    ("imports upwards, from cli", "metrics", "from fcnlib import cli"),
    ("imports upwards, from config", "labels", "import fcnlib.config"),
    ("imports upwards, from training", "losses", "if TYPING:\n    from fcnlib.training import fit"),
    ("imports upwards, from losses", "losses", "import fcnlib.losses"),
    ("relative import", "network", "from .backbone import b"),
    ("import inside a function, of os", "report", "def _f():\n    import os"),
    ("function, of fcnlib", "progress", "def _f():\n    from fcnlib import errors"),
    ("give it a line in LAYERS", "helpers", ""),
    ("name a module after what it does", "utils", ""),
    ("401 lines", "errors", "x = 1\n" * 399),
    ("_f has 61 lines", "errors", "def _f():\n" + "    x = 1\n" * 60),
    ("f has no docstring", "errors", "def f(): pass"),
    ("m has no docstring", "errors", 'class A:\n    """A."""\n    def m(self): pass'),
    ("no Args section", "errors", 'def f(a, b, c):\n    """Do."""'),
    ("f documents ['a', 'd', 'c']", "errors", THREE.format("a: 1\n        d: 2\n        c: 3")),
    ("f has no Returns section", "errors", THREE.format(ABC) + "    return a"),
    ("f raises E and does not", "errors", THREE.format(ABC) + "    raise E(a)"),
    ("f documents ['a', 'b']", "errors", THREE.format("a: 1\n        b: 2")),
]


@pytest.mark.parametrize(("fault", "name", "source"), BAD)
def test_the_checker_sees_a_broken_rule(fault, name, source):
    stubs = dict.fromkeys(("config", "cli", "network", "losses", "training", "backbone"), DOC)
    found = violations(stubs | {name: DOC + source + "\n"})
    assert any(fault in line for line in found), found


def test_the_checker_sees_a_module_without_docstring():
    assert violations({"errors": "x = 1\n"}) == ["errors: the module has no docstring"]


def test_a_cycle_always_breaks_a_layer():
    pair = {"losses": "from fcnlib.network import x", "network": "from fcnlib.losses import y"}
    found = violations({name: DOC + source for name, source in pair.items()})
    assert found == ["network:2: imports upwards, from losses"]


def test_the_checker_passes_what_is_right():
    right = THREE.format(ABC + ".\n\n    Returns:\n        One.\n\n    Raises:\n        E: no a")
    right += "    if a:\n        return 1\n    raise E(2)\n"
    late = DOC + 'def f():\n    """Do."""\n    from fcnlib.training import fit\n'
    assert violations({"cli": late, "training": DOC, "errors": right}) == []


HEAVY = ("tensorflow", "tf_slim")


def python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_light_modules_do_without_tensorflow():
    lines = [f"import fcnlib.{name}" for name in LIGHT]
    lines += ["import sys", f"print([m for m in {HEAVY} if m in sys.modules])"]
    assert python("\n".join(lines)).strip() == "[]"


def test_help_loads_nothing_heavy():
    heavy = (*HEAVY, "matplotlib", "pandas", "papermill", "IPython", "nbconvert", "numpy")
    command = [sys.executable, "-X", "importtime", "-m", "fcnlib", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Usage: " in run.stdout
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert "click" in loaded, "the list of imports was not read"
    assert sorted(loaded & set(heavy)) == []
