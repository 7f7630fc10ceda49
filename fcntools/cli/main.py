"""The command line `fcnlib`. Every command imports what it needs itself: help is instant."""

from __future__ import annotations

import io
import os
import signal
import sys
from dataclasses import fields
from typing import Any

import click

from fcnlib import config
from fcnlib.errors import InputError
from fcntools.cli import data, options, predict, rerun, train, weights


class _Commands(click.Group):
    """A group that turns a user's mistake into one line, and Ctrl-C into status 130."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        # No shell expands the ~ of --out=~/x, nor one in quotes.
        parts = (word.partition("=") if word[:2] == "--" else ("", "", word) for word in args)
        words = [f"{name}{equals}{os.path.expanduser(value)}" for name, equals, value in parts]
        return super().parse_args(context, words)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except BrokenPipeError:
            raise
        except (InputError, OSError) as error:
            click.echo(f"fcnlib: error: {InputError(error)}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("fcnlib: stopped; what had finished stays, --resume goes on", err=True)
            context.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run fully convolutional networks on Inception-v3, as a workbook or step by step."""
    for stream in (sys.stdout, sys.stderr):  # names that these cannot show are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@main.command()
@options.config_options
@click.option("--only", multiple=True, metavar="03", help="Only this notebook; repeatable.")
@click.option("--resume", is_flag=True, help="Skip what finished with the same source, settings.")
@options.run_folder_option
@click.option("--jobs", default=0, type=click.IntRange(0), help="At once; 0: as suits the machine.")
@options.path_option("--notebooks", hidden=True, help="Another folder of notebooks.")
def run(resume: bool, **chosen: Any) -> None:
    """Run the notebooks and write the page of the run."""
    from fcntools.workbook import runner

    plan = runner.prepare(**chosen)
    # An exception, so that the kernel is shut down and not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        index = runner.run(plan, resume)
    except runner.NotebookFailed:  # which has been shown
        sys.exit(1)
    click.echo(f"all notebooks ran; open {options.short(index)}")


for _command in (
    *(data.data, weights.weights, train.pretrain, train.train, train.compare, rerun.rerun),
    *(train.evaluate, train.benchmark, predict.predict, weights.export, predict.tensorboard),
):
    main.add_command(_command)


@main.command()
def doctor() -> None:
    """Check the interpreter, the packages, the disk, TensorFlow and the GPU."""
    from fcntools.cli import doctor

    sys.exit(doctor.main())


@main.command()
def profiles() -> None:
    """List the saved profiles."""
    for name in config.profiles():
        about, *_ = (config.PROFILES / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        click.echo(f"{name:12} {about.lstrip('# ')}")


@main.command()
@click.option("--profile", default="quick", show_default=True, metavar="NAME")
def settings(profile: str) -> None:
    """List what --set takes: key, type, and the value in a profile."""
    chosen = options.read_config(profile, ())
    for section in fields(chosen):
        click.echo(f"[{section.name}]")
        part = getattr(chosen, section.name)
        for field in fields(part):
            value, known = getattr(part, field.name), field.metadata.get("options", ())
            kind = "|".join(known[1:] and known) or type(value).__name__
            if isinstance(value, tuple):
                kind, value = "int,int,...", ",".join(map(str, value))
            click.echo(f"  {field.name:22} {value!s:40} {kind}")
