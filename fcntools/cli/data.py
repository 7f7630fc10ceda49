"""The commands about data sets: make, list, check, pack, download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError
from fcntools.cli.options import Texts, config_options, path_option, read_config, short


@click.group()
def data() -> None:
    """Make, list, check, pack and download data sets."""


@data.command("make")
@config_options
def data_make(profile: str, settings: Texts) -> None:
    """Generate shapes, scenes or streets into a profile's data_dir, where they are missing."""
    config = read_config(profile, settings)
    from fcnlib.datasets import GENERATED
    from fcntools import synthetic

    if config.data.dataset not in GENERATED:
        made = ", ".join(GENERATED)
        raise InputError(f"profile {profile!r} uses {config.data.dataset}; only {made} can be made")
    _echo_counts(synthetic.prepare(config))


@data.command("list")
def data_list() -> None:
    """List the data sets that can be read: --set dataset=NAME."""
    import fcntools.synthetic  # noqa: F401  (which adds the generated and the packed)
    from fcnlib.datasets import FORMATS

    for name, known in FORMATS.items():
        click.echo(f"{name:14} {known.about}")


def _place_options(command: Any) -> Any:
    place = click.argument("place", required=False, type=click.Path(path_type=Path))
    words = "One of `fcnlib data list`; a dataset.yaml needs none."
    return place(click.option("--format", "name", help=words)(config_options(command)))


def _open(faulty: bool, place: Path | None, name: str | None, profile: str, settings: Texts) -> Any:
    config = read_config(profile, settings)
    import fcntools.synthetic  # noqa: F401  (which adds the generated and the packed)
    from fcnlib.datasets import open_dataset

    if place is None:
        return open_dataset(name or config.data.dataset, config.path("data_dir"), faulty)
    return open_dataset(name or "folder", place.resolve(), faulty)


@data.command("check")
@_place_options
def data_check(**where: Any) -> None:
    """Look at every file: counts, class frequencies, sizes, and every fault. Status 1 if any.

    PLACE is a folder or a dataset.yaml; without it, the data set of the profile.
    """
    dataset = _open(faulty=True, **where)
    from fcntools.data.check import check_dataset

    report = check_dataset(dataset)
    click.echo("\n".join(report.lines()))
    sys.exit(1 if report.faults else 0)


@data.command("pack")
@_place_options
@path_option("--to", makes="folder", required=True, help="The folder to make.")
def data_pack(to: Path, **where: Any) -> None:
    """Pack images and masks as they are into compressed TFRecords, for --set dataset=packed."""
    dataset = _open(faulty=False, **where)
    from fcntools.data import tfrecords

    _echo_counts(tfrecords.pack(dataset, to))


@data.command("download")
@click.argument("name")
@path_option("--to", makes="folder", required=True, help="What gets the data set's folder.")
@path_option("--archive", help="An archive that you have already; it is checked and kept.")
def data_download(name: str, to: Path, archive: Path | None) -> None:
    """Get voc2012, sbd, scene-parsing or camvid; a stopped download goes on where it was."""
    from fcntools.data import download

    _echo_counts(download.obtain(name, to, archive))


def _echo_counts(dataset: Any) -> None:
    counts = ", ".join(f"{count} {split}" for split, count in dataset.counts().items())
    click.echo(f"{short(dataset.root)}: {counts}")
