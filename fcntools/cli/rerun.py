"""Repeat a run from its record, and say what is not as it was."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import click

from fcnlib.config import ROOT, Config, is_path
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcntools.cli.options import path_option

_COMMANDS = ("train", "compare", "run")  # what takes --out and writes the record there


def read(path: Path) -> tuple[dict[str, Any], list[str], Config]:
    """Return a run's record.json, the words of its command after "fcnlib", and its settings.

    Raises:
        InputError: it is no record of a command that can be repeated.
    """
    path = path / "record.json" if path.is_dir() else path
    record = files.read_json(path)
    try:
        words = shlex.split(str(record["command"]).replace(" --deterministic", ""))[1:]  # a setting
        settings = {str(key): value for key, value in record["config"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InputError(f"{path}: no record of a run; give a run's record.json") from None
    if not words or words[0] not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        raise InputError(f"{path}: made by {record['command']!r}; only {known} can be repeated")
    return record, words, Config().replace(**settings)


def as_words(config: Config) -> list[str]:
    """Return every setting as the command line takes it, paths from the root of the project."""
    words = []
    for key, value in config.to_dict().items():
        value = config.path(key) if is_path(key) and value else value
        text = ",".join(map(str, value)) if isinstance(value, list) else value
        words.append(f"--set={key}={text}")
    return words


def changes(record: dict[str, Any], config: Config) -> list[str]:
    """Return a line for all that is not as it was: code, versions, processor, data."""
    from fcnlib.datasets.identity import run_digests
    from fcntools import synthetic

    commit, dirty = run_record.git_state(ROOT)
    was = {"commit": record.get("commit"), "cpu": record.get("machine", {}).get("cpu")}
    was |= record.get("versions", {})
    now = {"commit": commit, "cpu": run_record.machine()["cpu"], **run_record.versions()}
    if isinstance(record.get("data"), dict):  # older records hold one digest
        digests = run_digests(config, synthetic.prepare(config))
        was |= {f"data of {split}": digest for split, digest in record["data"].items()}
        now |= {f"data of {split}": digest for split, digest in digests.items()}
    lines = [f"{k}: {was[k]} then, {now.get(k)} now" for k in was if was[k] != now.get(k)]
    if dirty or record.get("dirty"):
        lines.append("code: edited beyond its commit, " + ("now" if dirty else "then"))
    return lines


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@path_option("--out", makes="folder", required=True, help="Another run folder.")
@click.pass_context
def rerun(context: click.Context, record: Path, out: Path) -> None:
    """Repeat a run from its record.json; say what has changed since: code, data, versions."""
    if record.resolve().is_relative_to(out):
        raise InputError(f"{out}: holds the run to repeat; give --out another folder")
    tree, (name, *words), config = read(record)
    for line in changes(tree, config) or ["nothing: same code, versions, machine and data"]:
        click.echo(f"changed since: {line}")
    os.environ[run_record.COMMAND_VARIABLE] = tree["command"]  # it can be repeated as well
    words = [word for word in words if word != "--resume"]
    words += ["--out", str(out), *as_words(config)]  # what comes last counts
    command = context.parent.command.commands[name]
    command.invoke(command.make_context(name, words, parent=context.parent))
