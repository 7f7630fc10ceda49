"""The folder of a run: whose it is, who writes into it now, what in it is finished and by what."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat

from fcnlib.config import ROOT, Config, is_path
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_json

FOLDERS = ("notebooks", "figures", "tables", "models", "lessons")
FILES = ("index.html", "record.json", "inspector.html")
STAMPS = ".stamps"
_MARK = "run.json"
_FAILED = ".failed.json"
_PAGES = (".ipynb", ".html")
_LONGEST_NAME, _LONGEST_PATH = 255, 3000  # bytes; a longer one is no file's
_PACKAGES = (ROOT / "fcnlib", ROOT / "fcntools")


@dataclass(frozen=True)
class Stamp:
    """That a notebook finished: the digest of all it depends on, an id of this run, its seconds."""

    digest: str
    id: str
    seconds: float


def claim(out: Path) -> None:
    """Make a run folder, or make sure that an existing one is a run's.

    Args:
        out: the folder.

    Raises:
        InputError: it is a file, or holds something and no run's mark. Nothing in it is touched.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give --out the name of a folder")
    used = out.is_dir() and any(out.iterdir())
    ours = (out / STAMPS / _MARK).is_file() or out.parent == ROOT / "results" / "runs"
    if used and not ours:
        raise InputError(
            f"{out}: is not empty and no run made it; give --out a new or empty folder"
        )
    if not (out / STAMPS / _MARK).is_file():
        write_json(out / STAMPS / _MARK, {"made_by": "fcnlib run"})


def clean(out: Path, names: Sequence[str] | None = None) -> None:
    """Remove what earlier runs left, so that nothing stale is taken for new.

    Args:
        out: a claimed and locked folder; anything in it besides the known folders and files stays.
        names: only what the notebooks of these names left; everything where None.
    """
    if names is None:
        for name in FOLDERS:
            _remove(out / name)
        for name in FILES:
            _remove(out / name)
        for path in (out / STAMPS).iterdir():
            if path.name != _MARK:  # without it the folder would be a stranger's
                _remove(path)
    for name in names or ():
        others = {path.stem for path in (out / STAMPS).glob("*.files")} - {name}
        kept = {made for other in others for made in files(out, other)}
        for made in set(files(out, name)) - kept:
            _remove(out / made)
        _remove(out / "figures" / name)
        for ending in _PAGES:
            _remove(out / "notebooks" / f"{name}{ending}")
        for ending in (".json", _FAILED, ".log", ".files"):  # the last: until here it is known
            _remove(out / STAMPS / f"{name}{ending}")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(NotADirectoryError):  # what was its folder is a file by now
            path.unlink(missing_ok=True)


def journal(out: Path, name: str) -> Path:
    """Return the file that `journal.keep` writes for a notebook."""
    return out / STAMPS / f"{name}.files"


def files(out: Path, name: str) -> list[str]:
    """Return what a notebook left in tables, models and figures, relative to the run folder."""
    try:
        lines = journal(out, name).read_bytes().split(b"\n")
    except OSError:
        return []
    return sorted({os.fsdecode(line) for line in lines if _inside(line)})


def _inside(line: bytes) -> bool:
    """Return whether a line of a journal can be the path of a file in one of the known folders."""
    parts = line.split(b"/")
    known = len(parts) > 1 and os.fsdecode(parts[0]) in FOLDERS and b"\0" not in line
    short = len(line) < _LONGEST_PATH and max(map(len, parts)) <= _LONGEST_NAME
    return known and short and not {b"", b".", b".."} & set(parts)


def read(out: Path, name: str, failed: bool = False) -> Stamp | None:
    """Read the stamp of a notebook.

    Args:
        out: the run folder.
        name: the notebook's file name without its ending.
        failed: read instead the note that a run left which did not finish.

    Returns:
        The stamp, or None where there is none.
    """
    tree = read_json(out / STAMPS / (f"{name}{_FAILED}" if failed else f"{name}.json"))
    if not isinstance(tree, dict) or not {"digest", "id", "seconds"} <= set(tree):
        return None
    return Stamp(tree["digest"], tree["id"], tree["seconds"])


def write(out: Path, name: str, digest: str, seconds: float, finished: bool) -> None:
    """Stamp a notebook that finished, or note that one did not.

    Args:
        out: the run folder.
        name: the notebook's file name without its ending.
        digest: of all it depends on.
        seconds: how long it took.
        finished: False after a failure; then there is no stamp, only a note.
    """
    tree = {
        "digest": digest,
        "id": hashlib.sha256(f"{digest} {time.time_ns()}".encode()).hexdigest()[:16],
        "seconds": round(seconds, 1),
    }
    ends = [f"{name}.json", f"{name}{_FAILED}"]
    kept, dropped = ends if finished else reversed(ends)
    write_json(out / STAMPS / kept, tree)
    _remove(out / STAMPS / dropped)


def source_digest(folders: Sequence[Path] = _PACKAGES) -> str:
    """Return the digest of the Python files of packages, comments included (64 hex digits)."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{path.relative_to(folder.parent).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def notebook_digest(
    notebook: nbformat.NotebookNode,
    parameters: dict[str, Any],
    config: Config,
    upstream: Sequence[Stamp | None],
    source: str,
) -> str:
    """Digest all that a notebook's results depend on.

    Cell ids, outputs and metadata do not count, nor do a profile's name or comments: the settings
    do, and the bytes of a checkpoint that a setting names.

    Args:
        notebook: as stored.
        parameters: what will be injected.
        config: the settings that these parameters mean.
        upstream: the stamps of the notebooks that it needs, in order.
        source: of the library (`source_digest`) and of the data that the run reads.

    Returns:
        64 hex digits.
    """
    files = [config.path(key) for key in config.to_dict() if is_path(key)]
    parts = {
        "cells": [(cell.cell_type, cell.source) for cell in notebook.cells],
        "parameters": {
            k: v for k, v in parameters.items() if k not in ("profile", "overrides", "out")
        },
        "config": config.to_dict(),
        "files": [hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()],
        "upstream": [stamp.id if stamp else None for stamp in upstream],
        "source": source,
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
