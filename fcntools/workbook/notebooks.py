"""The notebooks as files: which there are, what parameters they take, how `--set` reaches them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from fcnlib.config import ROOT, Config, keys, parse_setting
from fcnlib.errors import InputError

NOTEBOOKS = ROOT / "notebooks"
INJECTED = ("profile", "overrides", "out")
_NO_LITERAL = (SyntaxError, ValueError, TypeError, AttributeError, RecursionError, MemoryError)


@dataclass(frozen=True)
class Notebook:
    """A notebook of the workbook: file, content, and the literals of its `parameters` cell.

    From its metadata, {"fcnlib": {"needs": ["00_data"], "makes": ["models/scenes"]}}: `needs` names
    the notebooks whose results it reads (None, without metadata: all before it), `makes` what it
    leaves in the run folder besides figures and tables, as patterns.
    """

    path: Path
    node: nbformat.NotebookNode
    parameters: dict[str, Any]
    needs: tuple[str, ...] | None = None
    makes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return the file name without its ending, such as "03_skip_fusion"."""
        return self.path.stem

    def before(self, notebooks: Sequence[Notebook]) -> list[Notebook]:
        """Return those of a sequence whose results it reads."""
        earlier = [other for other in notebooks if other.name < self.name]
        return [n for n in earlier if self.needs is None or n.name in self.needs]

    def made(self, out: Path, config: Config) -> list[Path]:
        """Return what there is in a run folder of what it makes; {strides[0]} is the first."""
        patterns = (pattern.format(strides=config.network.strides) for pattern in self.makes)
        return [path for pattern in patterns for path in out.glob(pattern)]


def discover(folder: Path = NOTEBOOKS) -> tuple[Notebook, ...]:
    """Read the notebooks NN_name.ipynb of a folder, in the order of their names.

    Raises:
        InputError: there is none, or one is no notebook or has no proper `parameters` cell.
    """
    found = tuple(read_notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    if not found:
        raise InputError(f"{folder}: holds no notebook named NN_name.ipynb")
    return found


def read_notebook(path: Path) -> Notebook:
    """Read one notebook and the literals of its `parameters` cell.

    Raises:
        InputError: it is unreadable, has not exactly one cell tagged `parameters`, or that cell
            holds anything but `name = literal`, or lacks one of profile, overrides and out.
    """
    try:
        node = nbformat.read(path, as_version=4)
        tagged = [c.source for c in node.cells if "parameters" in c.metadata.get("tags", [])]
        about = node.metadata.get("fcnlib", {})
        needs, makes = about.get("needs"), tuple(about.get("makes", ()))
    except Exception as error:  # nbformat reports a broken file with whatever it stumbles over
        raise InputError(f"{path}: not a notebook ({error!r:.200})") from None
    try:
        (cell,) = tagged
        statements = ast.parse(cell).body
        parameters = {s.targets[0].id: ast.literal_eval(s.value) for s in statements}
    except _NO_LITERAL:
        said = "must have one cell tagged `parameters`, of nothing but `name = literal`"
        raise InputError(f"{path}: {said}") from None
    if missing := [name for name in INJECTED if name not in parameters]:
        raise InputError(f"{path}: its `parameters` cell lacks {', '.join(missing)}")
    return Notebook(path, node, parameters, needs, makes)


def choose(notebooks: Sequence[Notebook], only: Sequence[str]) -> tuple[Notebook, ...]:
    """Return the notebooks that `--only` names by number or name; all of them for an empty list.

    Raises:
        InputError: a word names no notebook.
    """
    named = {word: n for n in notebooks for word in (n.name, n.name.partition("_")[0])}
    if unknown := [word for word in only if word not in named]:
        there = ", ".join(n.name for n in notebooks)
        raise InputError(f"--only {unknown[0]}: no such notebook; there are: {there}")
    chosen = {named[word].name for word in only}
    return tuple(n for n in notebooks if not only or n.name in chosen)


def split_settings(
    settings: Sequence[str], notebooks: Sequence[Notebook]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split `key=value` words into (overrides of the configuration, values of parameters).

    Raises:
        InputError: a key is neither, or a value does not read as the type that is wanted.
    """
    own = {k: v for n in notebooks for k, v in n.parameters.items() if k not in INJECTED}
    overrides, values = {}, {}
    for text in settings:
        key, _, raw = text.partition("=")
        if key in own and key not in keys():
            values[key] = _typed(key, raw, own[key])
        else:
            key, value = parse_setting(text)
            overrides[key] = list(value) if isinstance(value, tuple) else value  # for JSON
    return overrides, values


def _typed(key: str, raw: str, default: Any) -> Any:
    """Read the value of a notebook's parameter as the type of its default."""
    kind = type(default)
    try:
        value = raw if kind is str else ast.literal_eval(raw.title() if kind is bool else raw)
    except _NO_LITERAL:
        value = None
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise InputError(f"{key} = {raw!r} does not read as {kind.__name__}, such as {default!r}")
    return value
