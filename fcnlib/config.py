"""Settings of a run: frozen dataclasses, their saved forms (`profiles/*.toml`) and overrides.

Every key has one name in the whole configuration, so `--set base_lr=0.01` needs no section. What
does not exist or has another type is refused with the keys or the type that would do.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from fcnlib.errors import InputError
from fcnlib.schema import (
    LIMITS,
    DataConfig,
    NetworkConfig,
    PretrainConfig,
    ScenesConfig,
    ShapesConfig,
    TrainConfig,
)

ROOT = Path(__file__).resolve().parent.parent
PROFILES = Path(__file__).resolve().parent / "profiles"


@dataclass(frozen=True)
class Config:
    """All settings of a run, by stage."""

    data: DataConfig = field(default_factory=DataConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    pretrain: PretrainConfig = field(default_factory=PretrainConfig)
    shapes: ShapesConfig = field(default_factory=ShapesConfig)
    scenes: ScenesConfig = field(default_factory=ScenesConfig)

    def replace(self, /, **values: Any) -> Config:
        """Return a copy with some keys changed.

        Args:
            **values: key = value, keys of any section, values of the key's type.

        Returns:
            The new configuration.

        Raises:
            InputError: a key does not exist, or a value has another type or is no option.
        """
        changed: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            section = _section_of(key)
            changed.setdefault(section, {})[key] = _checked(section, key, value)
        parts = {s: dataclasses.replace(getattr(self, s), **kv) for s, kv in changed.items()}
        return dataclasses.replace(self, **parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, flat: {key: value}, tuples as lists, ready for JSON."""
        flat = {}
        for section in _SECTIONS:
            flat.update(dataclasses.asdict(getattr(self, section)))
        return {k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()}

    def path(self, key: str) -> Path:
        """Return a path setting, such as "data_dir", absolute; relative ones count from ROOT.

        Args:
            key: the name of a path setting.

        Returns:
            The absolute path; it need not exist.
        """
        return (ROOT / getattr(getattr(self, _section_of(key)), key)).resolve()


_SECTIONS = {f.name: f.default_factory for f in dataclasses.fields(Config)}
_FIELDS = {s: {f.name: f for f in dataclasses.fields(c)} for s, c in _SECTIONS.items()}
_TYPES = {s: get_type_hints(c) for s, c in _SECTIONS.items()}


def keys() -> tuple[str, ...]:
    """Return the names of all settings, in the order of the sections."""
    return tuple(key for fields in _FIELDS.values() for key in fields)


def is_path(key: str) -> bool:
    """Return whether a setting holds a path."""
    return bool(_FIELDS[_section_of(key)][key].metadata.get("path"))


def _section_of(key: str) -> str:
    for section, fields in _FIELDS.items():
        if key in fields:
            return section
    near = difflib.get_close_matches(key, keys(), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"the keys are: {', '.join(keys())}"
    raise InputError(f"unknown setting {key!r}; {hint}")


def _checked(section: str, key: str, value: Any) -> Any:
    kind = _TYPES[section][key]
    if kind == tuple[int, ...] and isinstance(value, (list, tuple)):
        if value and all(type(v) is int for v in value):
            return tuple(value)
    elif kind == tuple[float, ...] and isinstance(value, (list, tuple)):
        if all(type(v) in (int, float) for v in value):
            return tuple(map(float, value))
    elif kind is not bool and type(value) in (int, kind) and kind in (int, float):
        least, most = LIMITS.get(key, (0, sys.float_info.max))
        if not least <= value <= most:
            raise InputError(f"{key} = {value!r} is not in {least}..{most:g}")
        return kind(value)
    elif type(value) is kind:
        options = _FIELDS[section][key].metadata.get("options")
        if options and value not in options:
            raise InputError(f"{key} = {value!r} is not one of {', '.join(options)}")
        return os.path.expanduser(value) if is_path(key) else value
    lists = {tuple[int, ...]: "list of whole numbers", tuple[float, ...]: "list of numbers"}
    name = lists.get(kind) or kind.__name__
    raise InputError(f"{key} = {value!r} is a {type(value).__name__}; it must be a {name}")


def parse_setting(text: str) -> tuple[str, Any]:
    """Read one `key=value` of the command line into (key, value of the key's type).

    Args:
        text: such as "base_lr=0.01", "chain=32,16,8", "flip=false". A path stays relative to the
            folder the user is in.

    Returns:
        The key and its value.

    Raises:
        InputError: no "=", an unknown key, or a value that does not read as the key's type.
    """
    key, equals, raw = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r} has no '='; write --set key=value")
    section = _section_of(key)
    kind = _TYPES[section][key]
    try:
        if kind is bool:
            value: Any = {"true": True, "1": True, "false": False, "0": False}[raw.lower()]
        elif kind in (tuple[int, ...], tuple[float, ...]):
            value = [get_args(kind)[0](v) for v in raw.split(",") if v or kind == tuple[int, ...]]
        else:
            value = kind(raw)
    except (ValueError, KeyError):
        raise InputError(
            f"{key} = {raw!r} does not read as {getattr(kind, '__name__', kind)}"
        ) from None
    if is_path(key):
        value = str(Path(os.path.expanduser(raw)).resolve()) if raw else ""
    return key, _checked(section, key, value)


def profiles() -> tuple[str, ...]:
    """Return the names of the saved profiles, sorted."""
    return tuple(sorted(p.stem for p in PROFILES.glob("*.toml")))


def load_profile(name: str, overrides: dict[str, Any] | None = None) -> Config:
    """Read a saved profile and change some of its keys.

    Args:
        name: of a profile ("quick"), or the path of a .toml file.
        overrides: {key: value} that win over the profile.

    Returns:
        The configuration.

    Raises:
        InputError: no such profile, unreadable TOML, or an unknown section, key or value in it.
    """
    path = Path(os.path.expanduser(name)) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"no profile {name!r}; there are: {', '.join(profiles())}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None
    values = {}
    for section, entries in tree.items():
        if section not in _SECTIONS or not isinstance(entries, dict):
            raise InputError(f"{path}: unknown section [{section}]; use {', '.join(_SECTIONS)}")
        for key, value in entries.items():
            if key not in _FIELDS[section]:
                raise InputError(
                    f"{path}: no key {key!r} in [{section}]; it has {', '.join(_FIELDS[section])}"
                )
            values[key] = value
    return Config().replace(**values).replace(**(overrides or {}))
