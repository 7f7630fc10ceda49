"""Tiny notebooks for the tests of the runner."""

from __future__ import annotations

from pathlib import Path

import nbformat

PARAMETERS = 'profile = "quick"\noverrides = {}\nout = ""'


def write_notebook(
    path: Path, *cells: str, parameters: str = PARAMETERS, needs: object = None
) -> Path:
    """Write a notebook with a heading, a parameters cell and these code cells."""
    new = nbformat.v4
    first = new.new_code_cell(parameters)
    first.metadata["tags"] = ["parameters"]
    heading = new.new_markdown_cell(f"# About {path.stem} & more\n\nWith $x \\le 2$.")
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    if needs is not None:
        metadata["fcnlib"] = {"needs": needs}
    code = [new.new_code_cell(cell) for cell in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new.new_notebook(cells=[heading, first, *code], metadata=metadata), path)
    return path
