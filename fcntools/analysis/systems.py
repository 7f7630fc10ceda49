"""What notebooks 04, 07 and 08 train to compare: networks that differ in one thing.

In 08 every row trains for the same number of steps on the same batches. Its first group repairs the
network of 2017, one fault after the other; the others change a choice of our recipe.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_ind_from_stats

import fcntools.analysis.networks_2017  # noqa: F401  (builds networks of 2017)
from fcnlib import checkpoints
from fcnlib.config import ROOT, Config
from fcnlib.datasets import Dataset
from fcnlib.errors import InputError
from fcnlib.experiment import (
    TrainingJob,
    end_to_end,
    evaluate_fcn,
    head_only,
    open_stores,
    train_fcn,
)
from fcnlib.runtime import files
from fcnlib.runtime.compat import tf
from fcnlib.slim import is_backbone
from fcnlib.training import CHECKPOINT, Stage
from fcntools.analysis.diagnosis import mean_iou_2017
from fcntools.analysis.experiments import void_matrices
from fcntools.inference import folding  # noqa: F401  (folds what is scored)

BATCH_2017 = 10  # images its evaluation looked at
SETTINGS_2017 = {"input_scaling": "raw", "normalization": "none", "void": "class", "fusion": "2017"}
SETTINGS_2017 |= {"dropout": 0.0, "weight_decay": 0.0, "flip": False, "colour_jitter": 0.0}
SETTINGS_2017 |= {"min_scale": 1.0, "max_scale": 1.0, "optimizer": "adam", "schedule": "constant"}
SETTINGS_2017 |= {"warmup_steps": 0, "head_lr": 3.2e-4, "base_lr": 3.2e-4}
# What each repair takes from the profile again; "aligned" puts "feature" in the place of "2017".
REPAIRS = (
    ("scaled", "+ pixels in [-1, 1]", "input_scaling"),
    ("normalized", "+ batch norm", "normalization"),
    ("masked", "+ void masked", "void"),
    ("aligned", "+ decoder on the grid", "fusion"),
    ("scores", "+ scores added, not features", "fusion"),
    ("regularized", "+ dropout, weight decay", "dropout weight_decay"),
    ("augmented", "+ augmentation", "flip min_scale max_scale colour_jitter"),
    ("repaired", "+ rates and schedule: ours", "optimizer schedule warmup_steps head_lr base_lr"),
)


@dataclass(frozen=True)
class Row:
    """One system: a name, what it is called in figures, its settings, and how its steps are spent.

    `plan` is "two stages" (a quarter for the head, then everything), "head only", or "staged" (an
    equal share for a network a stride, each starting from the last).
    """

    name: str
    meaning: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: str = "two stages"


def _history() -> list[Row]:
    settings, rows = SETTINGS_2017, [Row("2017", "as it ran in 2017", SETTINGS_2017)]
    for name, meaning, taken_back in REPAIRS:
        settings = {k: v for k, v in settings.items() if k not in taken_back.split()}
        settings |= {"fusion": "feature"} if name == "aligned" else {}
        rows.append(Row(name, meaning, settings))
    return rows


_NARROW_VGG = {"backbone": "vgg_16", "depth_multiplier": 0.125, "min_depth": 8}
_NARROW_VGG |= {"init_checkpoint": ""}
_NORMALIZED_VGG = {**_NARROW_VGG, "normalization": "batch_norm"}
_SGD = {"optimizer": "sgd", "head_lr": 0.05, "base_lr": 0.05}
GROUPS: dict[str, list[Row]] = {
    "history": _history(),
    "systems": [
        Row("repaired", "Inception-v3, scores added"),
        Row("features", "Inception-v3, features added", {"fusion": "feature"}),
        Row("scratch", "Inception-v3, from scratch", {"init_checkpoint": ""}),
        Row("vgg16", "VGG16, from scratch", _NARROW_VGG),
        Row("vgg16-norm", "VGG16 + batch norm, from scratch", _NORMALIZED_VGG),
    ],
    "recipes": [
        Row("repaired", "at once, end to end, Adam"),
        Row("staged", "staged: 32s, 16s, 8s", plan="staged"),
        Row("head", "head only", plan="head only"),
        Row("fixed", "fixed upsampling", {"upsampling": "fixed"}),
        Row("frozen", "batch norm frozen", {"batch_norm": "frozen"}),
        Row("scratch", "from scratch", {"init_checkpoint": ""}),
        Row("scaled-skips", "skips × 0.01, 0.0001", {"skip_scales": [0.01, 0.0001]}),
        Row("sgd-mean", "SGD, mean loss", _SGD),
        Row("sgd-sum", "SGD, summed loss", {**_SGD, "loss": "sum"}),
    ],
}


def jobs(config: Config, row: Row, models: Path) -> tuple[Config, list[TrainingJob]]:
    """Return (its configuration, its jobs) of a row; the last job is the system itself.

    Args:
        config: of the profile; gives comparison_steps.
        row: from `GROUPS`.
        models: folder of the networks; the row gets one in its `comparison`.
    """
    config = config.replace(val_every=0, strides=(32, 16, 8), **row.settings)
    steps, folder = config.train.comparison_steps, models / "comparison" / row.name
    start = config.path("init_checkpoint") if config.network.init_checkpoint else None

    def job(stride: int, folder: Path, steps: int, head: int) -> TrainingJob:
        rest = end_to_end(config, steps - head, config.train.base_lr)
        stages = tuple(stage for stage in (head_only(config, head), rest) if stage.steps)
        return TrainingJob(stride, folder, start, stages, row.meaning)

    if row.plan != "staged":
        heads = {"head only": steps, "two stages": steps // 4 if start is not None else 0}
        return config, [job(8, folder, steps, heads[row.plan])]
    share, todo = steps // 3, []
    for stride in config.network.strides:
        head = share // 4 if start is not None and not todo else 0
        place = folder if stride == 8 else folder / f"fcn-{stride}s"
        todo.append(job(stride, place, share, head))
        start = place / CHECKPOINT
    return config, todo


def run(config: Config, dataset: Dataset, row: Row, out: Path) -> dict[str, Any]:
    """Return the line of the table of one system, trained and scored here or found done.

    It has the metrics as shares in 0..1, those of 2017 on one batch and on all images ("biased"),
    and images a second in the middle of the training.

    Args:
        config: of the profile.
        dataset: opened.
        row: from `GROUPS`.
        out: the run folder.
    """
    changed, todo = jobs(config, row, out / "models")
    stores = open_stores(changed, dataset)
    folders = [train_fcn(changed, dataset, job, stores=stores) for job in todo]
    records, folder = [files.read_json(f / "record.json") for f in folders], folders[-1]
    scores = evaluate_fcn(changed, dataset, folder).scores
    matrices = void_matrices(changed, dataset, folder)
    log = pd.read_csv(folder / "log.csv")
    return {
        "name": row.name,
        "meaning": row.meaning,
        "seed": changed.train.seed,
        "steps": sum(stage.steps for job in todo for stage in job.stages),
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "biased_batch": mean_iou_2017(matrices[:BATCH_2017], void=True),
        "biased_all": mean_iou_2017(matrices, void=True),
        "first_loss": float(log.loss.iloc[0]),
        "trained_values": trained_values(todo[-1]),
        "training_seconds": sum(record["training_seconds"] for record in records),
        "images_per_second": float(log.images_per_second.median()),
        "commit": records[-1]["commit"],
    }


def chosen(names: tuple[str, ...]) -> list[Row]:
    """Return the rows of groups or of single systems, or all, each once in the table's order.

    Raises:
        InputError: a name is neither that of a group nor of a system.
    """
    everything: dict[str, Row] = {}
    for row in itertools.chain(*GROUPS.values()):
        everything.setdefault(row.name, row)  # one system may stand in several groups
    known = [*GROUPS, *everything]
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"no group or system {unknown[0]!r}; there are {', '.join(known)}")
    wanted = {row.name for name in names for row in GROUPS.get(name, [])} | set(names)
    return [row for row in everything.values() if not names or row.name in wanted]


def read(dataset: str, results: Path = ROOT / "results") -> pd.DataFrame:
    """Read DATASET/comparison.csv, a row a system and seed; empty if it is not there."""
    path = results / dataset / "comparison.csv"
    columns = ["name", "meaning", "seed", "mean_iou"]
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=columns)


def summary(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return a line a system of a group from those of `run`: the means of numbers over seeds.

    "spread" is the standard deviation of mean_iou, NaN for one seed.
    """
    lines = []
    for row in GROUPS[group]:
        seeds = rows[rows["name"] == row.name]
        if len(seeds):
            line = {"name": row.name, "meaning": row.meaning, "seeds": len(seeds)}
            line |= seeds.drop(columns="seed").mean(numeric_only=True).to_dict()
            lines.append(line | {"spread": seeds["mean_iou"].std()})
    return pd.DataFrame(lines or {"name": []})


