"""Networks from settings, from their own checkpoint, or started from that of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fcnlib import weights
from fcnlib.backbone import LOGITS
from fcnlib.compat import tf
from fcnlib.config import Config
from fcnlib.errors import InputError
from fcnlib.network import FCN
from fcnlib.training import CHECKPOINT


def build_fcn(config: Config, num_classes: int, stride: int) -> FCN:
    """Build the network of a configuration, its variables created.

    Args:
        config: gives width, upsampling, dropout and batch-norm decay.
        num_classes: C, background included.
        stride: of the finest skip.

    Returns:
        The network with freshly drawn backbone and zero score layers.
    """
    network = FCN(
        num_classes,
        stride,
        learned=config.network.upsampling == "learned",
        dropout=config.network.dropout,
        depth_multiplier=config.network.depth_multiplier,
        min_depth=config.network.min_depth,
        batch_norm_decay=config.train.batch_norm_decay,
    )
    tf.random.set_seed(config.train.seed)
    network(tf.zeros([1, 33, 33, 3]))
    return network


def load_fcn(path: Path) -> tuple[FCN, dict[str, Any]]:
    """Rebuild a trained network from its checkpoint alone.

    Args:
        path: a checkpoint, or the folder of a trained network.

    Returns:
        (network with its weights, what the checkpoint says of itself: settings, classes, stride).

    Raises:
        InputError: no checkpoint there, or not one of an FCN.
    """
    path = path / CHECKPOINT if path.is_dir() else path
    arrays, meta = weights.load(path)
    if meta.get("kind") != "fcn":
        raise InputError(f"{path}: holds a {meta.get('kind', 'nameless thing')}, not an FCN")
    known = dict(meta["settings"])
    network = build_fcn(Config().replace(**known), len(meta["classes"]), meta["stride"])
    weights.transplant(
        arrays, network.named_variables(), may_skip=("optimizer/",), source=str(path)
    )
    return network, meta


def start_from(network: FCN, path: Path) -> weights.Transfer:
    """Give a network the weights of a coarser one, or of a classifier.

    Args:
        network: a network fresh from `build_fcn`.
        path: checkpoint of a classifier or of an FCN with the same classes.

    Returns:
        The account of all variables: new are score and upsampling layers, not used the
        classifier's.

    Raises:
        InputError: the checkpoint does not fit.
    """
    arrays, _ = weights.load(path)
    skip = (LOGITS, "InceptionV3/AuxLogits", "optimizer/")
    return weights.transplant(
        arrays, network.named_variables(), may_miss=("FCN/",), may_skip=skip, source=str(path)
    )
