"""The commands about data sets: make, list, check, pack, download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError
from fcntools.cli.options import (
    averaging_options,
    network,
    path_option,
    profile_option,
    read_config,
    read_scales,
    settings_option,
    short,
    trained,
)


@click.group()
def data() -> None:
    """Make, list, check, pack and download data sets."""


@data.command("make")
@profile_option
@settings_option
def data_make(profile: str, settings: tuple[str, ...]) -> None:
    """Generate shapes, scenes or streets into a profile's data_dir, where they are missing."""
    config = read_config(profile, settings)
    from fcnlib import datasets
    from fcntools import synthetic

    def progress(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {total} images", nl=done == total, err=True)

    if config.data.dataset not in datasets.GENERATED:
        made = ", ".join(datasets.GENERATED)
        raise InputError(f"profile {profile!r} uses {config.data.dataset}; only {made} can be made")
    dataset = synthetic.prepare(config, progress)
    click.echo(f"{dataset.root}: {_counts(dataset)}")


@data.command("list")
def data_list() -> None:
    """List the data sets that can be read: --set dataset=NAME."""
    import fcntools.synthetic  # noqa: F401  (which adds the generated and the packed)
    from fcnlib.datasets import FORMATS

    for name, known in FORMATS.items():
        click.echo(f"{name:14} {known.about}")


@data.command("check")
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--format", "name", help="One of `fcnlib data list`; a dataset.yaml needs none.")
@profile_option
@settings_option
def data_check(
    place: Path | None, name: str | None, profile: str, settings: tuple[str, ...]
) -> None:
    """Look at every file: counts, class frequencies, sizes, and every fault. Status 1 if any.

    PLACE is a folder or a dataset.yaml; without it, the data set of the profile.
    """
    dataset = _open(place, name, profile, settings, faulty=True)
    from fcntools.data.check import check_dataset

    report = check_dataset(dataset)
    for line in report.lines():
        click.echo(line)
    sys.exit(1 if report.faults else 0)


@data.command("pack")
@click.argument("place", required=False, type=click.Path(path_type=Path))
@click.option("--format", "name", help="One of `fcnlib data list`; a dataset.yaml needs none.")
@path_option("--to", "target", makes="folder", required=True, help="The folder to make.")
@click.option("--split", "splits", multiple=True, help="Only this split; repeatable.")
@profile_option
@settings_option
def data_pack(
    place: Path | None,
    name: str | None,
    target: Path,
    splits: tuple[str, ...],
    profile: str,
    settings: tuple[str, ...],
) -> None:
    """Pack images and masks as they are into compressed TFRecords, for --set dataset=packed."""
    dataset = _open(place, name, profile, settings)
    from fcntools.data import tfrecords

    packed = tfrecords.pack(dataset, target, splits)
    click.echo(f"{short(packed.root)}: {_counts(packed)}")


@data.command("download")
@click.argument("name")
@path_option(
    *("--to", "target"),
    makes="folder",
    required=True,
    help="The folder that gets the data set's folder.",
)
@path_option("--archive", help="An archive that you have already; it is checked and kept.")
def data_download(name: str, target: Path, archive: Path | None) -> None:
    """Get voc2012, sbd, scene-parsing or camvid; a stopped download goes on where it was."""
    from fcntools.data import download

    dataset = download.obtain(name, target, archive)
    click.echo(f"{short(dataset.root)}: {_counts(dataset)}")


@click.command()
@click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--competition",
    type=click.Choice(["comp5", "comp6"]),
    default="comp6",
    show_default=True,
    help="PASCAL VOC: comp5 if trained on nothing but VOC, comp6 if on anything else.",
)
@click.option("--stride", default=0, help="Cut the network off at a coarser stride: 8, 16, 32.")
@averaging_options
@settings_option
def benchmark(
    places: tuple[Path, ...],
    competition: str,
    stride: int,
    flip: bool,
    scales: str,
    others: tuple[Path, ...],
    settings: tuple[str, ...],
) -> None:
    """Score trained networks by the rules of their data set's benchmark.

    For PASCAL VOC the answers are also written as the server wants them, in results/VOC2012/ of the
    network's folder; those of its test images only there.
    """
    from fcnlib.config import Config, parse_setting
    from fcnlib.runtime.files import read_json

    overrides = dict(parse_setting(text) for text in settings)
    folders = [folder for place in places for folder in trained(place.resolve())]
    factors, others = read_scales(scales), tuple(network(other.resolve()) for other in others)
    from fcntools.analysis import benchmarks

    augmentation = benchmarks.TestTimeAugmentation(stride, flip, factors, others)
    for folder in folders:
        record = read_json(folder / "record.json") or {}
        config = Config().replace(**record.get("config", {})).replace(**overrides)
        click.echo(f"{short(folder)} on {config.data.eval_split}:")
        for key, value in benchmarks.benchmark(config, folder, competition, augmentation).items():
            click.echo(f"  {key:34} {100 * value:6.2f}")
        if (folder / "results").is_dir():
            click.echo(f"  for the server: {short(folder / 'results')}")


def _open(
    place: Path | None,
    name: str | None,
    profile: str,
    settings: tuple[str, ...],
    faulty: bool = False,
) -> Any:
    config = read_config(profile, settings)
    import fcntools.synthetic  # noqa: F401  (which adds the generated and the packed)
    from fcnlib.datasets import FORMATS, open_dataset
    from fcnlib.datasets.folder import description

    if place is None:
        return open_dataset(name or config.data.dataset, config.path("data_dir"), faulty)
    described = description(place)
    if name is None and described != place and not described.is_file():
        raise InputError(f"{place}: say --format, one of: {', '.join(FORMATS)}")
    return open_dataset(name or "folder", place.resolve(), faulty)


def _counts(dataset: Any) -> str:
    return ", ".join(f"{count} {split}" for split, count in dataset.counts().items())
