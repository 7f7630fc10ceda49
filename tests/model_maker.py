"""Tiny networks with drawn score layers, for tests that need a network and not what it learned."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from fcnlib import checkpoints
from fcnlib.builders import build_fcn
from fcnlib.config import Config
from fcnlib.network import FCN
from fcnlib.training import CHECKPOINT

SETTINGS = {"depth_multiplier": 0.1, "min_depth": 4, "precision": "float32"}


@functools.lru_cache(maxsize=8)
def make_network(num_classes: int, stride: int, seed: int = 0, **settings) -> FCN:
    """Make a network whose score layers and kernels differ from their start; do not train it."""
    network = build_fcn(Config().replace(**SETTINGS, **settings), num_classes, stride)
    random = np.random.default_rng(seed)
    for name, variable in network.named_variables().items():
        if name.startswith("FCN/"):
            size = 1.0 if "score_" in name and "up" not in name else 0.1
            variable.assign_add(random.normal(0, size, variable.shape).astype(np.float32))
    return network


def write_network(folder: Path, classes: tuple[str, ...], stride: int, seed: int = 0) -> FCN:
    """Write such a network as a trained one: its checkpoint with the meaning of it."""
    network = make_network(len(classes), stride, seed)
    arrays = {name: v.numpy() for name, v in network.named_variables().items()}
    meta = {"kind": "fcn", "stride": stride, "classes": list(classes), "settings": SETTINGS}
    folder.mkdir(parents=True)
    checkpoints.save(folder / CHECKPOINT, arrays, meta)
    return network
