"""What several commands of `fcnlib` take, and how they read it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError

_CHECKPOINT = "checkpoint.npz"
_SIZES = (0.1, 4)  # of an image, factors of its side

profile_option = click.option("--profile", default="quick", show_default=True, metavar="NAME")
settings_option = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a setting; repeatable."
)
deterministic_option = click.option(
    *("--deterministic", "settings"),
    flag_value="deterministic=true",
    multiple=True,
    help="Same seed, same bits: TensorFlow's own mode.",
)
engine_option = click.option(
    "--engine", default="tensorflow", show_default=True, help="Or openvino, onnxruntime."
)
resume_option = click.option("--resume", is_flag=True, help="Go on from the last checkpoint.")


def averaging_options(command: Any) -> Any:
    """Decorate a command with --flip, --scales, which `read_scales` reads, and --with."""
    scales = click.option(
        "--scales", default="1", show_default=True, help="Average over sizes: 0.75,1,1.25"
    )
    others = path_option(
        *("--with", "others"),
        multiple=True,
        help="Average with another network, its folder or checkpoint; repeatable.",
    )
    return click.option("--flip", is_flag=True, help="Average with the mirrored image.")(
        scales(others(command))
    )


def read_scales(text: str) -> tuple[float, ...]:
    """Read the value of --scales.

    Args:
        text: numbers with commas between them.

    Returns:
        The factors.

    Raises:
        InputError: one is no number, or no size that an answer could come from.
    """
    for part in text.split(","):
        try:
            fits = _SIZES[0] <= float(part) <= _SIZES[1]
        except ValueError:
            fits = False
        if not fits:
            raise InputError(
                f"--scales {text}: {part!r} is no number from {_SIZES[0]} to {_SIZES[1]}; commas "
                "stand between sizes, and a decimal has a point: 0.75,1,1.25"
            )
    return tuple(map(float, text.split(",")))


def path_option(*words: str, makes: str = "", **more: Any) -> Any:
    """Return an option whose value is a path.

    Args:
        *words: the option's names.
        makes: what is written there, see `to_make`; empty where it is only read.
        **more: what click.option takes.

    Returns:
        The decorator.
    """
    if makes:
        more["callback"] = lambda _, option, path: path and to_make(path, makes, option.opts[0])
    return click.option(*words, type=click.Path(path_type=Path), **more)


def to_make(path: Path, kind: str, option: str = "--out") -> Path:
    """Refuse the path of what shall be written if something else lies there or in the way.

    Args:
        path: from the user.
        kind: "folder"; "checkpoint", a file that may replace one of its kind, but no trained
            network, its record beside it; or "any", a file or a folder.
        option: what can name another.

    Returns:
        The absolute path.

    Raises:
        InputError: it, or a folder of it, is a file; or a folder, or another file, is there.
    """
    path = path.resolve()
    above = next((parent for parent in path.parents if parent.exists()), path)
    if not above.is_dir() or (kind == "folder" and path.exists() and not path.is_dir()):
        file = path if above.is_dir() else above
        raise InputError(f"{file}: is a file; give {option} the name of another place")
    if kind == "checkpoint":
        _require_replaceable(path, option)
    return path


def _require_replaceable(path: Path, option: str) -> None:
    from fcnlib import checkpoints
    from fcnlib.runtime.files import read_json

    if path.is_dir():
        raise InputError(f"{path}: is a folder; give {option} the name of a file")
    try:
        ours = not path.exists() or "stages" not in checkpoints.load(path)[1]  # those of a training
    except InputError:
        ours = False
    beside = path.with_suffix(".json")
    record = read_json(beside)
    if ours and beside.exists() and not (isinstance(record, dict) and "commit" in record):
        ours, path = False, beside
    if not ours:
        raise InputError(f"{path}: is there, and this command never made it; name another {option}")


run_folder_option = path_option(
    "--out", makes="folder", help="The run folder; results/runs/PROFILE by default."
)


def run_folder(out: Path | None, profile: str) -> Path:
    """Return the folder of a run: the user's, or that of a profile."""
    from fcnlib.config import ROOT

    return out or to_make(ROOT / "results" / "runs" / Path(profile).stem, "folder")


def read_config(profile: str, settings: tuple[str, ...]) -> Any:
    """Read a profile with the settings of the command line.

    Args:
        profile: its name, or a .toml file.
        settings: key=value texts.

    Returns:
        The configuration.

    Raises:
        InputError: an unknown profile or key, or a value of another type.
    """
    from fcnlib.config import load_profile, parse_setting

    return load_profile(profile, dict(parse_setting(text) for text in settings))


def short(path: Path) -> Path:
    """Return a path as seen from where the user is, where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def trained(place: Path) -> list[Path]:
    """Return the folders of trained networks: of a run, of one network, or of a checkpoint.

    Args:
        place: what the user named.

    Returns:
        At least one folder.

    Raises:
        InputError: there is no checkpoint.
    """
    if place.is_file() and place.name == _CHECKPOINT:
        return [place.parent]
    folders = (place, *sorted(place.glob("models/*")))
    found = [folder for folder in folders if (folder / _CHECKPOINT).is_file()]
    if not found:
        raise InputError(f"{place}: holds no {_CHECKPOINT} and no models/*/{_CHECKPOINT}")
    return found


def network(place: Path) -> Path:
    """Return the one network that is meant by a checkpoint, its folder, or a run: the finest.

    Args:
        place: what the user named; which network of a run it is, is said on standard error.

    Returns:
        A checkpoint or its folder.

    Raises:
        InputError: there is no checkpoint, or it is not clear which.
    """
    if place.is_file():
        return place
    folders = trained(place)
    strides = {f: int(m[1]) for f in folders if (m := re.fullmatch(r"fcn-(\d+)s", f.name))}
    if place in folders:
        return place
    if len(folders) > 1 and not strides:
        names = ", ".join(folder.name for folder in folders)
        raise InputError(f"{place}: holds the networks {names}; name the folder of one")
    found = min(strides, key=strides.__getitem__) if strides else folders[0]
    click.echo(f"{short(place)}: taking its finest network, {found.name}", err=True)
    return found
