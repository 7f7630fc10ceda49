"""The house rules, read off the syntax trees of fcnlib; see CONTRIBUTING.md."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAX_FILE, MAX_FUNCTION = 400, 60  # lines; more is two things

# Lowest first; a module imports from its own line or from those above. A package stands for what
# is in it. fcnlib never imports fcntools.
LEVELS = """
    fcnlib.errors fcnlib.config fcnlib.labels
    fcnlib.runtime
    fcnlib.datasets
    fcnlib.blocks fcnlib.geometry fcnlib.checkpoints fcnlib.slim
    fcnlib.preprocessing fcnlib.backbone fcnlib.upsampling fcnlib.network
    fcnlib.augmentation fcnlib.input_pipeline
    fcnlib.losses fcnlib.optimizer fcnlib.training fcnlib.builders
    fcnlib.metrics fcnlib.evaluation fcnlib.experiment
    fcntools.figures fcntools.data
    fcntools.synthetic
    fcntools.pretrained
    fcntools.inference
    fcntools.analysis
    fcntools.inspector
    fcntools.launcher fcntools.workbook
    fcntools.cli fcnlib.__main__
"""
RANK = {name: rank for rank, line in enumerate(LEVELS.split("\n")) for name in line.split()}


def rank(name: str) -> int | None:
    """Return the level of a module, that of the package it is in where it has none of its own."""
    while name and name not in RANK:
        name = name.rpartition(".")[0]
    return RANK.get(name)


# Imports inside functions that have a reason: help must answer before TensorFlow is loaded, a page
# takes seconds of loading, IPython is there in a notebook.
LATE = {
    "fcntools.cli": None,
    "fcntools.data.tfrecords": {"fcnlib"},  # TensorFlow writes, no reading needs it
    "fcnlib.runtime.progress": {"IPython"},
}

# What a reader, a table or a page needs must not wait for TensorFlow.
LIGHT = (
    *("fcnlib.config", "fcnlib.labels", "fcnlib.metrics", "fcnlib.datasets", "fcnlib.geometry"),
    *("fcnlib.runtime.run_record", "fcnlib.runtime.files", "fcnlib.runtime.progress"),
    "fcntools.analysis.diagnosis",
    *("fcntools.inference.crf", "fcntools.inference.outputs", "fcntools.data.check"),
    *("fcntools.data.download", "fcntools.figures.charts"),
    *("fcntools.workbook.report", "fcntools.workbook.runner"),
    *("fcntools.cli.doctor", "fcntools.cli.main"),
)


def module_name(path: Path) -> str:
    """Return "fcnlib.datasets.voc" for its file, "fcnlib.datasets" for the package's __init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


SOURCES = {
    module_name(path): path.read_text(encoding="utf-8")
    for package in ("fcnlib", "fcntools")
    for path in sorted((ROOT / package).rglob("*.py"))
}


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]


def imported(node: ast.AST, known: set[str]) -> list[str]:
    """Return the modules of ours that an import names, "." for a relative one."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        if node.level:
            return ["."]
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
        return []
    found = []
    for name in (n for n in names if n.split(".")[0] in ("fcnlib", "fcntools")):
        while "." in name and name not in known:
            name = name.rpartition(".")[0]
        found.append(name)
    return found


def import_faults(name: str, tree: ast.AST, known: set[str]) -> list[str]:
    own = rank(name)
    if own is None and "." in name:
        return [f"{name}: give it a place in LEVELS of tests/test_architecture.py"]
    pairs = [(node.lineno, target) for node in ast.walk(tree) for target in imported(node, known)]
    faults = [
        f"{name}:{line}: imports {target}, which is relative or upwards"
        for line, target in pairs
        if target == "." or (rank(target) or 0) > (own or 0)
    ]
    return faults + late_faults(name, tree)


def late_faults(name: str, tree: ast.AST) -> list[str]:
    """Return the imports inside functions that LATE does not allow."""
    room = name if name in LATE else name.rpartition(".")[0]
    allowed, faults = LATE.get(room, set()), set()
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


def test_the_levels_name_no_ghost():
    packages = {name.rpartition(".")[0] for name in SOURCES}
    assert sorted(set(RANK) - set(SOURCES) - packages) == []


HEAVY = ("tensorflow", "tf_slim")


def python(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_light_modules_do_without_tensorflow():
    lines = [f"import {name}" for name in LIGHT]
    lines += ["import sys", f"print([m for m in {HEAVY} if m in sys.modules])"]
    assert python("\n".join(lines)).strip() == "[]"


def test_the_network_needs_the_core_alone():
    names = "blocks geometry errors slim preprocessing backbone upsampling network runtime"
    core = {f"fcnlib.{name}" for name in names.split()}
    parts = "compat environment"
    core |= {"fcnlib", *(f"fcnlib.runtime.{name}" for name in parts.split())}
    lines = "import fcnlib.network, sys; print(*(m for m in sys.modules if m[:3] == 'fcn'))"
    assert set(python(lines).split()) <= core | {"fcntl"}


def test_help_loads_nothing_heavy():
    heavy = (*HEAVY, "matplotlib", "pandas", "papermill", "IPython", "nbconvert", "numpy")
    command = [sys.executable, "-X", "importtime", "-m", "fcnlib", "--help"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "Usage: " in run.stdout
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in run.stderr.splitlines()}
    assert "click" in loaded, "the list of imports was not read"
    assert sorted(loaded & set(heavy)) == []
