"""Networks from settings, from their own checkpoint, or started from that of another."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fcnlib import checkpoints
from fcnlib.blocks import BACKBONES
from fcnlib.config import Config
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet
from fcnlib.network import FCN, SKIPS
from fcnlib.runtime.compat import device_name, tf
from fcnlib.runtime.environment import nvidia_driver
from fcnlib.runtime.run_record import machine
from fcnlib.slim import SlimModule, classifier_scopes, compute_dtype
from fcnlib.training import CHECKPOINT

# {"variant": builder of other networks, which takes (config, number of classes, stride, **arguments
# of `FCN`)}, where `fcntools.analysis.networks_2017` is imported.
BUILDERS: dict[str, Callable[..., SlimModule]] = {}


def build_fcn(config: Config, num_classes: int, stride: int) -> FCN:
    """Return the network of a configuration: a freshly drawn backbone, zero score layers.

    Args:
        config: settings.
        num_classes: C, background included.
        stride: of the finest skip.

    Raises:
        InputError: there is no network of this stride, or no builder of this variant.
    """
    given, settings = config.network, backbone_settings(config)
    if given.fusion == "score" and given.input_scaling != "raw" and given.void != "class":
        network = FCN(num_classes, stride, **head_settings(config), **settings)
    elif BUILDERS:
        network = BUILDERS["variant"](config, num_classes, stride, **settings)
    else:
        raise InputError(
            "fusion, input_scaling, void: such networks need `fcntools.analysis.networks_2017`"
        )
    seed(config)
    network(tf.zeros([1, 33, 33, 3]))
    return network


def seed(config: Config) -> None:
    """Start TensorFlow's random numbers, and its deterministic mode where it is asked for."""
    tf.random.set_seed(config.train.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def head_settings(config: Config) -> dict[str, Any]:
    """Return the arguments of `FCN` itself that a configuration decides."""
    given, learned = config.network, config.network.upsampling == "learned"
    return {"skip_scales": given.skip_scales, "learned": learned, "dropout": given.dropout}


def backbone_settings(config: Config) -> dict[str, Any]:
    """Return the arguments of `backbone.features` that a configuration decides."""
    given = config.network
    return {
        "backbone": given.backbone,
        "depth_multiplier": given.depth_multiplier,
        "min_depth": given.min_depth,
        "batch_norm": {"batch_norm": True, "none": False}.get(given.normalization),
        "batch_norm_decay": config.train.batch_norm_decay,
        "dtype": compute_dtype(config.train.precision, machine()["cpu_flags"]),
    }


def describe_device(precision: str) -> dict[str, str]:
    """Return {"device", "computed_in"} and, on a GPU, its "driver" for a run record."""
    found = {"device": device_name()}
    found["computed_in"] = compute_dtype(precision, machine()["cpu_flags"]).name
    return found if found["device"] == "CPU" else found | {"driver": nvidia_driver()}


def load_fcn(path: Path, stride: int = 0, **changes: Any) -> tuple[FCN, dict[str, Any]]:
    """Return (network with its weights, meta) of a checkpoint alone.

    Args:
        path: a checkpoint, or the folder of a trained network.
        stride: leave out the score maps that are finer than this; 0 for all.
        **changes: settings to read it with, such as precision.

    Raises:
        InputError: it is no checkpoint of an FCN, or has no score map of the stride.
    """
    path = path / CHECKPOINT if path.is_dir() else path
    arrays, meta = checkpoints.load(path)
    if meta.get("kind") != "fcn":
        raise InputError(f"{path}: is of kind {meta.get('kind')!r}, not an FCN")
    try:
        config = Config().replace(**meta["settings"] | changes)
        classes, finest = tuple(map(str, meta["classes"])), int(meta["stride"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: does not say what network it is ({error})") from None
    if not 0 < len(classes) <= VOID:
        raise InputError(f"{path}: names {len(classes)} classes; a mask holds 1 to {VOID}")
    may_skip = ["optimizer/"]
    if stride and stride != finest:
        finer = [fine for fine in SKIPS if finest <= fine < stride]
        if stride not in SKIPS or not finer or config.network.fusion != "score":
            raise InputError(f"{path}: an FCN-{finest}s has no sum of score maps at {stride}")
        may_skip += [f"FCN/{kind}_{fine}" for kind in ("score", "upscore") for fine in finer]
    try:
        network = build_fcn(config, len(classes), stride or finest)
    except (tf.errors.OpError, MemoryError):
        raise InputError(f"{path}: a network of this size does not fit into the memory") from None
    variables = network.named_variables()
    checkpoints.transplant(arrays, variables, may_skip=may_skip, source=str(path))
    return network, meta


def require_classes(path: Path, meta: dict[str, Any], labels: LabelSet) -> None:
    """Refuse a network trained for other classes, or for the same in another order.

    Args:
        path: of its checkpoint or folder.
        meta: of the checkpoint.
        labels: of the images.

    Raises:
        InputError: the lists differ; both are named.
    """
    if (theirs := tuple(meta["classes"])) != labels.classes:
        raise InputError(
            f"{path}: trained for the classes {_listed(theirs)}; the images are labelled with "
            f"{_listed(labels.classes)}; score it on data of its own classes"
        )


def _listed(names: Sequence[str]) -> str:
    return textwrap.shorten(", ".join(names), 300)


def start_from(network: FCN, path: Path, labels: LabelSet | None = None) -> checkpoints.Transfer:
    """Give a network the weights of a coarser one, or of a classifier.

    A network without batch norm takes the kernels alone, as that of 2017 did without a word.

    Args:
        network: fresh from `build_fcn`.
        path: checkpoint of a classifier or of an FCN.
        labels: of the images. Of an FCN of other classes the backbone alone is taken.

    Returns:
        The account of all variables; InputError where the checkpoint does not fit.
    """
    arrays, meta = checkpoints.load(path)
    variables = network.named_variables()
    theirs = meta.get("classes", ()) if meta.get("kind") == "fcn" else ()
    if labels and theirs and tuple(theirs) != labels.classes:
        lists = f"its score layers are of {_listed(theirs)}, not of {_listed(labels.classes)}"
        print(f"{path}: {lists}; only its backbone is taken", file=sys.stderr)
        arrays = {name: value for name, value in arrays.items() if not name.startswith("FCN/")}
    may_skip = [scope for spec in BACKBONES.values() for scope in classifier_scopes(spec)]
    rules = {"may_skip": [*may_skip, "optimizer/", *network.private], "may_miss": ["FCN/"]}
    if not any("/BatchNorm/" in name for name in variables):
        rules["may_skip"] += [name for name in arrays if "/BatchNorm/" in name]
        rules["may_miss"] += [name for name in variables if name.endswith("/biases")]
    return checkpoints.transplant(arrays, variables, **rules, source=str(path))
