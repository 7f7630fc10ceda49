"""What several commands of `fcnlib` take, and how they read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fcnlib.errors import InputError

_CHECKPOINT = "checkpoint.npz"

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
        InputError: one is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--scales {text}: write numbers, such as 0.75,1,1.25") from None


def path_option(*words: str, **more: Any) -> Any:
    """Return an option whose value is a path.

    Args:
        *words: the option's names.
        **more: what click.option takes.

    Returns:
        The decorator.
    """
    return click.option(*words, type=click.Path(path_type=Path), **more)


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
