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

_COMMANDS = ("train", "compare", "run")  # what takes --out and writes the record there


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
    if not words or words[0] not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        raise InputError(f"{path}: made by {record['command']!r}; only {known} can be repeated")
    for key in set(settings) & set(keys()):
        if is_path(key) and settings[key]:
            settings[key] = str((ROOT / str(settings[key])).resolve())
    return record, words, Config().replace(**settings)


def as_words(config: Config) -> list[str]:
    """Return every setting as the command line takes it."""
    return [
        f"--set={key}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in config.to_dict().items()
    ]


def changes(record: dict[str, Any], config: Config) -> list[str]:
    """Return a line for all that is not as it was: code, versions, processor, data."""
    commit, dirty = run_record.git_state(ROOT)
    was = {"commit": record.get("commit"), "cpu": record.get("machine", {}).get("cpu")}
    was |= record.get("versions", {})
    now = {"commit": commit, "cpu": run_record.machine()["cpu"], **run_record.versions()}
    if "data" in record:
        digests = run_digests(config, synthetic.prepare(config))
        was |= {f"data of {split}": digest for split, digest in record["data"].items()}
        now |= {f"data of {split}": digest for split, digest in digests.items()}
    lines = [f"{k}: {was[k]} then, {now.get(k)} now" for k in was if was[k] != now.get(k)]
    if dirty or record.get("dirty"):
        lines.append("code: edited beyond its commit, " + ("now" if dirty else "then"))
    return lines


def verdict(old: Path, out: Path) -> str:
    """Return how the scores of a repeated run compare with those of its record, if both exist."""
    folder = old if old.is_dir() else old.parent
    places = folder / experiment.METRICS, out / "models" / folder.name / experiment.METRICS
    one, other = map(files.read_json, places)
    if not one or not other:
        return ""
    scores = " then, ".join(f"{100 * (m.get('mean_iou') or 0):.2f}" for m in (one, other))
    return "the same scores, to the last digit" if one == other else f"mean IoU {scores} now"
