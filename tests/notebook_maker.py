"""Tiny notebooks for the tests of the runner, and a quick stand-in for papermill."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = 'profile = "quick"\noverrides = {}\nout = ""'

# Runs the cells in its own process; what it prints and writes looks like papermill's.
STUB = """
import contextlib, io, json, sys, traceback
*paths, values = json.loads(sys.argv[1])
paths = [path.replace("{{", "{").replace("}}", "}") for path in paths]
node = json.load(open(paths[0]))
tagged = [c["metadata"].get("tags") == ["parameters"] for c in node["cells"]]
about = {"tags": ["injected-parameters"]}
new = {"cell_type": "code", "id": "new", "metadata": about, "outputs": [], "execution_count": 1}
new["source"] = "\\n".join(f"{key} = {value!r}" for key, value in values.items())
node["cells"].insert(tagged.index(True) + 1, new)
names, failed = {}, False
for number, cell in enumerate(node["cells"], 1):
    print(f"Executing Cell {number}" + "-" * 40, flush=True)
    state = cell["metadata"]["papermill"] = {"exception": None, "status": "pending"}
    if cell["cell_type"] != "code" or failed:
        continue
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            exec("".join(cell["source"]), names)
    except Exception as error:
        failed = state["exception"] = True
        lines = traceback.format_exc().splitlines()
        result = {"output_type": "error", "ename": type(error).__name__, "evalue": str(error)}
        cell["outputs"] = [result | {"traceback": lines}]
    else:
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": printed.getvalue()}]
json.dump(node, open(paths[1], "w"))
sys.exit(failed)
"""


def write_notebook(
    path: Path, *cells: str, parameters: str = PARAMETERS, **metadata: object
) -> Path:
    """Write a notebook with a heading, a parameters cell, these code cells, and fcnlib metadata."""
    new = nbformat.v4
    first = new.new_code_cell(parameters)
    first.metadata["tags"] = ["parameters"]
    heading = new.new_markdown_cell(f"# About {path.stem} & more")
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3"}, "fcnlib": metadata}
    code = [new.new_code_cell(cell) for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new.new_notebook(cells=[heading, first, *code], metadata=about), path)
    return path
