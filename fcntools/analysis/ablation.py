"""Variants of training the coarsest network with equal steps, and what each did to its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fcnlib import checkpoints
from fcnlib.config import Config
from fcnlib.experiment import Job
from fcnlib.slim import is_backbone
from fcnlib.training import CHECKPOINT, Stage


@dataclass(frozen=True)
class Variant:
    """One way to train the coarsest network: a name, what it means, its settings and its job."""

    name: str
    meaning: str
    config: Config
    job: Job


def variants(config: Config, models: Path) -> list[Variant]:
    """List the ways of training the coarsest network that are compared, all with as many steps.

    Args:
        config: gives ablation_steps, the rates and the initial weights.
        models: folder of the networks; each variant gets one in its `ablation`.

    Returns:
        "head", the head alone; given initial weights, "all" and "frozen", where everything learns
        after a third of the steps, without and with batch norm on the averages of the start; and
        "scratch", where everything learns from random numbers. Without initial weights "head" is
        from random numbers too.
    """
    train, stride = config.train, config.network.chain[0]
    steps = train.ablation_steps
    initial = config.path("initial") if config.network.initial else None
    # Averages over 1 / (1 - decay) steps must have forgotten where they began when the run ends.
    decay = min(train.batch_norm_decay, max(0.5, 1 - 5 / max(steps, 1)))
    # Looks at the validation images on the way would count as training time.
    settings = config.replace(batch_norm="running", batch_norm_decay=decay, val_every=0)

    def head(count: int) -> Stage:
        return Stage("head", count, train.head_lr, backbone=False, frozen=True)

    def everything(count: int, frozen: bool = False) -> Stage:
        return Stage("all", count, train.base_lr, frozen=frozen)

    first, rest = steps // 3, steps - steps // 3
    rows = [("head", "head only", initial, (head(steps),))]
    if initial is not None:
        frozen = (head(first), everything(rest, frozen=True))
        rows.append(("all", "head, then all", initial, (head(first), everything(rest))))
        rows.append(("frozen", "head, then all, norm frozen", initial, frozen))
    rows.append(("scratch", "all, from scratch", None, (everything(steps),)))
    jobs = {
        name: Job(stride, models / "ablation" / name, start, stages, f"FCN-{stride}s, {meaning}")
        for name, meaning, start, stages in rows
    }
    return [Variant(name, meaning, settings, jobs[name]) for name, meaning, _, _ in rows]


def trained_values(job: Job) -> int:
    """Count the numbers that a job trained.

    Args:
        job: done.

    Returns:
        How many, moving averages not among them.
    """
    arrays, _ = checkpoints.load(job.folder / CHECKPOINT)
    backbone = any(stage.backbone for stage in job.stages)
    averages = ("/moving_mean", "/moving_variance")
    return sum(
        array.size
        for name, array in arrays.items()
        if not name.endswith(averages) and (backbone or not is_backbone(name))
    )


def moved(job: Job) -> dict[str, float]:
    """Measure how far training took each block of the backbone from where it started.

    Args:
        job: trained, with a start.

    Returns:
        {block: norm of the change of its convolution kernels over the norm they had}, in order of
        depth, such as {"Conv2d_1a_3x3": 0.02, ..., "Mixed_7c": 0.3}.

    Raises:
        InputError: a checkpoint cannot be read.
    """
    (before, _), (after, _) = checkpoints.load(job.start), checkpoints.load(job.folder / CHECKPOINT)
    change, norm = {}, {}
    for name in after:
        if is_backbone(name) and name.endswith("/weights"):
            block = name.split("/")[1]
            change[block] = change.get(block, 0.0) + np.square(after[name] - before[name]).sum()
            norm[block] = norm.get(block, 0.0) + np.square(before[name]).sum()
    return {block: float(np.sqrt(change[block] / norm[block])) for block in change}


def changed(job: Job, *endings: str) -> int:
    """Count the backbone's variables that training changed.

    Args:
        job: trained, with a start.
        *endings: of the names to look at, such as "/moving_mean"; none for all.

    Returns:
        How many differ from the start in at least one bit.
    """
    (before, _), (after, _) = checkpoints.load(job.start), checkpoints.load(job.folder / CHECKPOINT)
    names = [n for n in after if is_backbone(n) and n.endswith(endings or ("",))]
    return sum(not np.array_equal(after[name], before[name]) for name in names)
