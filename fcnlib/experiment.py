"""The stages put together: which networks to train in which order, train them, score them."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import checkpoints, datasets, losses
from fcnlib.builders import build_fcn, describe_device, load_fcn, require_classes, start_from
from fcnlib.config import Config, current_names
from fcnlib.datasets.identity import by_content, run_digests, split_digest, split_name
from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError
from fcnlib.evaluation import PREPARED, Evaluation, evaluate, predictor
from fcnlib.input_pipeline import CACHE_BYTES, ImageStore, eval_batches, train_batches
from fcnlib.optimizer import Stage
from fcnlib.runtime import distributed, files, run_record
from fcnlib.runtime.files import locked
from fcnlib.training import CHECKPOINT, Trainer

METRICS = "metrics.json"


@dataclass(frozen=True)
class TrainingJob:
    """One network to train."""

    stride: int
    folder: Path
    start: Path | None
    stages: tuple[Stage, ...]
    name: str  # "FCN-8s" and the like


def head_only(config: Config, steps: int) -> Stage:
    """Return a stage in which the new layers learn and the backbone stays as it is."""
    stage = end_to_end(config, steps, config.train.head_lr)
    return dataclasses.replace(stage, name="head", backbone=False, frozen=True)


def end_to_end(config: Config, steps: int, rate: float) -> Stage:
    """Return a stage in which everything learns.

    Args:
        config: settings.
        steps: of the stage.
        rate: learning rate of the mean loss.
    """
    train = config.train
    pixels = train.batch_size * config.data.crop_size**2 if train.loss == "sum" else 1
    return Stage("all", steps, rate, frozen=train.batch_norm == "frozen", summed_over=pixels)


def chain(config: Config, models: Path) -> list[TrainingJob]:
    """List the networks of a configuration, coarse to fine, each starting from the one before.

    The new layers of the first learn alone before everything does (Long et al. 2015, section 4.3).
    """
    train, jobs = config.train, []
    start = config.path("init_checkpoint") if config.network.init_checkpoint else None
    new_layers = head_only(config, train.head_steps)
    stages = (new_layers, end_to_end(config, train.coarse_steps, train.base_lr))
    for stride in config.network.strides:
        jobs.append(TrainingJob(stride, models / f"fcn-{stride}s", start, stages, f"FCN-{stride}s"))
        start = jobs[-1].folder / CHECKPOINT
        stages = (end_to_end(config, train.skip_steps, train.skip_lr),)
    return jobs


def longer_job(config: Config, models: Path) -> TrainingJob:
    """Return the control of `chain`: its first network, trained as long as the last one."""
    first, *finer = chain(config, models)
    stage = end_to_end(config, config.train.skip_steps * len(finer), config.train.skip_lr)
    folder, start = models / f"{first.folder.name}-longer", first.folder / CHECKPOINT
    return TrainingJob(first.stride, folder, start, (stage,), f"{first.name}, same steps")


def open_stores(config: Config, dataset: Dataset) -> list[ImageStore]:
    """Return the images to train on, to evaluate on meanwhile and, if they are others, to score.

    Raises:
        InputError: a split is empty, or shares an image with the one to train on.
    """
    data, seen = config.data, {}

    def store(split: str, count: int, limit: int = CACHE_BYTES // 2) -> ImageStore:
        return ImageStore(dataset.records(split, count), dataset.labels, limit, split, seen)

    train = store(data.train_split, data.train_limit, CACHE_BYTES)
    val, scored = store(data.val_split, data.val_limit), store(data.eval_split, data.eval_limit)
    for other in (val, scored):
        if shared := _shared_images(dataset, train.records, other.records):
            one, twin = shared[0]
            raise InputError(
                f"{dataset.root}: {len(shared)} images of {train.split} are in {other.split} too, "
                f"such as {one.name}, which is {twin.name} there; use splits that share none"
            )
    return [train, val] if scored.records == val.records else [train, val, scored]


def _shared_images(dataset: Dataset, one, other) -> list[tuple[Record, Record]]:
    """Return the pairs of records whose images hold the same bytes, whatever their names."""
    first, second = by_content(dataset, one), by_content(dataset, other)
    return [(first[digest], second[digest]) for digest in first if digest in second]


def train_fcn(
    config: Config,
    dataset: Dataset,
    job: TrainingJob,
    resume: bool = True,
    stores: Sequence[ImageStore] = (),
) -> Path:
    """Train one network, or finish what an interrupted run began, or find it done.

    Args:
        config: settings.
        dataset: opened.
        job: what to train.
        resume: False trains anew.
        stores: from `open_stores`, to decode images once for several networks.

    Returns:
        The network's folder with checkpoint.npz, log.csv and record.json.
    """
    with nullcontext() if distributed.rank() else locked(job.folder):
        return _train(config, dataset, job, resume, stores or open_stores(config, dataset))


def _train(
    config: Config, dataset: Dataset, job: TrainingJob, resume: bool, stores: Sequence[ImageStore]
) -> Path:
    started, digests = run_record.start(), run_digests(config, dataset)
    train, network = config.train, build_fcn(config, dataset.labels.num_classes, job.stride)
    if job.start:
        start_from(network, job.start, dataset.labels)

    def batches(first: int, steps: int):
        for store in stores:
            store.verify()  # every file is read before the first step
        present = np.flatnonzero(stores[0].class_pixels()[0])
        if len(present) < 2:
            only = f"every labelled pixel is of class {dataset.labels.classes[present[0]]}"
            raise InputError(f"{stores[0].split}: {only}; a network needs two classes at least")
        return train_batches(stores[0], config.data, train.batch_size, train.seed, first, steps)

    predict, weights = predictor(network), None
    if train.class_weights != "none":
        weights = losses.median_frequency_weights(*stores[0].class_pixels())  # [C]
        weights = weights if train.class_weights == "median_frequency" else np.sqrt(weights)
    trainer = Trainer(
        network,
        job.stages,
        batches,
        losses.objective(train, weights),
        train,
        job.folder,
        meta=_meta(config, dataset, job, digests),
        names=stores[0].names,
        evaluate=lambda: _evaluate(predict, stores[1], train.eval_batch_size).scores.mean_iou,
    )
    with stores[0].reporting():
        trained = trainer.run(job.name, resume=resume)
    if not distributed.rank() and (trained or not (job.folder / "record.json").exists()):
        extra = {"training_seconds": trainer.spent, "data": digests}
        extra |= {"stages": [stage.name for stage in job.stages], "workers": distributed.size()}
        device = describe_device(train.precision)
        record = run_record.capture(config, started=started, device=device, extra=extra)
        files.write_json(job.folder / "record.json", record)
    return job.folder


def _meta(
    config: Config, dataset: Dataset, job: TrainingJob, digests: dict[str, str]
) -> dict[str, Any]:
    """Describe what a checkpoint was made with; only a run that agrees with it may continue it."""
    data, generated = config.data, datasets.GENERATED.get(config.data.dataset, "")
    splits = [(data.train_split, data.train_limit), (data.val_split, data.val_limit)]
    return {
        "kind": "fcn",
        "name": job.name,
        "stride": job.stride,
        "classes": list(dataset.labels.classes),
        "labels": dataset.labels.to_dict(),
        "settings": config.training_settings("data", "network", "train", generated),
        "start": job.start and _digest(job.start),
        **{f"data of {name}": digests[name] for name in (split_name(*one) for one in splits)},
    }


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _evaluate(predict, store: ImageStore, batch_size: int, label: str = "") -> Evaluation:
    """Score a predictor on the images of a store, shared by all processes."""
    batches = eval_batches(store, batch_size)
    with store.reporting():
        return evaluate(predict, batches, store.names, store.labels.num_classes, label)


def evaluate_fcn(
    config: Config,
    dataset: Dataset,
    folder: Path,
    engine: str = "tensorflow",
    store: ImageStore | None = None,
) -> Evaluation:
    """Score a trained network on the evaluation split, or read the scores if they are there.

    Scores are read only where network, images, masks, label set and engine are the same.

    Args:
        config: gives the split and the batch size.
        dataset: opened.
        folder: of the network; gets metrics.json and evaluation.npz, named by `scored_as`.
        engine: what computes, where `evaluation.PREPARED` knows others.
        store: the images of the split, to decode them once for several networks.

    Returns:
        The confusion matrices, one an image.
    """
    split, labels = config.data.eval_split, dataset.labels
    chosen = dataset.records(split, config.data.eval_limit)
    names = tuple(record.name for record in chosen)
    fold = PREPARED.get("fold")
    ending, about = scored_as(config, dataset, folder)
    ending += "" if engine == "tensorflow" else f"-{engine}"
    metrics, evaluation = folder / f"metrics{ending}.json", folder / f"evaluation{ending}.npz"
    wanted = {"checkpoint": _digest(folder / CHECKPOINT), "names": list(names)}
    wanted |= {"dataset": dataset.name, "engine": engine if fold else "unfolded", **about}
    there = evaluation.exists() and metrics.exists()
    arrays, meta = checkpoints.load(evaluation) if there else ({}, None)
    if distributed.broadcast([int(meta == wanted)])[0]:
        return Evaluation(arrays["matrices"], names)
    with nullcontext() if distributed.rank() else locked(folder):
        network, meta = load_fcn(folder)
        require_classes(folder, meta, labels)
        predict = predictor(fold(network, engine) if fold else network)
        store = store or ImageStore(chosen, labels, limit=0, split=split)
        title = f"{meta['name']} on {split}"
        scored = _evaluate(predict, store, config.train.eval_batch_size, title)
        if not distributed.rank():
            summary = {"network": meta["name"], **about, "classes": list(labels.classes)}
            files.write_json(metrics, summary | scored.scores.to_dict())
            checkpoints.save(evaluation, {"matrices": scored.matrices}, wanted)
        return scored


def scored_as(config: Config, dataset: Dataset, folder: Path) -> tuple[str, dict[str, Any]]:
    """Return the ending of the files that keep a score, and what is scored.

    The ending is "" for the evaluation split of the network's own record, else such as "-train" or,
    of other data, "-val-1a2b3c4d". What is scored is {split, images, data (digest), trained_on
    (images in the split that is trained on)}.

    Args:
        config: names the split and its limit.
        dataset: opened.
        folder: of the trained network.
    """
    data, record = config.data, files.read_json(folder / "record.json")
    chosen = dataset.records(data.eval_split, data.eval_limit)
    trained = dataset.splits.get(data.train_split, ())[: data.train_limit or None]
    shared, digest = len(_shared_images(dataset, chosen, trained)), split_digest(dataset, chosen)
    about = {"split": data.eval_split, "images": len(chosen), "data": digest, "trained_on": shared}
    if shared:
        said = f"{data.eval_split}: {shared} of these {len(chosen)} images are in "
        said += f"{data.train_split}, the split to train on; this is no score on new images"
        print(said, file=sys.stderr)
    if not record:
        return "", about
    own, ending = Config().to_dict() | current_names(record.get("config", {})), ""
    split, limit = own["eval_split"], own["eval_limit"]
    if (split, limit) != (data.eval_split, data.eval_limit):
        key = split_name(data.eval_split, data.eval_limit)
        ending = f"-{key}".replace(", ", "-").replace(" ", "-")
    places = run_record.relative(config.path("data_dir")), data.data_dir
    if own["dataset"] != data.dataset or own["data_dir"] not in places:
        digests, there = record.get("data"), split in dataset.splits  # older: one digest
        known = isinstance(digests, dict) and digests.get(split_name(split, limit))
        if not there or known != split_digest(dataset, dataset.records(split, limit)):
            ending = (ending or f"-{data.eval_split}") + f"-{digest[:8]}"
    return ending, about


def train_chain(
    config: Config, dataset: Dataset, out: Path, resume: bool = False, control: bool = False
) -> dict[str, Evaluation]:
    """Train and score every network of a configuration; images are opened and decoded once.

    Args:
        config: settings.
        dataset: opened.
        out: run folder; networks go to its `models`.
        resume: continue an interrupted run.
        control: train and score `longer_job` as well.

    Returns:
        {name of the network: scores on the evaluation split}.
    """
    stores, scores = open_stores(config, dataset), {}
    jobs = chain(config, out / "models")
    for job in jobs + [longer_job(config, out / "models")] * control:
        folder = train_fcn(config, dataset, job, resume, stores)
        scores[job.name] = evaluate_fcn(config, dataset, folder, store=stores[-1])
    return scores
