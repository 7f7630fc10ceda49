"""The commands for single stages: pre-training, training, scoring."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError
from fcntools.cli.options import (
    deterministic_option,
    engine_option,
    path_option,
    profile_option,
    read_config,
    resume_option,
    run_folder,
    run_folder_option,
    settings_option,
    short,
    to_make,
    trained,
)


@click.command()
@click.option("--profile", default="pretrain", show_default=True, metavar="NAME")
@settings_option
@deterministic_option
@path_option(
    "--out", makes="checkpoint", help="The checkpoint; the profile's `initial` by default."
)
@resume_option
def pretrain(profile: str, settings: tuple[str, ...], out: Path | None, resume: bool) -> None:
    """Train the classifier that the default profile starts from."""
    config = read_config(profile, settings)
    from fcntools.pretrained import shapes_classifier

    target = out or to_make(config.path("initial"), "checkpoint")
    record = shapes_classifier.pretrain(config, target, resume)
    click.echo(f"{short(target)}: accuracy {100 * record['accuracy']:.1f} % on held-out objects")


@click.command()
@profile_option
@settings_option
@deterministic_option
@run_folder_option
@resume_option
@click.option("--control", is_flag=True, help="Train the coarsest one on for as many steps, too.")
@click.option("--workers", default=1, show_default=True, help="Processes here, a GPU or core each.")
def train(
    profile: str,
    settings: tuple[str, ...],
    out: Path | None,
    resume: bool,
    control: bool,
    workers: int,
) -> None:
    """Train the chain of networks of a profile, coarse to fine, and score them."""
    config = read_config(profile, settings)
    from fcnlib.runtime.environment import scheduled
    from fcnlib.runtime.files import locked
    from fcntools import launcher

    folder = run_folder(out, profile)
    if workers != 1 and not scheduled():
        words = ["train", "--profile", profile, "--out", str(folder), "--workers", str(workers)]
        words += [word for text in settings for word in ("--set", text)]
        words += ["--resume"] * resume + ["--control"] * control
        sys.exit(launcher.launch(words, workers))
    from fcnlib import experiment
    from fcnlib.runtime.distributed import first_only, joined, rank
    from fcntools import synthetic
    from fcntools.analysis import variants  # noqa: F401  (builds and loads networks of 2017)

    with joined(workers, config.train.batch_size), locked(folder, rank() == 0):
        first_only(lambda: synthetic.prepare(config))
        dataset = synthetic.prepare(config)
        found = experiment.train_chain(config, dataset, folder, resume, control)
    for name, evaluation in found.items() if rank() == 0 else ():
        _echo_scores(name, evaluation.scores)


@click.command()
@click.argument("systems", nargs=-1)
@profile_option
@settings_option
@deterministic_option
@run_folder_option
def compare(
    systems: tuple[str, ...], profile: str, settings: tuple[str, ...], out: Path | None
) -> None:
    """Train and score the systems of notebook 08: history, systems, recipes, or single ones."""
    config = read_config(profile, settings)
    import pandas as pd

    from fcnlib.runtime.files import locked, write_text
    from fcntools import synthetic
    from fcntools.analysis import systems as comparison
    from fcntools.workbook.report import COMPARISON

    folder = run_folder(out, profile)
    dataset, lines = synthetic.prepare(config), []
    with locked(folder):
        for row in comparison.chosen(systems):
            lines.append(comparison.run(config, dataset, row, folder))
            write_text(folder / COMPARISON, pd.DataFrame(lines).to_csv(index=False))
            click.echo(f"{row.meaning}: mean IoU {100 * lines[-1]['mean_iou']:.1f}")


@click.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@settings_option
@engine_option
def evaluate(places: tuple[Path, ...], settings: tuple[str, ...], engine: str) -> None:
    """Score trained networks: a run folder, a network's folder, or its checkpoint.npz."""
    from fcnlib.config import Config, parse_setting
    from fcnlib.runtime.files import read_json

    overrides = dict(parse_setting(text) for text in settings)
    folders = [folder for place in places for folder in trained(place.resolve())]
    from fcnlib import experiment
    from fcntools import synthetic
    from fcntools.analysis import variants  # noqa: F401  (builds and loads networks of 2017)
    from fcntools.inference.folding import fold

    other = None if engine == "tensorflow" else functools.partial(fold, engine=engine)
    for folder in folders:
        record = read_json(folder / "record.json")
        if not isinstance(record, dict) or "config" not in record:
            raise InputError(f"{folder}: lacks record.json, which names settings and data set")
        config = Config().replace(**record["config"]).replace(**overrides)
        dataset = synthetic.prepare(config)
        evaluation = experiment.evaluate_fcn(config, dataset, folder, other, engine)
        _echo_scores(str(short(folder)), evaluation.scores)


def _echo_scores(name: str, scores: Any) -> None:
    from fcntools.workbook.report import METRICS

    words = (f"{key.replace('_', ' ')} {100 * getattr(scores, key):.1f}" for key in METRICS)
    click.echo(f"{name}: {', '.join(words)}")


@click.command()
@click.argument("record", type=click.Path(path_type=Path))
@path_option("--out", makes="folder", required=True, help="The run folder of the repetition.")
@click.pass_context
def rerun(context: click.Context, record: Path, out: Path) -> None:
    """Repeat a run from its record.json; say what has changed since: code, data, versions."""
    from fcnlib.runtime.run_record import COMMAND_VARIABLE
    from fcntools.cli import rerun

    if record.resolve().is_relative_to(out):
        raise InputError(f"{out}: holds the run to repeat; give --out another folder")
    tree, words, config = rerun.read(record)
    for line in rerun.changes(tree, config) or ["nothing: same code, versions, machine and data"]:
        click.echo(f"changed since: {line}")
    command = context.parent.command.commands[words[0]]
    os.environ[COMMAND_VARIABLE] = tree["command"]  # its records can be repeated as well
    again = command.make_context(words[0], words[1:], parent=context.parent)
    again.params["settings"] += rerun.as_settings(config)
    again.params |= {"out": out} | ({"resume": False} if "resume" in again.params else {})
    command.invoke(again)
    click.echo(rerun.verdict(record.resolve(), out))
