"""What several commands of `fcnlib` take, and how they read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from fcnlib import config
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json

Texts = tuple[str, ...]
Paths = tuple[Path, ...]
_CHECKPOINT = "checkpoint.npz"

resume_option = click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")
places_argument = click.argument("places", nargs=-1, required=True, type=click.Path(path_type=Path))
settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable."
)


def config_options(command: Any) -> Any:
    """Decorate a command with --profile and --set, for `read_config`."""
    profile = click.option("--profile", default="quick", show_default=True, metavar="NAME")
    return profile(settings_option(command))


def averaging_options(command: Any) -> Any:
    """Decorate a command with --flip, --scales and --with."""
    words = {"default": "1", "show_default": True, "help": "Average over sizes: 0.75,1,1.25"}
    scales = click.option("--scales", callback=lambda _, __, text: read_scales(text), **words)
    about = "Average with another network, its folder or checkpoint; repeatable."
    others = path_option("--with", "others", multiple=True, help=about)
    flip = click.option("--flip", is_flag=True, help="Average with the mirrored image.")
    return flip(scales(others(command)))


def read_scales(text: str) -> tuple[float, ...]:
    """Return the numbers of --scales, which have commas between them.

    Raises:
        InputError: one is no number, or no size that an answer could come from.
    """
    try:
        sizes = tuple(map(float, text.split(",")))
    except ValueError:
        sizes = ()
    if not sizes or not all(0.1 <= size <= 4 for size in sizes):
        raise InputError(f"--scales {text}: give numbers from 0.1 to 4, such as 0.75,1,1.25")
    return sizes


def path_option(*names: str, makes: str = "", **more: Any) -> Any:
    """Return a click.option whose value is a path.

    Args:
        *names: of the option, such as "--out", and of its parameter.
        makes: what is written there, see `to_make`; empty where it is only read.
        **more: what click.option takes.
    """
    if makes:
        more["callback"] = lambda _, __, path: path and to_make(path, makes, names[0])
    return click.option(*names, type=click.Path(path_type=Path), **more)


run_folder_option = path_option("--out", makes="folder", help="By default results/runs/PROFILE.")


def to_make(path: Path, kind: str, option: str = "--out") -> Path:
    """Return the absolute path of what shall be written, unless something else lies there.

    Args:
        path: from the user.
        kind: "folder"; "checkpoint", a file that may replace weights of ours, but no trained
            network; or "any".
        option: what can name another.

    Raises:
        InputError: it, or a folder above it, is a file; or another file is there.
    """
    from fcnlib import checkpoints

    path = path.resolve()
    for file in (place for place in (path, *path.parents) if place.is_file()):
        if kind == "folder" or file != path:
            raise InputError(f"{file}: is a file; give {option} the name of another place")
    there = path if path.exists() else path.with_suffix(".json")
    if kind != "checkpoint" or not there.exists():
        return path
    if there != path or "stages" in checkpoints.load(path)[1]:
        raise InputError(f"{there}: is there, of a training or not ours; name another {option}")
    return path


def run_folder(out: Path | None, profile: str) -> Path:
    """Return the folder of a run: the user's, or that of a profile."""
    return out or to_make(config.ROOT / "results" / "runs" / Path(profile).stem, "folder")


def read_config(profile: str, settings: Texts) -> config.Config:
    """Return the configuration of a profile, a name or a .toml file, and key=value texts."""
    return config.load_profile(profile, dict(map(config.parse_setting, settings)))


def short(path: Path) -> Path:
    """Return a path as seen from where the user is, where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def trained(place: Path) -> list[Path]:
    """Return the folders of trained networks: of a run, of one network, or of a checkpoint.

    Raises:
        InputError: there is no checkpoint.
    """
    if place.is_file() and place.name == _CHECKPOINT:
        return [place.parent]
    found = [f for f in (place, *sorted(place.glob("models/*"))) if (f / _CHECKPOINT).is_file()]
    if not found:
        raise InputError(f"{place}: holds no {_CHECKPOINT} and no models/*/{_CHECKPOINT}")
    return found


def trained_with(places: Paths, settings: Texts) -> list[tuple[Path, config.Config]]:
    """Return the folders of `trained` networks, each with its configuration, some settings changed.

    Raises:
        InputError: there is no checkpoint, or no record of its settings.
    """
    found, changes = [], dict(map(config.parse_setting, settings))
    for folder in (folder for place in places for folder in trained(place.resolve())):
        record = read_json(folder / "record.json") or {}
        if "config" not in record:
            raise InputError(f"{folder}: lacks record.json, which names settings and data set")
        found.append((folder, config.Config().replace(**record["config"]).replace(**changes)))
    return found


def network(place: Path) -> Path:
    """Return the one network that is meant by a checkpoint, its folder, or a run: the finest.

    Raises:
        InputError: there is no checkpoint, or it is not clear which.
    """
    folders = [place] if place.is_file() else trained(place)
    if place in folders:
        return place
    strides = {int(m[1]): f for f in folders if (m := re.fullmatch(r"fcn-(\d+)s", f.name))}
    if len(folders) > 1 and not strides:
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"{place}: holds the networks {names}; name the folder of one")
    found = strides[min(strides)] if strides else folders[0]
    click.echo(f"{short(place)}: taking its finest network, {found.name}", err=True)
    return found
