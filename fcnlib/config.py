"""Settings of a run: frozen dataclasses by stage, saved profiles (`profiles/*.toml`), overrides.

Every setting has one name in the whole configuration, so `--set base_lr=0.01` needs no section.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from fcnlib.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
PROFILES = Path(__file__).resolve().parent / "profiles"
# {old name: new name} of settings, {"setting=old option": new option}. Old ones are accepted in
# --set, profiles, notebooks' parameters, checkpoints and run records.
ALIASES = {
    "chain": "strides",
    "class_mix": "classmix_prob",
    "coarse_loss": "aux_loss_weight",
    "initial": "init_checkpoint",
    "inputs": "input_scaling",
    "lovasz_loss": "lovasz_weight",
    "prove": "check_claims",
    "tint_jitter": "channel_jitter",
    "weight_average": "ema_decay",
}
VALUE_ALIASES = {
    "precision=float16": "float32",
    "normalization=own": "published",
    "input_scaling=own": "published",
}
# Limits of batches, of images in pixels, of a share that changes a colour.
_COUNT, _SIDE, _JITTER = (1, 1 << 16), (1, 1 << 14), (0, 0.99)
_GENERATED = "shapes", "scenes", "streets"
_READ = "camvid", "voc2012", "sbd", "scene-parsing", "folder", "packed"
_said: set[str] = set()  # old spellings that were reported


def _field(default: Any, *options: str, **facts: Any) -> Any:
    """Describe a setting by its options and limits=(least, most), path=, free=.

    One that is free makes no other network, or is in a checkpoint's stages already.
    """
    return dataclasses.field(default=default, metadata={"options": options, **facts})


_free = functools.partial(_field, free=True)


@dataclass(frozen=True)
class DataConfig:
    """What to train and test on, and how training images are varied."""

    dataset: str = _field("shapes", *_GENERATED, *_READ)
    data_dir: str = _free("data/shapes", path=True)
    train_split: str = "train"
    val_split: str = "val"  # scored while training
    eval_split: str = _free("val")  # scored at the end
    train_limit: int = 0  # use the first N images of a split; 0 = all
    val_limit: int = _free(0)
    eval_limit: int = _free(0)
    crop_size: int = _field(129, limits=_COUNT)  # pixels, on the 32k+1 grid
    min_scale: float = _field(0.75, limits=(0.01, 100))  # resize before the crop, of the side
    max_scale: float = 1.5
    flip: bool = True
    # Brightness, contrast, saturation: +- this share.
    colour_jitter: float = _field(0.2, limits=_JITTER)
    channel_jitter: float = _field(0.0, limits=_JITTER)  # each channel by itself: +- this share
    classmix_prob: float = _field(0.0, limits=(0, 1))  # share mixed with classes of another crop


@dataclass(frozen=True)
class NetworkConfig:
    """Backbone and decoder."""

    backbone: str = _field("inception_v3", "inception_v3", "vgg_16")
    depth_multiplier: float = _field(0.25, limits=(1e-3, 1))  # channels of every layer, times this
    min_depth: int = _field(8, limits=(1, 256))  # but never fewer
    strides: tuple[int, ...] = _free((32, 16, 8))  # a network each, from the one before
    upsampling: str = _field("learned", "learned", "fixed")  # between skips; the last is fixed
    fusion: str = _field("score", "score", "feature", "2017")  # what the skips add up
    skip_scales: tuple[float, ...] = ()  # factors on features from stride 16 on; 0.01,0.0001
    normalization: str = _field("published", "published", "batch_norm", "none")
    input_scaling: str = _field("published", "published", "raw")  # raw: pixels 0..255, as in 2017
    void: str = _field("masked", "masked", "class")  # class: trained as one more, as in 2017
    dropout: float = 0.1  # share dropped before the stride-32 score layer
    init_checkpoint: str = _free("data/pretrained/shapes-classifier.npz", path=True)


@dataclass(frozen=True)
class TrainConfig:
    """Optimization: two stages for the coarsest network, one for each finer one."""

    seed: int = 1
    batch_size: int = _field(16, limits=_COUNT)
    optimizer: str = _field("adam", "adam", "sgd")
    head_steps: int = _free(60)  # new layers only, backbone frozen with its batch-norm statistics
    coarse_steps: int = _free(600)  # end to end, the coarsest network
    skip_steps: int = _free(250)  # end to end, each finer network
    ablation_steps: int = _free(120)  # each variant of notebook 04
    comparison_steps: int = _free(60)  # each system of notebook 08
    val_every: int = _free(0)  # steps between evaluations; 0 = at the end of a stage
    head_lr: float = _free(1e-2)
    base_lr: float = _free(2e-3)
    skip_lr: float = _free(1e-3)
    schedule: str = _field("cosine", "cosine", "poly", "constant")
    warmup_steps: int = 20
    weight_decay: float = 1e-4  # L2 on convolution kernels
    ema_decay: float = 0.0  # decay per step of the EMA of all weights; 0 = none
    batch_norm: str = _field("running", "running", "frozen")
    batch_norm_decay: float = 0.95  # of the moving averages; slim's 0.9997 needs 10,000s of steps
    loss: str = _field("mean", "mean", "sum")  # over labelled pixels; sum divides the rates
    class_weights: str = _field("none", "none", "median_frequency", "root_median_frequency")
    lovasz_weight: float = 0.0  # weight of the Lovász-Softmax loss, which stands for the mean IoU
    aux_loss_weight: float = 0.0  # weight of the auxiliary loss of each coarser sum of score maps
    # What convolutions compute in; auto: bfloat16 where the device is faster with it.
    precision: str = _field("auto", "auto", "float32", "bfloat16")
    checkpoint_seconds: int = _free(120)
    deterministic: bool = _free(False)  # TensorFlow's own mode: the same bits on a GPU as well
    check_claims: bool = _free(True)  # trained networks must do what is claimed; not in a smoke run
    eval_batch_size: int = _free(16, limits=_COUNT)


@dataclass(frozen=True)
class PretrainConfig:
    """The classifier of single objects, from which the default profile starts."""

    pretrain_steps: int = 12000
    pretrain_batch_size: int = _field(32, limits=_COUNT)
    pretrain_lr: float = 3e-3
    pretrain_crop: int = _field(97, limits=_SIDE)
    label_smoothing: float = 0.1


@dataclass(frozen=True)
class ShapesConfig:
    """The size of the generated data set."""

    shapes_seed: int = 2015
    train_images: int = 1200
    val_images: int = 200
    image_size: int = _field(129, limits=_SIDE)
    objects_per_class: int = 4  # single-object images a class for the classifier
    objects_val_per_class: int = 8


@dataclass(frozen=True)
class ScenesConfig:
    """The size of the generated scenes (of notebook 07 as well) and streets."""

    scenes_seed: int = 2016
    scenes_train_images: int = 600
    scenes_val_images: int = 100
    scenes_image_size: int = _field(129, limits=_SIDE)
    scenes_dir: str = _free("data/scenes", path=True)
    scenes_steps: int = _free(120)  # end to end in notebook 07, half as many with either weights
    scenes_batch: int = _free(8, limits=_COUNT)


@dataclass(frozen=True)
class Config:
    """All settings of a run, by stage."""

    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    pretrain: PretrainConfig = PretrainConfig()
    shapes: ShapesConfig = ShapesConfig()
    scenes: ScenesConfig = ScenesConfig()

    def replace(self, /, **values: Any) -> Config:
        """Return a copy with some settings changed; old names and values are translated.

        Raises:
            InputError: a setting does not exist, or a value has another type or is no option.
        """
        changed: dict[str, dict[str, Any]] = {}
        for key, value in current_names(values).items():
            changed.setdefault(_find(key)[0], {})[key] = _checked(key, value)
        parts = {s: dataclasses.replace(getattr(self, s), **kv) for s, kv in changed.items()}
        return dataclasses.replace(self, **parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, flat: {setting: value}, tuples as lists, ready for JSON."""
        flat = {key: getattr(getattr(self, s), key) for key, (s, *_) in _SETTINGS.items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in flat.items()}

    def training_settings(self, *sections: str) -> dict[str, Any]:
        """Return those settings of some sections that change what is learned, as `to_dict`."""
        free = {k for k, (s, facts, _) in _SETTINGS.items() if s not in sections or "free" in facts}
        return {k: v for k, v in self.to_dict().items() if k not in free}

    def path(self, key: str) -> Path:
        """Return a path setting, such as "data_dir", absolute; relative ones count from ROOT."""
        return (ROOT / getattr(getattr(self, _find(key)[0]), key)).resolve()


