"""The command line `fcnlib`. Every command imports what it needs itself: help is instant."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError
from fcntools.cli import data, options, predict, train, weights

_FULL = "make room or choose another folder; what had finished stays, --resume goes on"
_OTHER = "choose another folder"
_PLACES = {  # what a user can do about an error of a file system
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FULL),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST), _OTHER),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR), _OTHER),
    errno.ENAMETOOLONG: "choose a shorter name",
}


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
        except InputError as error:
            click.echo(f"fcnlib: error: {error}", err=True)
            context.exit(2)
        except OSError as error:
            if error.errno not in _PLACES:
                raise
            words = f"{error.filename or 'the results'}: {error.strerror}; {_PLACES[error.errno]}"
            click.echo(f"fcnlib: error: {words}", err=True)
            context.exit(2)
        except KeyboardInterrupt:
            click.echo("fcnlib: stopped; what had finished stays, --resume goes on", err=True)
            context.exit(130)

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)  # in the order of this file, not of the alphabet


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run fully convolutional networks on Inception-v3, as a workbook or step by step."""
    for stream in (sys.stdout, sys.stderr):  # names that these cannot show are escaped
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@main.command()
@options.config_options
@click.option("--only", multiple=True, metavar="03", help="Only this notebook; repeatable.")
@click.option(
    "--resume", is_flag=True, help="Skip what finished with the same source and settings."
)
@options.run_folder_option
@click.option("--jobs", default=0, metavar="N", help="Notebooks at once; 0: as suits the machine.")
@options.path_option("--notebooks", hidden=True, help="Another folder of notebooks.")
def run(
    profile: str,
    settings: tuple[str, ...],
    only: tuple[str, ...],
    resume: bool,
    out: Path | None,
    jobs: int,
    notebooks: Path | None,
) -> None:
    """Run the notebooks and write the page of the run."""
    from fcntools.workbook import runner

    plan = runner.prepare(profile, settings, only, out, notebooks, jobs)
    # An exception, so that the kernel is shut down and not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        index = runner.run(plan, resume)
    except runner.NotebookFailed:  # which has been shown
        sys.exit(1)
    click.echo(f"all notebooks ran; open {options.short(index)}")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
def report(folder: Path) -> None:
    """Write the page of a run again, from what is on disk."""
    from fcntools.workbook import report

    click.echo(f"wrote {options.short(report.build(folder))}")


for _command in (
    *(data.data, weights.weights, train.pretrain, train.train),
    *(train.compare, train.rerun, train.evaluate, train.benchmark),
    *(predict.predict, weights.export, predict.tensorboard),
):
    main.add_command(_command)


@main.command()
def doctor() -> None:
    """Check the interpreter, the packages, the processor, the GPU, the disk and the kernel."""
    from fcntools.cli import doctor

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
@click.option("--profile", default="quick", show_default=True, metavar="NAME")
def settings(profile: str) -> None:
    """List what --set takes: key, type, and the value in a profile."""
    config = options.read_config(profile, ())
    for section in fields(config):
        click.echo(f"[{section.name}]")
        for field in fields(getattr(config, section.name)):
            value = getattr(getattr(config, section.name), field.name)
            kind = "int,int,..." if isinstance(value, tuple) else type(value).__name__
            known = field.metadata.get("options")
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            kind = "|".join(known) if known and len(known) > 1 else kind
            click.echo(f"  {field.name:22} {shown!s:40} {kind}")


if __name__ == "__main__":
    main(prog_name="fcnlib")
