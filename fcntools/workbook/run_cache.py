"""The folder of a run: its mark of ownership, and which notebooks are finished, by what."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fcnlib.config import ROOT, Config, is_path
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_json

STAMPS = ".stamps"
_MARK = "run.json"
_CONTENTS = ("notebooks", "figures", "tables", "models", "lessons")
_CONTENTS += ("index.html", "record.json", "inspector.html")
_PACKAGES = (ROOT / "fcnlib", ROOT / "fcntools")


@dataclass(frozen=True)
class CacheEntry:
    """A run of a notebook: the digest of all it depends on, how long it took, whether it is done.

    The id is another one in every run: what builds on a notebook that ran again is made again.
    """

    name: str
    digest: str
    seconds: float = 0.0
    finished: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))


def claim(out: Path) -> None:
    """Make a run folder, or make sure that an existing one is a run's.

    Raises:
        InputError: it is a file, or holds something and no run's mark. Nothing in it is touched.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give --out the name of a folder")
    if (out / STAMPS / _MARK).is_file():
        return
    if out.parent != ROOT / "results" / "runs" and out.is_dir() and any(out.iterdir()):
        raise InputError(
            f"{out}: is not empty and no run made it; give --out a new or empty folder"
        )
    write_json(out / STAMPS / _MARK, {"made_by": "fcnlib run"})


def clean(out: Path) -> None:
    """Remove what runs left in a claimed and locked folder; anything else in it stays."""
    _remove(*(path for path in (out / STAMPS).iterdir() if path.name != _MARK))
    _remove(*(out / name for name in _CONTENTS))


def clean_notebook(out: Path, name: str, made: Sequence[Path]) -> None:
    """Remove what earlier runs of one notebook left.

    Args:
        out: a claimed and locked folder.
        name: the notebook's.
        made: what it made besides pages, figures and tables.
    """
    _remove(*made, out / "figures" / name, out / "tables" / name, out / "lessons" / f"{name}.json")
    _remove(*(out / "notebooks" / f"{name}{ending}" for ending in (".ipynb", ".html")))
    _remove(*(out / STAMPS / f"{name}{ending}" for ending in (".json", ".log")))


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read(out: Path, name: str) -> CacheEntry | None:
    """Read the entry of a notebook's last run, None where there is none."""
    tree = read_json(out / STAMPS / f"{name}.json")
    if not isinstance(tree, dict) or not {"digest", "id", "seconds"} <= set(tree):
        return None
    finished = bool(tree.get("finished", True))  # older runs keep finished notebooks only
    return CacheEntry(name, tree["digest"], tree["seconds"], finished, tree["id"])


def write(out: Path, entry: CacheEntry) -> None:
    """Keep the entry of a notebook."""
    write_json(out / STAMPS / f"{entry.name}.json", asdict(entry))


def digest(*parts: Any) -> str:
    """Return the digest of what JSON can hold (64 hex digits)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def source_digest(folders: Sequence[Path] = _PACKAGES) -> str:
    """Return the digest of the Python files of packages, comments included."""
    paths = [(folder, path) for folder in folders for path in sorted(folder.rglob("*.py"))]
    return digest([(p.relative_to(folder).as_posix(), p.read_text("utf-8")) for folder, p in paths])


def run_digest(config: Config, data: dict[str, str]) -> str:
    """Digest what every notebook depends on: library, data, settings, checkpoints named there."""
    paths = [config.path(key) for key in config.to_dict() if is_path(key)]
    files = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.is_file()]
    return digest(source_digest(), data, config.to_dict(), files)