_SECTIONS = {field.name: type(field.default) for field in dataclasses.fields(Config)}
_SETTINGS = {
    field.name: (name, field.metadata, get_type_hints(section)[field.name])
    for name, section in _SECTIONS.items()
    for field in dataclasses.fields(section)
}


def keys() -> tuple[str, ...]:
    """Return the names of all settings, in the order of the sections."""
    return tuple(_SETTINGS)


def is_path(key: str) -> bool:
    """Return whether a setting holds a path."""
    return _find(key)[1].get("path", False)


def current_names(settings: Mapping[str, Any], say: bool = False) -> dict[str, Any]:
    """Return settings by their new names and options; `say` reports an old one once, on stderr."""
    found = {}
    for old, before in settings.items():
        key = ALIASES.get(old, old)
        found[key] = value = VALUE_ALIASES.get(f"{key}={before}", before)
        if say and (old, before) != (key, value) and old not in _said:
            _said.add(old)
            print(f"{old}={before}: this setting is now {key}={value}", file=sys.stderr)
    return found


def _find(key: str) -> tuple[str, Mapping[str, Any], Any]:  # section, facts, type
    if key in _SETTINGS:
        return _SETTINGS[key]
    near = difflib.get_close_matches(key, _SETTINGS, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"the keys are: {', '.join(_SETTINGS)}"
    raise InputError(f"unknown setting {key!r}; {hint}")


def _checked(key: str, value: Any) -> Any:
    _, facts, kind = _find(key)
    (element, *_) = get_args(kind) or [None]
    if element and isinstance(value, (list, tuple)):
        if all(type(v) in (int, element) for v in value) and (value or element is float):
            return tuple(map(element, value))
    elif kind in (int, float) and type(value) in (int, kind):
        least, most = facts.get("limits", (0, sys.float_info.max))
        if not least <= value <= most:
            raise InputError(f"{key} = {value!r} is not in {least}..{most:g}")
        return kind(value)
    elif type(value) is kind:
        if facts.get("options") and value not in facts["options"]:
            raise InputError(f"{key} = {value!r} is not one of {', '.join(facts['options'])}")
        return os.path.expanduser(value) if is_path(key) else value
    name = "list of numbers" if element else kind.__name__
    raise InputError(f"{key} = {value!r} is a {type(value).__name__}; it must be a {name}")


def parse_setting(text: str) -> tuple[str, Any]:
    """Return (setting, value) of a text such as "strides=32,16"; paths count from where one is.

    Raises:
        InputError: no "=", an unknown setting, or a value that does not read as its type.
    """
    key, equals, raw = text.partition("=")
    if not equals:
        raise InputError(f"--set {text!r} has no '='; write --set key=value")
    ((key, raw),) = current_names({key: raw}, say=True).items()
    kind, value = _find(key)[2], raw
    (element, *_) = get_args(kind) or [None]
    try:
        if kind is bool:
            value = {"true": True, "1": True, "false": False, "0": False}[raw.lower()]
        elif element:
            value = [element(v) for v in raw.split(",") if v or element is int]
        elif is_path(key):
            value = str(Path(os.path.expanduser(raw)).resolve()) if raw else ""
        else:
            value = kind(raw)
    except (ValueError, KeyError):
        raise InputError(f"{key} = {raw!r} does not read as {kind.__name__}") from None
    return key, _checked(key, value)


def profiles() -> tuple[str, ...]:
    """Return the names of the saved profiles, sorted."""
    return tuple(sorted(p.stem for p in PROFILES.glob("*.toml")))


def load_profile(name: str, overrides: Mapping[str, Any] | None = None) -> Config:
    """Return a saved profile ("quick", or the path of a .toml file) with some settings changed.

    Raises:
        InputError: no such profile, no TOML, or an unknown section, setting or value in it.
    """
    path = Path(os.path.expanduser(name)) if name.endswith(".toml") else PROFILES / f"{name}.toml"
    values: dict[str, Any] = {}
    try:
        for section, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if section not in _SECTIONS or not isinstance(entries, dict):
                raise InputError(f"unknown section [{section}]; use {', '.join(_SECTIONS)}")
            values |= current_names(entries, say=True)
        config = Config().replace(**values)
    except OSError:
        raise InputError(f"no profile {name!r}; there are: {', '.join(profiles())}") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a TOML file: {error}") from None
    return config.replace(**current_names(overrides or {}, say=True))
