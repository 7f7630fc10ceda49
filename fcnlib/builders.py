"""Networks from settings, from their own checkpoint, or started from that of another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcnlib import checkpoints
from fcnlib.blocks import BACKBONES
from fcnlib.config import Config
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet
from fcnlib.network import FCN, SKIPS
from fcnlib.precision import compute_dtype
from fcnlib.runtime.compat import tf
from fcnlib.slim import classifier_scopes, initialized_from
from fcnlib.training import CHECKPOINT
from fcntools.analysis.fcn_2017 import Decoder2017

_NAMED = 24  # classes named in an error


def build_fcn(config: Config, num_classes: int, stride: int) -> FCN | Decoder2017:
    """Build the network of a configuration, its variables created.

    Args:
        config: gives backbone, width, fusion, upsampling, dropout and batch-norm decay.
        num_classes: C, background included.
        stride: of the finest skip.

    Returns:
        The network with freshly drawn backbone and zero score layers.

    Raises:
        InputError: there is no network of this stride.
    """
    given = config.network
    settings = backbone_settings(config) | {"void_class": given.void == "class"}
    try:
        if given.fusion == "2017":
            network: FCN | Decoder2017 = Decoder2017(num_classes, stride, **settings)
        else:
            network = FCN(
                num_classes,
                stride,
                fusion=given.fusion,
                learned=given.upsampling == "learned",
                dropout=given.dropout,
                skip_scales=given.skip_scales,
                **settings,
            )
    except ValueError as error:
        raise InputError(f"chain = {','.join(map(str, given.chain))}: {error}") from None
    seed(config)
    network(tf.zeros([1, 33, 33, 3]))
    return network


def seed(config: Config) -> None:
    """Start TensorFlow's random numbers, and its deterministic mode where it is asked for."""
    tf.random.set_seed(config.train.seed)
    if config.train.deterministic:
        tf.config.experimental.enable_op_determinism()


def backbone_settings(config: Config) -> dict[str, Any]:
    """Return the arguments of `backbone.features` that a configuration decides."""
    given = config.network
    batch_norm = {"own": None, "batch_norm": True, "none": False}[given.normalization]
    return {
        "backbone": given.backbone,
        "depth_multiplier": given.depth_multiplier,
        "min_depth": given.min_depth,
        "batch_norm": batch_norm,
        "batch_norm_decay": config.train.batch_norm_decay,
        "raw_inputs": given.inputs == "raw",
        "dtype": compute_dtype(config.train.precision),
    }


def load_fcn(path: Path, stride: int = 0, **changes: Any) -> tuple[FCN, dict[str, Any]]:
    """Rebuild a trained network from its checkpoint alone.

    Args:
        path: a checkpoint, or the folder of a trained network.
        stride: leave out the score maps that are finer than this; 0 for all.
        **changes: settings to read it with, such as precision.

    Returns:
        (network with its weights, what the checkpoint says of itself: settings, classes, stride).

    Raises:
        InputError: no checkpoint there, or not one of an FCN; or it has no score map of the stride.
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
        with initialized_from(arrays, str(path)):
            network = build_fcn(config, len(classes), stride or finest)
    except (tf.errors.OpError, MemoryError):
        raise InputError(f"{path}: a network of this size does not fit into the memory") from None
    shapes = {name: variable.shape for name, variable in network.named_variables().items()}
    checkpoints.account(arrays, shapes, may_skip=may_skip, source=str(path))
    return network, meta


def load_alike(path: Path, *others: Path, stride: int = 0) -> tuple[list[FCN], dict[str, Any]]:
    """Rebuild trained networks of the same classes, to be averaged.

    Args:
        path: as of `load_fcn`.
        *others: more of them.
        stride: as of `load_fcn`, for each.

    Returns:
        (the networks, what the first checkpoint says of itself).

    Raises:
        InputError: as `load_fcn`, or one has other classes than the first.
    """
    (first, meta), *more = (load_fcn(one, stride) for one in (path, *others))
    for other, (_, said) in zip(others, more, strict=True):
        if said["classes"] != meta["classes"]:
            raise InputError(f"{other}: its classes are not those of {path}; no average of both")
    return [first, *(network for network, _ in more)], meta


def require_classes(path: Path, meta: dict[str, Any], labels: LabelSet) -> None:
    """Refuse a network that was trained for other classes, or for the same in another order.

    Args:
        path: of its checkpoint or folder.
        meta: what the checkpoint says of itself.
        labels: of what it shall label.

    Raises:
        InputError: the lists differ; both are named.
    """
    theirs = tuple(meta["classes"])
    if theirs != labels.classes:
        raise InputError(
            f"{path}: trained for the classes {_listed(theirs)}; the images are labelled with "
            f"{_listed(labels.classes)}; score it on data of its own classes"
        )


def _listed(names: Sequence[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def start_from(
    network: FCN | Decoder2017, path: Path, labels: LabelSet | None = None
) -> checkpoints.Transfer:
    """Give a network the weights of a coarser one, or of a classifier.

    A network without batch norm takes the kernels alone, as the one of 2017 did without a word.

    Args:
        network: a network fresh from `build_fcn`.
        path: checkpoint of a classifier or of an FCN.
        labels: of what the network shall label. Of an FCN of other classes, or of the same in
            another order, it takes the backbone alone, which standard error says.

    Returns:
        The account of all variables: new are score and upsampling layers, not used the
        classifier's.

    Raises:
        InputError: the checkpoint does not fit.
    """
    arrays, meta = checkpoints.load(path)
    variables = network.named_variables()
    theirs = meta.get("classes", ()) if meta.get("kind") == "fcn" else ()
    if labels and theirs and tuple(theirs) != labels.classes:
        print(
            f"{path}: its score layers are of the classes {_listed(theirs)}, not of "
            f"{_listed(labels.classes)}; only its backbone is taken",
            file=sys.stderr,
        )
        arrays = {name: value for name, value in arrays.items() if not name.startswith("FCN/")}
    may_skip = [s for made in BACKBONES.values() for s in classifier_scopes(made)] + ["optimizer/"]
    may_miss = ["FCN/"]
    if not any("/BatchNorm/" in name for name in variables):
        may_skip += [name for name in arrays if "/BatchNorm/" in name]
        may_miss += [name for name in variables if name.endswith("/biases")]
    if any(name.startswith("FCN/upfeature") for name in variables):
        may_skip += ["FCN/score_"]  # only the finest map is scored, so each network has its own
    return checkpoints.transplant(
        arrays, variables, may_miss=may_miss, may_skip=may_skip, source=str(path)
    )
