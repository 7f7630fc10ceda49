"""The command line `fcnlib`. Every command imports what it needs itself: help is instant."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError

_CHECKPOINT = "checkpoint.npz"


class _Commands(click.Group):
    """A group that turns a user's mistake into one line, and Ctrl-C into status 130."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except InputError as error:
            click.echo(f"fcnlib: error: {error}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("fcnlib: stopped; what had finished stays, --resume goes on", err=True)
            context.exit(130)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order of this file, not of the alphabet


_profile = click.option("--profile", default="quick", show_default=True, metavar="NAME")
_settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable."
)
_resume = click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")


def _path(*words: str, **more: Any) -> Any:
    return click.option(*words, type=click.Path(path_type=Path), **more)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run fully convolutional networks on Inception-v3, as a workbook or step by step."""


@main.command()
@_profile
@_settings
@click.option("--only", multiple=True, metavar="03", help="Only this notebook; repeatable.")
@click.option(
    "--resume", is_flag=True, help="Skip what finished with the same source and settings."
)
@_path("--out", help="The run folder; results/runs/PROFILE by default.")
@_path("--notebooks", hidden=True, help="Another folder of notebooks.")
def run(
    profile: str,
    settings: tuple[str, ...],
    only: tuple[str, ...],
    resume: bool,
    out: Path | None,
    notebooks: Path | None,
) -> None:
    """Run the notebooks and write the page of the run."""
    from fcnlib import workbook

    job = workbook.prepare(profile, settings, only, out, notebooks)
    # An exception, so that the kernel is shut down and not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        index = workbook.run(job, resume)
    except workbook.NotebookFailed as error:
        click.echo(f"fcnlib: {error}", err=True)
        sys.exit(1)
    click.echo(f"all notebooks ran; open {_short(index)}")


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write the page of a run again, from what is on disk."""
    from fcnlib import report

    click.echo(f"wrote {_short(report.build(folder))}")


@main.group()
def data() -> None:
    """Make data sets."""


@data.command("make")
@_profile
@_settings
def data_make(profile: str, settings: tuple[str, ...]) -> None:
    """Generate the shapes of a profile into its data_dir, where they are missing."""
    config = _config(profile, settings)
    if config.data.dataset != "shapes":
        raise InputError(f"profile {profile!r} uses {config.data.dataset}; only shapes can be made")
    from fcnlib.datasets import shapes

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {total} images", nl=done == total, err=True)

    dataset = shapes.ensure(config.path("data_dir"), config.shapes, progress)
    counts = ", ".join(f"{len(records)} {split}" for split, records in dataset.splits.items())
    click.echo(f"{dataset.root}: {counts}")


@main.command()
@click.option("--profile", default="pretrain", show_default=True, metavar="NAME")
@_settings
@_path("--out", help="The checkpoint; the profile's `initial` by default.")
@_resume
def pretrain(profile: str, settings: tuple[str, ...], out: Path | None, resume: bool) -> None:
    """Train the classifier that the default profile starts from."""
    config = _config(profile, settings)
    from fcnlib import pretraining

    target = (out or config.path("initial")).resolve()
    record = pretraining.pretrain(config, target, resume)
    click.echo(f"{_short(target)}: accuracy {100 * record['accuracy']:.1f} % on held-out objects")


@main.command()
@_profile
@_settings
@_path("--out", help="The run folder; results/runs/PROFILE by default.")
@_resume
def train(profile: str, settings: tuple[str, ...], out: Path | None, resume: bool) -> None:
    """Train the chain of networks of a profile, coarse to fine, and score them."""
    config = _config(profile, settings)
    from fcnlib import recipe
    from fcnlib.config import ROOT

    folder = (out or ROOT / "results" / "runs" / Path(profile).stem).resolve()
    for name, evaluation in recipe.train_chain(config, folder, resume).items():
        _echo_scores(name, evaluation.scores)


@main.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@_settings
def evaluate(places: tuple[Path, ...], settings: tuple[str, ...]) -> None:
    """Score trained networks: a run folder, a network's folder, or its checkpoint.npz."""
    from fcnlib.config import Config, parse_setting
    from fcnlib.runrecord import read_json

    overrides = dict(parse_setting(text) for text in settings)
    folders = [folder for place in places for folder in _trained(place.resolve())]
    from fcnlib import recipe

    for folder in folders:
        record = read_json(folder / "record.json")
        if not isinstance(record, dict) or "config" not in record:
            raise InputError(f"{folder}: lacks record.json, which names settings and data set")
        config = Config().replace(**record["config"]).replace(**overrides)
        evaluation = recipe.evaluate_fcn(config, recipe.prepare_data(config), folder)
        _echo_scores(str(_short(folder)), evaluation.scores)


def _trained(place: Path) -> list[Path]:
    if place.is_file() and place.name == _CHECKPOINT:
        return [place.parent]
    folders = (place, *sorted(place.glob("models/*")))
    found = [folder for folder in folders if (folder / _CHECKPOINT).is_file()]
    if not found:
        raise InputError(f"{place}: holds no {_CHECKPOINT} and no models/*/{_CHECKPOINT}")
    return found


def _echo_scores(name: str, scores: Any) -> None:
    from fcnlib.run_contents import METRICS

    words = (f"{key.replace('_', ' ')} {100 * getattr(scores, key):.1f}" for key in METRICS)
    click.echo(f"{name}: {', '.join(words)}")


@main.command()
def doctor() -> None:
    """Check the interpreter, the packages, the processor, the GPU, the disk and the kernel."""
    from fcnlib import doctor

    sys.exit(doctor.main())


@main.command()
def profiles() -> None:
    """List the saved profiles."""
    from fcnlib import config

    for name in config.profiles():
        lines = (config.PROFILES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        about = next((line.lstrip("# ") for line in lines if line.startswith("#")), "")
        click.echo(f"{name:12} {about}".rstrip())


@main.command()
@_profile
def settings(profile: str) -> None:
    """List what --set takes: key, type, and the value in a profile."""
    config = _config(profile, ())
    from dataclasses import fields

    for section in fields(config):
        click.echo(f"[{section.name}]")
        for field in fields(getattr(config, section.name)):
            value = getattr(getattr(config, section.name), field.name)
            kind = "int,int,..." if isinstance(value, tuple) else type(value).__name__
            options = field.metadata.get("options")
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            kind = "|".join(options) if options and len(options) > 1 else kind
            click.echo(f"  {field.name:22} {shown!s:40} {kind}")


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; status 1 where it is out of date.")
def readme(check: bool) -> None:
    """Write the table of results into README.md from results/*/summary.json."""
    from fcnlib import report
    from fcnlib.config import ROOT

    if report.update_readme(ROOT / "README.md", ROOT / "results", check):
        click.echo("README.md is up to date")
    elif check:
        click.echo("fcnlib: README.md is out of date; run `fcnlib readme`", err=True)
        sys.exit(1)
    else:
        click.echo("README.md: results written")


def _config(profile: str, settings: tuple[str, ...]) -> Any:
    from fcnlib.config import load_profile, parse_setting

    return load_profile(profile, dict(parse_setting(text) for text in settings))


if __name__ == "__main__":
    main(prog_name="fcnlib")
