"""Repeat a run from its record, and say what is not as it was."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from fcnlib import experiment
from fcnlib.config import ROOT, Config, current_names, is_path, keys
from fcnlib.datasets.identity import run_digests
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcntools import synthetic

COMMANDS = ("train", "compare", "run")  # what takes --out and writes the record there


def read(path: Path) -> tuple[dict[str, Any], list[str], Config]:
    """Return a run's record.json, the words of its command after "fcnlib", and its settings.

    Raises:
        InputError: it is no record of a command that can be repeated.
    """
    path = path / "record.json" if path.is_dir() else path
    record = files.read_json(path)
    try:
        words = shlex.split(str(record["command"]))[1:]
        settings = current_names(record["config"])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: no record of a run; give a run's record.json") from None
    if not words or words[0] not in COMMANDS:
        raise InputError(
            f"{path}: made by {record['command']!r}; only {', '.join(COMMANDS)} can be repeated"
        )
    for key in set(settings) & set(keys()):
        if is_path(key) and settings[key]:
            settings[key] = str((ROOT / str(settings[key])).resolve())
    return record, words, Config().replace(**settings)


def as_settings(config: Config) -> tuple[str, ...]:
    """Return every setting as `--set` takes it."""
    return tuple(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in config.to_dict().items()
    )


def changes(record: dict[str, Any], config: Config) -> list[str]:
    """Return a line for all that is not as it was: code, versions, machine, data."""
    commit, dirty = run_record.git_state(ROOT)
    now = {"commit": commit, "cpu": run_record.machine()["cpu"], **run_record.versions()}
    was = {"commit": record.get("commit"), "cpu": _table(record, "machine").get("cpu")}
    was |= {name: v for name, v in _table(record, "versions").items() if name in now}
    if data := _table(record, "data"):
        was |= {f"data of {split}": digest for split, digest in data.items()}
        digests = run_digests(config, synthetic.prepare(config))
        now |= {f"data of {split}": digests.get(split) for split in data}
    lines = [f"{key}: {was[key]} then, {now[key]} now" for key in was if was[key] != now[key]]
    if dirty or record.get("dirty"):
        lines.append("code: edited beyond its commit, " + ("now" if dirty else "then"))
    return lines


def _table(record: dict[str, Any], key: str) -> dict[str, Any]:
    return record[key] if isinstance(record.get(key), dict) else {}


def verdict(old: Path, out: Path) -> str:
    """Return how the scores of a repeated run compare with those of its record, if both exist."""
    folder = old if old.is_dir() else old.parent
    places = folder / experiment.METRICS, out / "models" / folder.name / experiment.METRICS
    one, other = (files.read_json(file) for file in places)
    if not isinstance(one, dict) or not isinstance(other, dict):
        return ""
    scores = " then, ".join(f"{100 * (m.get('mean_iou') or 0):.2f}" for m in (one, other))
    return "the same scores, to the last digit" if one == other else f"mean IoU {scores} now"
