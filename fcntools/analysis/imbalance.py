"""Notebook 07's two trainings, which differ in the weights of the classes alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib.config import Config
from fcnlib.experiment import Job
from fcnlib.training import CHECKPOINT, Stage

STRIDE = 8


def settings(config: Config) -> dict[str, Any]:
    """Return what to change of a profile for 150 classes: the data, and crops that cost less.

    Args:
        config: of the profile; where it trains on scene parsing already, only the weights are.

    Returns:
        {setting: value}.
    """
    if config.data.dataset in ("scenes", "scene-parsing"):
        return {"class_weights": "none"}
    data = {"dataset": "scenes", "data_dir": str(config.path("scenes_dir"))}
    data |= {"train_split": "train", "val_split": "val", "eval_split": "val"}
    data |= {"train_limit": 0, "val_limit": 8, "eval_limit": 0, "val_every": 0}
    # 150 scores a pixel cost more than the backbone; a smaller crop pays for them.
    size = {"crop_size": min(97, config.data.crop_size), "batch_size": config.scenes.scenes_batch}
    return data | size | {"upsampling": "fixed", "class_weights": "none"}


def jobs(config: Config, models: Path) -> dict[str, tuple[Config, Job]]:
    """List the trainings: a common start, then as many steps with equal and with balanced weights.

    Args:
        config: gives scenes_steps, the rates and the initial weights.
        models: folder of the networks; these get one in its `scenes`.

    Returns:
        {"start", "equal", "balanced": (its settings, its job)}; the two start from the first.
    """
    steps, train = config.scenes.scenes_steps, config.train
    initial = config.path("initial") if config.network.initial else None
    folder = models / "scenes"
    stages = (
        Stage("head", max(steps // 8, 1), train.head_lr, backbone=False, frozen=True),
        Stage("all", steps, train.base_lr),
    )
    start = Job(STRIDE, folder / "start", initial, stages, f"FCN-{STRIDE}s, start")
    last = Stage("all", max(steps // 2, 1), train.skip_lr)
    more = Job(STRIDE, folder / "equal", start.folder / CHECKPOINT, (last,), "equal weights")
    balanced = replace(more, folder=folder / "balanced", title="median-frequency weights")
    weighted = config.replace(class_weights="median_frequency")
    return {"start": (config, start), "equal": (config, more), "balanced": (weighted, balanced)}


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Compute Spearman's rank correlation; equal values share the mean of their ranks.

    Args:
        one: float [n].
        other: float [n].

    Returns:
        -1..1; NaN where one of them is constant.
    """
    ranks = []
    for values in (one, other):
        _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[places])
    if any(np.ptp(r) == 0 for r in ranks):
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])
