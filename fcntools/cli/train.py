"""The commands for single stages: pre-training, training, scoring."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from fcnlib.runtime.environment import TF_CONFIG
from fcnlib.runtime.files import locked, write_text
from fcntools import launcher
from fcntools.cli import options
from fcntools.cli.options import Paths, Texts


@click.command()
@click.option("--profile", default="pretrain", show_default=True, metavar="NAME")
@options.settings_option
@options.path_option(
    "--out", makes="checkpoint", help="By default the profile's `init_checkpoint`."
)
@options.resume_option
def pretrain(profile: str, settings: Texts, out: Path | None, resume: bool) -> None:
    """Train the classifier that the default profile starts from."""
    config = options.read_config(profile, settings)
    from fcntools.pretrained import shapes_classifier

    target = out or options.to_make(config.path("init_checkpoint"), "checkpoint")
    accuracy = shapes_classifier.pretrain(config, target, resume)["accuracy"]
    click.echo(f"{options.short(target)}: accuracy {100 * accuracy:.1f} % on held-out objects")


@click.command()
@options.config_options
@options.run_folder_option
@options.resume_option
@click.option("--control", is_flag=True, help="Train the coarsest one on for as many steps, too.")
@click.option("--workers", default=1, show_default=True, help="Processes here, a GPU or core each.")
def train(
    profile: str, settings: Texts, out: Path | None, resume: bool, control: bool, workers: int
) -> None:
    """Train the chain of networks of a profile, coarse to fine, and score them."""
    config = options.read_config(profile, settings)
    folder = options.run_folder(out, profile)
    if workers != 1 and TF_CONFIG not in os.environ:
        words = ["train", "--profile", profile, "--out", str(folder), "--workers", str(workers)]
        words += [f"--set={text}" for text in settings]
        words += ["--resume"] * resume + ["--control"] * control
        sys.exit(launcher.launch(words, workers))
    from fcnlib import experiment
    from fcnlib.runtime.distributed import broadcast, joined, rank
    from fcntools import synthetic
    from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
    from fcntools.inference import folding  # noqa: F401  (folds what is scored)

    with joined(workers, config.train.batch_size), nullcontext() if rank() else locked(folder):
        if rank() == 0:
            synthetic.prepare(config)
        broadcast([0])  # the others wait for it
        dataset = synthetic.prepare(config)
        found = experiment.train_chain(config, dataset, folder, resume, control)
    for name, evaluation in found.items() if rank() == 0 else ():
        _echo_scores(name, evaluation.scores)


@click.command()
@click.argument("systems", nargs=-1)
@options.config_options
@options.run_folder_option
def compare(systems: Texts, profile: str, settings: Texts, out: Path | None) -> None:
    """Train and score the systems of notebook 08: history, systems, recipes, or single ones."""
    config = options.read_config(profile, settings)
    import pandas as pd

    from fcntools import synthetic
    from fcntools.analysis import systems as comparison
    from fcntools.workbook.report import COMPARISON

    folder = options.run_folder(out, profile)
    dataset, lines = synthetic.prepare(config), []
    with locked(folder):
        for row in comparison.chosen(systems):
            lines.append(comparison.run(config, dataset, row, folder))
            write_text(folder / COMPARISON, pd.DataFrame(lines).to_csv(index=False))
            click.echo(f"{row.meaning}: mean IoU {100 * lines[-1]['mean_iou']:.1f}")


@click.command()
@options.places_argument
@options.settings_option
def evaluate(places: Paths, settings: Texts) -> None:
    """Score trained networks: a run folder, a network's folder, or its checkpoint.npz."""
    networks = options.trained_with(places, settings)
    from fcnlib import experiment
    from fcntools import synthetic
    from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
    from fcntools.inference import folding  # noqa: F401  (folds what is scored)

    for folder, config in networks:
        scores = experiment.evaluate_fcn(config, synthetic.prepare(config), folder).scores
        _echo_scores(str(options.short(folder)), scores)


def _echo_scores(name: str, scores: Any) -> None:
    from fcntools.workbook.report import METRICS

    words = (f"{key.replace('_', ' ')} {100 * getattr(scores, key):.1f}" for key in METRICS)
    click.echo(f"{name}: {', '.join(words)}")


@click.command()
@options.places_argument
@click.option(
    "--competition",
    type=click.Choice(["comp5", "comp6"]),
    default="comp6",
    help="PASCAL VOC: comp5 if trained on nothing but VOC, comp6 if on anything else.",
)
@click.option("--stride", default=0, help="Cut the network off at a coarser stride: 8, 16, 32.")
@options.averaging_options
@options.settings_option
def benchmark(
    places: Paths, competition: str, settings: Texts, others: Paths, **average: Any
) -> None:
    """Score trained networks by the rules of their data set's benchmark.

    For PASCAL VOC the answers are also written as the server wants them, in results/VOC2012/ of the
    network's folder; those of its test images only there.
    """
    networks = options.trained_with(places, settings)
    others = tuple(options.network(other.resolve()) for other in others)
    from fcntools.analysis import protocols

    augmentation = protocols.TestTimeAugmentation(others=others, **average)
    for folder, config in networks:
        click.echo(f"{options.short(folder)} on {config.data.eval_split}:")
        for key, value in protocols.benchmark(config, folder, competition, augmentation).items():
            click.echo(f"  {key:34} {100 * value:6.2f}")
        if (folder / "results").is_dir():
            click.echo(f"  for the server: {options.short(folder / 'results')}")
