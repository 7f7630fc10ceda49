"""Trainings that differ in one thing, and what each changed of its weights.

`variants` are those of notebook 04, `scene_settings` and `scene_jobs` those of notebook 07.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import checkpoints
from fcnlib.config import Config
from fcnlib.experiment import Job
from fcnlib.slim import is_backbone
from fcnlib.training import CHECKPOINT, Stage

_STRIDE = 8


@dataclass(frozen=True)
class Variant:
    """One way to train the coarsest network: a name, its meaning, its settings and its job."""

    name: str
    meaning: str
    config: Config
    job: Job


def variants(config: Config, models: Path) -> list[Variant]:
    """Return the ways of training the coarsest network to compare, all with as many steps.

    "head" trains the head alone, on random features where there are no initial weights; "all" and
    "frozen", which need them, train everything after a third of the steps, without and with batch
    norm on the averages of the start; "scratch" trains everything from random numbers.

    Args:
        config: gives ablation_steps, the rates and the initial weights.
        models: folder of the networks; each variant gets one in its `ablation`.
    """
    train, stride = config.train, config.network.chain[0]
    steps = train.ablation_steps
    initial = config.path("initial") if config.network.initial else None
    # Averages over 1 / (1 - decay) steps must have forgotten where they began when the run ends.
    decay = min(train.batch_norm_decay, max(0.5, 1 - 5 / max(steps, 1)))
    # Looks at the validation images on the way would count as training time.
    settings = config.replace(batch_norm="running", batch_norm_decay=decay, val_every=0)

    head = Stage("head", steps, train.head_lr, backbone=False, frozen=True)
    everything = Stage("all", steps, train.base_lr)
    first, rest = replace(head, steps=steps // 3), replace(everything, steps=steps - steps // 3)
    plans = {"head": ("head only", (head,))}
    if initial is not None:
        plans["all"] = ("head, then all", (first, rest))
        plans["frozen"] = ("head, then all, norm frozen", (first, replace(rest, frozen=True)))
    plans["scratch"] = ("all, from scratch", (everything,))
    found = []
    for name, (meaning, stages) in plans.items():
        start, title = initial if name != "scratch" else None, f"FCN-{stride}s, {meaning}"
        job = Job(stride, models / "ablation" / name, start, stages, title)
        found.append(Variant(name, meaning, settings, job))
    return found


def scene_settings(config: Config) -> dict[str, Any]:
    """Return the settings to change of a profile for 150 classes: the data, and smaller crops.

    Where the profile trains on scene parsing already, only the class weights change.
    """
    if config.data.dataset in ("scenes", "scene-parsing"):
        return {"class_weights": "none"}
    data = {"dataset": "scenes", "data_dir": str(config.path("scenes_dir"))}
    data |= {"train_split": "train", "val_split": "val", "eval_split": "val"}
    data |= {"train_limit": 0, "val_limit": 8, "eval_limit": 0, "val_every": 0}
    # 150 scores a pixel cost more than the backbone; a smaller crop pays for them.
    size = {"crop_size": min(97, config.data.crop_size), "batch_size": config.scenes.scenes_batch}
    return data | size | {"upsampling": "fixed", "class_weights": "none"}


def scene_jobs(config: Config, models: Path) -> dict[str, tuple[Config, Job]]:
    """List trainings: a common start, then as many steps with equal and with balanced weights.

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
    start = Job(_STRIDE, folder / "start", initial, stages, f"FCN-{_STRIDE}s, start")
    last = Stage("all", max(steps // 2, 1), train.skip_lr)
    more = Job(_STRIDE, folder / "equal", start.folder / CHECKPOINT, (last,), "equal weights")
    balanced = replace(more, folder=folder / "balanced", name="median-frequency weights")
    weighted = config.replace(class_weights="median_frequency")
    return {"start": (config, start), "equal": (config, more), "balanced": (weighted, balanced)}


def trained_values(job: Job) -> int:
    """Count the numbers that a finished job trained, moving averages not among them."""
    arrays, _ = checkpoints.load(job.folder / CHECKPOINT)
    backbone = any(stage.backbone for stage in job.stages)
    averages = ("/moving_mean", "/moving_variance")
    return sum(
        array.size
        for name, array in arrays.items()
        if not name.endswith(averages) and (backbone or not is_backbone(name))
    )


def relative_change(job: Job) -> dict[str, float]:
    """Measure how far training took each block of the backbone from where it started.

    Args:
        job: trained, with a start.

    Returns:
        {block: norm of the change of its convolution kernels over the norm they had}, in order of
        depth, such as {"Conv2d_1a_3x3": 0.02, ..., "Mixed_7c": 0.3}.
    """
    before, after = _before_and_after(job)
    change, norm = Counter(), Counter()
    for name in after:
        if name.endswith("/weights"):
            block = name.split("/")[1]
            change[block] += np.square(after[name] - before[name]).sum()
            norm[block] += np.square(before[name]).sum()
    return {block: float(np.sqrt(change[block] / norm[block])) for block in change}


def count_changed(job: Job, *endings: str) -> int:
    """Return how many of the backbone's variables training changed in at least one bit.

    Args:
        job: trained, with a start.
        *endings: of the names to look at, such as "/moving_mean"; none for all.
    """
    before, after = _before_and_after(job)
    names = [name for name in after if name.endswith(endings or ("",))]
    return sum(not np.array_equal(after[name], before[name]) for name in names)


def _before_and_after(job: Job) -> list[dict[str, np.ndarray]]:
    """Return the backbone's variables in the checkpoint of the start and in that of the result."""
    both = (checkpoints.load(path)[0] for path in (job.start, job.folder / CHECKPOINT))
    return [{name: a for name, a in arrays.items() if is_backbone(name)} for arrays in both]
