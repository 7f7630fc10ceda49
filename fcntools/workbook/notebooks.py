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
        """Return what there is in a run folder of what it makes; {chain[0]} stands for a stride."""
        patterns = (pattern.format(chain=config.network.chain) for pattern in self.makes)
        return [path for pattern in patterns for path in out.glob(pattern)]


def discover(folder: Path = NOTEBOOKS) -> tuple[Notebook, ...]:
    """Read the notebooks NN_name.ipynb of a folder, in the order of their names.

    Raises:
        InputError: there is none; one is no notebook or has no proper `parameters` cell, needs one
            that is not before it, or makes something outside of the run folder.
    """
    found = tuple(read_notebook(path) for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")))
    if not found:
        raise InputError(f"{folder}: holds no notebook named NN_name.ipynb")
    for notebook in found:
        if unknown := set(notebook.needs or ()) - {n.name for n in notebook.before(found)}:
            named = ", ".join(sorted(unknown))
            raise InputError(f"{notebook.path}: needs {named}, which is no notebook before it")
        if any(".." in Path(m).parts or Path(m).is_absolute() for m in notebook.makes):
            raise InputError(f"{notebook.path}: makes {notebook.makes}, not all in the run folder")
    return found


def read_notebook(path: Path) -> Notebook:
    """Read one notebook and the literals of its `parameters` cell.

    Raises:
        InputError: it is unreadable, has not exactly one cell tagged `parameters`, or that cell
            holds anything but `name = literal`, or lacks one of profile, overrides and out.
    """
    try:
        node = nbformat.read(path, as_version=4)
        tagged = [c for c in node.cells if "parameters" in c.metadata.get("tags", [])]
        needs, makes = map(node.metadata.get("fcnlib", {}).get, ("needs", "makes"))
        lists = (None if needs is None else tuple(map(str, needs)), tuple(map(str, makes or ())))
    except Exception as error:  # nbformat reports a broken file with whatever it stumbles over
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a notebook: {reason}") from None
    if len(tagged) != 1:
        raise InputError(f"{path}: has {len(tagged)} cells tagged `parameters`; it must have one")
    try:
        statements = ast.parse(tagged[0].source).body
        assigned = [(target.id, s.value) for s in statements for target in s.targets]
        parameters = {name: ast.literal_eval(value) for name, value in assigned}
    except _NO_LITERAL:
        raise InputError(f"{path}: its `parameters` cell may hold only `name = literal`") from None
    if missing := [name for name in INJECTED if name not in parameters]:
        raise InputError(f"{path}: its `parameters` cell lacks {', '.join(missing)}")
    return Notebook(path, node, parameters, *lists)


def choose(notebooks: Sequence[Notebook], only: Sequence[str]) -> tuple[Notebook, ...]:
    """Return the notebooks that `--only` names by number or name; all of them for an empty list.

    Raises:
        InputError: a word names no notebook.
    """
    chosen = [n for n in notebooks if not only or {n.name, n.name.partition("_")[0]} & {*only}]
    named = {word for n in chosen for word in (n.name, n.name.partition("_")[0])}
    for word in only:
        if word not in named:
            there = ", ".join(n.name for n in notebooks)
            raise InputError(f"--only {word}: no such notebook; there are: {there}")
    return tuple(chosen)


def split_settings(
    settings: Sequence[str], notebooks: Sequence[Notebook]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell settings of the configuration from the chosen notebooks' own parameters.

    Return (overrides of the configuration, values of parameters), each in the right type.

    Raises:
        InputError: a key is neither, or a value does not read as the type that is wanted.
    """
    own = {k: v for n in notebooks for k, v in n.parameters.items() if k not in INJECTED}
    overrides, values = {}, {}
    for text in settings:
        key, _, raw = text.partition("=")
        if key in INJECTED:
            raise InputError(f"--set {key}: use --profile, --set key=value or --out for it")
        if key in own and key not in keys():
            values[key] = _typed(key, raw, own[key])
            continue
        try:
            key, value = parse_setting(text)
        except InputError as error:
            more = f"; parameters of the notebooks: {', '.join(sorted(own))}" if own else ""
            raise InputError(f"{error}{more if key not in keys() else ''}") from None
        overrides[key] = list(value) if isinstance(value, tuple) else value  # for JSON
    return overrides, values


def _typed(key: str, raw: str, default: Any) -> Any:
    """Read the value of a notebook's parameter as the type of its default."""
    kind = type(default)
    if kind is str:
        return raw
    try:
        value = ast.literal_eval(raw.title() if kind is bool else raw)
        value = float(value) if kind is float and type(value) is int else value
    except _NO_LITERAL:
        value = raw
    if type(value) is not kind:
        raise InputError(f"{key} = {raw!r} does not read as {kind.__name__}, such as {default!r}")
    return value
