"""The notebooks as files: which there are, what parameters they take, how `--set` reaches them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from fcnlib.config import ROOT, keys, parse_setting
from fcnlib.errors import InputError

NOTEBOOKS = ROOT / "notebooks"
_NO_LITERAL = (SyntaxError, ValueError, TypeError, RecursionError, MemoryError)
INJECTED = ("profile", "overrides", "out")


@dataclass(frozen=True)
class Notebook:
    """A notebook of the workbook: file, number ("03"), name ("03_skip_fusion"), parameters, cells.

    `parameters` maps the names in its `parameters` cell to their literal defaults. `needs` names
    the notebooks whose results it reads, from its metadata (`"fcnlib": {"needs": ["00_data"]}`);
    without such metadata, None, it may read those of all before it.
    """

    path: Path
    node: nbformat.NotebookNode
    parameters: dict[str, Any]
    needs: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Return the file name without its ending."""
        return self.path.stem

    @property
    def number(self) -> str:
        """Return the digits that the name begins with."""
        return self.name.partition("_")[0]

    def before(self, notebooks: Sequence[Notebook]) -> list[Notebook]:
        """Return those of a sequence whose results it reads."""
        return [
            other
            for other in notebooks
            if other.name < self.name and (self.needs is None or other.name in self.needs)
        ]


def discover(folder: Path = NOTEBOOKS) -> tuple[Notebook, ...]:
    """Read the notebooks of a folder.

    Args:
        folder: holds NN_name.ipynb.

    Returns:
        The notebooks in the order of their names.

    Raises:
        InputError: there is none; one is no notebook or has no proper `parameters` cell, or needs
            one that is not there.
    """
    found = tuple(read_notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    if not found:
        raise InputError(f"{folder}: holds no notebook named NN_name.ipynb")
    names = {notebook.name for notebook in found}
    for notebook in found:
        if unknown := set(notebook.needs or ()) - names:
            raise InputError(
                f"{notebook.path}: metadata.fcnlib.needs names {', '.join(sorted(unknown))}, which "
                "is not beside it"
            )
    return found


def read_notebook(path: Path) -> Notebook:
    """Read one notebook and the literals of its `parameters` cell.

    Args:
        path: the .ipynb file.

    Returns:
        The notebook.

    Raises:
        InputError: it is unreadable, has not exactly one cell tagged `parameters`, or that cell
            holds anything but `name = literal`, or lacks one of profile, overrides and out; or its
            `needs` are no list of names that stand before its own.
    """
    try:
        node = nbformat.read(path, as_version=4)
        tagged = [c for c in node.cells if "parameters" in c.metadata.get("tags", [])]
    except Exception as error:  # nbformat reports a broken file with whatever it stumbles over
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a notebook: {reason}") from None
    if len(tagged) != 1:
        raise InputError(f"{path}: has {len(tagged)} cells tagged `parameters`; it must have one")
    try:
        parameters = _literals(tagged[0].source)
    except (*_NO_LITERAL, AttributeError):
        raise InputError(f"{path}: its `parameters` cell may hold only `name = literal`") from None
    missing = [name for name in INJECTED if name not in parameters]
    if missing:
        raise InputError(f"{path}: its `parameters` cell lacks {', '.join(missing)}")
    return Notebook(path, node, parameters, _needs(path, node.metadata))


def _needs(path: Path, metadata: dict[str, Any]) -> tuple[str, ...] | None:
    ours = metadata.get("fcnlib", {})
    needs = ours.get("needs") if isinstance(ours, dict) else ours
    if needs is None:
        return None
    names = needs if isinstance(needs, list) else [needs]
    wrong = [name for name in names if not isinstance(name, str) or name >= path.stem]
    if wrong or names is not needs:
        raise InputError(
            f"{path}: metadata.fcnlib.needs = {needs!r}; it must list names of notebooks before it"
        )
    return tuple(names)


def _literals(source: str) -> dict[str, Any]:
    values = {}
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values[name] = ast.literal_eval(value)
            case _:
                raise ValueError("not an assignment of a literal")
    return values


def choose(notebooks: Sequence[Notebook], only: Sequence[str]) -> tuple[Notebook, ...]:
    """Return the notebooks that `--only` names by number or name; all of them for an empty list.

    Raises:
        InputError: a word names no notebook.
    """
    for word in only:
        if not any(word in (n.number, n.name) for n in notebooks):
            there = ", ".join(n.name for n in notebooks)
            raise InputError(f"--only {word}: no such notebook; there are: {there}")
    return tuple(n for n in notebooks if not only or n.number in only or n.name in only)


def split_settings(
    settings: Sequence[str], notebooks: Sequence[Notebook]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the settings of the configuration from the notebooks' own parameters.

    Args:
        settings: `key=value` words.
        notebooks: the chosen ones.

    Returns:
        (overrides of the configuration, values of parameters), each in the right type.

    Raises:
        InputError: a key is neither, or a value does not read as the type that is wanted.
    """
    own = {k: v for n in notebooks for k, v in n.parameters.items() if k not in INJECTED}
    overrides, values = {}, {}
    for text in settings:
        key, _, raw = text.partition("=")
        if key in INJECTED:
            raise InputError(
                f"--set {key}: use --profile NAME, --set key=value or --out DIR for it"
            )
        if key in own and key not in keys():
            values[key] = _typed(key, raw, own[key])
            continue
        try:
            key, value = parse_setting(text)
            # papermill knows lists and would write a tuple as a string.
            overrides[key] = list(value) if isinstance(value, tuple) else value
        except InputError as error:
            more = f"; parameters of the notebooks: {', '.join(sorted(own))}" if own else ""
            raise InputError(f"{error}{more if key not in keys() else ''}") from None
    return overrides, values


def _typed(key: str, raw: str, default: Any) -> Any:
    if isinstance(default, str):
        return raw
    try:
        value = ast.literal_eval({"true": "True", "false": "False"}.get(raw.lower(), raw))
    except _NO_LITERAL:
        value = raw
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        kind = type(default).__name__
        raise InputError(f"{key} = {raw!r} does not read as {kind}, such as {default!r}")
    return value
