"""The folder of a run: its mark of ownership, and which notebooks are finished, by what."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from fcnlib.config import ROOT, Config, is_path
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_json

STAMPS = ".stamps"
_MARK = "run.json"
_CONTENTS = "notebooks figures tables models lessons index.html record.json inspector.html"


def claim(out: Path) -> None:
    """Make a run folder, or make sure that an existing one is a run's.

    Raises:
        InputError: it holds something and no run's mark; nothing in it is touched.
    """
    if (out / STAMPS / _MARK).is_file():
        return
    if out.parent != ROOT / "results" / "runs" and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty, no run made it; give --out a new or empty folder")
    write_json(out / STAMPS / _MARK, {"made_by": "fcnlib run"})


def clean(out: Path) -> None:
    """Remove what runs left in a claimed and locked folder; anything else in it stays."""
    remove(*(path for path in (out / STAMPS).iterdir() if path.name != _MARK))
    remove(*(out / name for name in _CONTENTS.split()))


def clean_notebook(out: Path, name: str) -> None:
    """Remove the pages, figures, tables and stamps that earlier runs of one notebook left."""
    own = ("notebooks/{}.ipynb", "notebooks/{}.html", "figures/{}", "tables/{}")
    own += ("lessons/{}.json", f"{STAMPS}/{{}}.json", f"{STAMPS}/{{}}.log")
    remove(*(out / path.format(name) for path in own))


def remove(*paths: Path) -> None:
    """Remove files, folders and links, whatever a link leads to."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def read(out: Path, name: str) -> dict[str, Any] | None:
    """Return what `write` kept of a notebook's last run, None where there was none."""
    entry = read_json(out / STAMPS / f"{name}.json")
    if not isinstance(entry, dict) or not {"digest", "id", "seconds"} <= set(entry):
        return None
    return {"finished": True} | entry  # older runs keep finished notebooks only


def write(log: Path, **entry: Any) -> None:
    """Keep digest, seconds and finished of a notebook beside its log, under another id each time.

    By the id what builds on it knows that it was made again.
    """
    write_json(log.with_suffix(".json"), entry | {"id": secrets.token_hex(8)})


def digest(*parts: Any) -> str:
    """Return the digest of what JSON can hold (64 hex digits)."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def source_digest(root: Path = ROOT) -> str:
    """Return the digest of the Python files of the two packages, comments included."""
    paths = sorted(path for name in ("fcnlib", "fcntools") for path in (root / name).rglob("*.py"))
    return digest([(p.relative_to(root).as_posix(), p.read_text("utf-8")) for p in paths])


def run_digest(config: Config, data: dict[str, str]) -> str:
    """Digest what every notebook depends on: library, data, settings, checkpoints named there."""
    paths = [config.path(key) for key in config.to_dict() if is_path(key)]
    files = [hashlib.sha256(p.read_bytes()).hexdigest() for p in paths if p.is_file()]
    return digest(source_digest(), data, config.to_dict(), files)