def chance(systems: pd.DataFrame, others: pd.DataFrame) -> np.ndarray:
    """Return how often chance alone gives two systems means as far apart as these.

    It is the p value of Welch's two-sided t test of each pair of rows of `summary`, or of a single
    pair; NaN where one has one seed.
    """
    numbers = ["mean_iou", "spread", "seeds"]
    one, other = (np.asarray(rows[numbers], float).T for rows in (systems, others))
    return ttest_ind_from_stats(*one, *other, equal_var=False).pvalue


def operations(network, size: int) -> int:
    """Return the multiply-adds of all convolutions in a forward pass on one image of this side."""
    spec = tf.TensorSpec([1, size, size, 3])
    graph = tf.function(network, autograph=False).get_concrete_function(spec).graph
    total = 0
    for op in graph.get_operations():
        if op.type in ("Conv2D", "Conv2DBackpropInput"):
            # An output value takes the kernel of its channel, in the second an input value.
            values = op.outputs[0] if op.type == "Conv2D" else op.inputs[2]
            total += math.prod(values.shape[1:3]) * math.prod(op.inputs[1].shape)
    return total


class Variant(NamedTuple):
    """One way to train the coarsest network: a name, its meaning, its settings and its job."""

    name: str
    meaning: str
    config: Config
    job: TrainingJob


