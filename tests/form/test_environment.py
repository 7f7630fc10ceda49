"""One set of versions: pyproject.toml, lock, environment files, Makefile and code agree."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import NO_BROWSER

import fcnlib

ROOT = Path(__file__).resolve().parents[2]
# The import's name where it is not the package's.
PACKAGES = {
    "yaml": "pyyaml",
    "IPython": "ipython",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "websocket": "websocket-client",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
RUNTIME = dict(pin.split("==") for pin in PROJECT["dependencies"])
DEV = dict(pin.split("==") for pin in PROJECT["optional-dependencies"]["dev"])
EXPORT = dict(pin.split("==") for pin in PROJECT["optional-dependencies"]["export"])
OUTSIDE = dict(
    pin.split("==")
    for extra in ("soak", "tensorboard")
    for pin in PROJECT["optional-dependencies"][extra]
)


def locked(text: str) -> dict[str, str]:
    """Return {package: version} of a requirements file; a package may stand there only once."""
    pins = re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", text, re.M)
    assert len(pins) == len(dict(pins)), "a package has two versions"
    return dict(pins)


def conda(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return (channels, conda packages, pip lines) of an environment file of our plain form."""
    sections: dict[str, list[str]] = {"channels": [], "dependencies": [], "pip": []}
    at = ""
    for line in (re.sub(r"(^|\s)#.*", "", raw).rstrip() for raw in text.splitlines()):
        if match := re.fullmatch(r"(?:\s*- )?(\w+):", line):
            at = match[1]
        elif match := re.fullmatch(r"\s*- (.+)", line):
            sections[at].append(match[1].strip('"'))
    return sections["channels"], sections["dependencies"], sections["pip"]


def test_every_pin_of_the_project_is_in_the_lock():
    pins = RUNTIME | DEV | EXPORT
    lock = locked(read("requirements.lock"))
    assert len(lock) > 100
    assert {name: lock.get(name) for name in pins} == pins


def test_every_pin_has_its_reason_beside_it():
    lines = re.findall(r'^    "([\w-]+)==.*$', read("pyproject.toml"), re.M)
    reasons = re.findall(r'^    "([\w-]+)==[^"]+", +# \S.{8,}$', read("pyproject.toml"), re.M)
    assert sorted(lines) == sorted(reasons) == sorted(RUNTIME | DEV | EXPORT | OUTSIDE)


def test_every_locked_package_has_hashes():
    blocks = re.split(r"^(?=[a-z0-9])", read("requirements.lock"), flags=re.M)[1:]
    assert len(blocks) == len(locked(read("requirements.lock")))
    assert [b.split()[0] for b in blocks if "--hash=sha256:" not in b] == []


def test_requirements_txt_is_the_lock_without_hashes():
    lines = [line for line in read("requirements.lock").splitlines() if "--hash=" not in line]
    text = "\n".join(line.removesuffix(" \\") for line in lines) + "\n"
    assert read("requirements.txt") == text, "run `make lock`"


@pytest.mark.parametrize("name", ["requirements.lock", "requirements.txt"])
def test_the_lock_names_no_host_and_no_machine(name):
    assert re.findall(r"://|file:|^-|@ |\s--(?!hash=sha256:)|(?<!\w)/\w+", read(name), re.M) == []


def test_conda_takes_python_and_pip_and_the_rest_from_the_lock():
    channels, packages, pip = conda(read("environment.yml"))
    assert channels == ["conda-forge", "nodefaults"]
    assert packages == ["python=3.11", "pip"]
    assert pip == ["-r requirements.txt", "-e ."]


def test_the_gpu_environment_adds_cuda_to_the_same_tensorflow():
    channels, packages, pip = conda(read("environment-gpu.yml"))
    assert (channels, packages) == conda(read("environment.yml"))[:2]
    cuda = f"tensorflow[and-cuda]=={RUNTIME['tensorflow']}"
    assert pip == ["-r requirements.txt", cuda, "-e ."]
    assert f'"{cuda}"' in read("environment-gpu.yml"), "brackets need quotes"


def test_the_two_environments_have_names_of_their_own():
    names = [re.search(r"^name: (.+)$", read(f), re.M)[1] for f in CONDA]
    assert names == ["fcn-googlenet", "fcn-googlenet-gpu"]


CONDA = ("environment.yml", "environment-gpu.yml")


def test_supported_pythons_are_the_same_everywhere():
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in read("Makefile")
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)


def test_the_version_is_the_packages():
    assert fcnlib.__version__ == PROJECT["version"]
    assert f"## {fcnlib.__version__}" in read("CHANGELOG.md")


def sources(folder: str) -> list[str]:
    code = [p.read_text(encoding="utf-8") for p in sorted((ROOT / folder).glob("**/*.py"))]
    for path in sorted((ROOT / folder).glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code += ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    return code


def outside(code: str) -> set[str]:
    """Return the packages that a source imports, ours and the standard library left out."""
    found = set()
    for node in ast.walk(ast.parse(re.sub(r"^\s*[%!].*$", "", code, flags=re.M))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"fcnlib", "fcntools", "benchmarks"}


@pytest.mark.parametrize("folder", ["fcnlib", "fcntools", "notebooks", "tests"])
def test_what_is_imported_is_a_dependency_of_its_own(folder):
    own = {path.stem for path in (ROOT / folder).glob("**/*.py")} if folder == "tests" else set()
    used = {
        PACKAGES.get(n, n.replace("_", "-"))
        for code in sources(folder)
        for n in outside(code) - own
    }
    assert used - set(RUNTIME | (DEV | EXPORT | OUTSIDE if folder == "tests" else {})) == set()


def test_the_readers_of_this_file_see_what_is_there():
    assert outside("import PIL.Image, os\nfrom tqdm.auto import tqdm\n%matplotlib inline\n") == {
        "PIL",
        "tqdm",
    }
    assert locked("a-b==1.0 ; python_version < '3.12' \\\n    # via c\nc==2\n") == {
        "a-b": "1.0",
        "c": "2",
    }
    with pytest.raises(AssertionError):
        locked("a==1\na==2\n")
    text = 'channels:\n  - x # y\ndependencies:\n  - p=1\n  - pip:\n      # z\n      - "t[c]==1"\n'
    assert conda(text) == (["x"], ["p=1"], ["t[c]==1"])


@pytest.mark.parametrize(("needed", "status"), [("", 0), ("1", 1)])
def test_without_a_browser_its_tests_are_skipped_aloud_but_in_ci_they_fail(needed, status):
    assert "export FCNLIB_NEEDS_BROWSER=1" in read(".ci/run")
    env = {**os.environ, "PATH": "/nowhere", "FCNLIB_NEEDS_BROWSER": needed}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/test_fcntools/test_browser.py",
    ]
    command += ["-k", "fits_a_phone"]
    run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    assert run.returncode == status, run.stdout
    *_, said, total = run.stdout.splitlines()
    said_so = said == f"skipped 1 of the tests that open pages: {NO_BROWSER}"
    assert said_so is not bool(needed)
    assert ("1 skipped" in total, "1 error" in total) == (not needed, bool(needed))