def variants(config: Config, models: Path) -> list[Variant]:
    """Return the ways of training the coarsest network to compare, all with ablation_steps.

    "head" trains the head alone; "all" and "frozen", which need initial weights, everything after a
    third of the steps, without and with batch norm on the averages of the start; "scratch" trains
    everything from random numbers. Each gets a folder in `ablation` of that of the networks.
    """
    train, stride = config.train, config.network.strides[0]
    steps = train.ablation_steps
    initial = config.path("init_checkpoint") if config.network.init_checkpoint else None
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
        start, folder = initial if name != "scratch" else None, models / "ablation" / name
        job = TrainingJob(stride, folder, start, stages, f"FCN-{stride}s, {meaning}")
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


def scene_jobs(config: Config, models: Path) -> dict[str, tuple[Config, TrainingJob]]:
    """Return {name: (its settings, its job)} of "start", "equal" and "balanced" class weights.

    The two start from the first. Each gets a folder in `scenes` of that of the networks.
    """
    steps, train = config.scenes.scenes_steps, config.train
    initial = config.path("init_checkpoint") if config.network.init_checkpoint else None
    folder = models / "scenes"
    head = Stage("head", max(steps // 8, 1), train.head_lr, backbone=False, frozen=True)
    stages = head, Stage("all", steps, train.base_lr)
    start = TrainingJob(8, folder / "start", initial, stages, "FCN-8s, start")
    last = Stage("all", max(steps // 2, 1), train.skip_lr)
    more = TrainingJob(8, folder / "equal", start.folder / CHECKPOINT, (last,), "equal weights")
    balanced = replace(more, folder=folder / "balanced", name="median-frequency weights")
    weighted = config.replace(class_weights="median_frequency")
    return {"start": (config, start), "equal": (config, more), "balanced": (weighted, balanced)}


def trained_values(job: TrainingJob) -> int:
    """Count the numbers that a finished job trained, moving averages not among them."""
    arrays, _ = checkpoints.load(job.folder / CHECKPOINT)
    backbone = any(stage.backbone for stage in job.stages)
    trained = (name for name in arrays if backbone or not is_backbone(name))
    averages = ("/moving_mean", "/moving_variance")
    return sum(arrays[name].size for name in trained if not name.endswith(averages))


def relative_change(job: TrainingJob) -> dict[str, float]:
    """Return how far training took each block of the backbone from where it started, by depth.

    It is the norm of the change of a block's convolution kernels over the norm they had.
    """
    before, after = _before_and_after(job)
    change, norm = Counter(), Counter()
    for name in (name for name in after if name.endswith("/weights")):
        block = name.split("/")[1]
        change[block] += np.square(after[name] - before[name]).sum()
        norm[block] += np.square(before[name]).sum()
    return {block: float(np.sqrt(change[block] / norm[block])) for block in change}


def count_changed(job: TrainingJob, *endings: str) -> int:
    """Return how many of the backbone's variables training changed in at least one bit.

    Those whose names have one of these endings, such as "/moving_mean", or all without any.
    """
    before, after = _before_and_after(job)
    names = [name for name in after if name.endswith(endings or ("",))]
    return sum(not np.array_equal(after[name], before[name]) for name in names)


def _before_and_after(job: TrainingJob) -> list[dict[str, np.ndarray]]:
    """Return the backbone's variables in the checkpoint of the start and in that of the result."""
    both = (checkpoints.load(path)[0] for path in (job.start, job.folder / CHECKPOINT))
    return [{name: a for name, a in arrays.items() if is_backbone(name)} for arrays in both]
