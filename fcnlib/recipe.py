"""The stages put together: train a network from a start, train the chain, score the results."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import datasets, losses, runrecord, weights, workers
from fcnlib.checkpoints import build_fcn, load_fcn, start_from
from fcnlib.compat import device_name
from fcnlib.config import Config
from fcnlib.datasets import Dataset, Record
from fcnlib.datasets.records import by_image
from fcnlib.errors import InputError
from fcnlib.evaluation import Evaluation, evaluate, predictor, settled
from fcnlib.input_pipeline import ImageStore, eval_batches, train_batches
from fcnlib.jobs import Job, chain, longer_job
from fcnlib.network import FCN
from fcnlib.training import CHECKPOINT, Trainer

# Settings that do not change what a network learns, or that its stages hold already.
_FREE = {"data_dir", "val_limit", "eval_limit", "eval_split", "chain", "ablation_steps"}
_FREE |= {"checkpoint_seconds", "eval_batch_size", "initial", "prove", "val_every"}
_FREE |= {"scenes_dir", "scenes_steps", "scenes_batch", "comparison_steps", "deterministic"}
_FREE |= {"head_steps", "coarse_steps", "skip_steps", "head_lr", "base_lr", "skip_lr"}
EVALUATION = "evaluation.npz"
METRICS = "metrics.json"


def prepare_data(config: Config, progress=None) -> Dataset:
    """Open the data set of a configuration; the generated one is made first where it is missing.

    Args:
        config: gives dataset, data_dir and, for shapes, what to generate.
        progress: called with (images done, images in all) while generating.

    Returns:
        The data set.

    Raises:
        InputError: the folder does not hold that data set.
    """
    return datasets.prepare(config, progress)


def records(dataset: Dataset, split: str, limit: int = 0) -> tuple[Record, ...]:
    """Return the records of a split.

    Args:
        dataset: from `prepare_data`.
        split: its name.
        limit: the first so many; 0 for all.

    Returns:
        The records, in the data set's order.
    """
    return dataset.records(split)[: limit or None]


def fingerprint(config: Config, dataset: Dataset) -> str:
    """Digest all that a training reads: its images, masks and initial weights (16 hex digits)."""
    data, files = config.data, []
    for split, limit in ((data.train_split, data.train_limit), (data.val_split, data.val_limit)):
        for record in records(dataset, split, limit):
            files += [record.image_path, record.label_path]
    files += [config.path("initial")] if config.network.initial else []
    parts = (hashlib.sha256(file.read_bytes()).digest() for file in files if file)
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def train_fcn(config: Config, dataset: Dataset, job: Job, resume: bool = True) -> Path:
    """Train one network, or finish what an interrupted run began, or find it done.

    Args:
        config: settings.
        dataset: from `prepare_data`.
        job: what to train; its start must be there.
        resume: False trains anew.

    Returns:
        The network's folder with checkpoint.npz, log.csv and record.json.

    Raises:
        InputError: start, splits or settings do not fit, a file is refused, the loss is not finite.
    """
    started = runrecord.start()
    network = build_fcn(config, dataset.labels.num_classes, job.stride)
    if job.start is not None:
        if config.network.initial and job.start == config.path("initial"):
            _require_initial(config)
        start_from(network, job.start)
    store, *scored = _stores(config, dataset)

    def batches(first, steps):
        size, seed = config.train.batch_size, config.train.seed
        for other in scored:
            other.verify()
        return train_batches(store, config.data, size, seed, first, steps)

    trainer = Trainer(
        network,
        job.stages,
        batches,
        losses.objective(config.train, _class_weights(config, store)),
        config.train,
        job.folder,
        meta=_meta(config, dataset, job),
        names=store.names,
        evaluate=_validator(config, scored[0], network),
        evaluate_every=config.train.val_every,
    )
    with store.reporting():
        trained = trainer.run(job.name, resume=resume)
    if not workers.rank() and (trained or not (job.folder / "record.json").exists()):
        extra = {"training_seconds": trainer.spent, "data": fingerprint(config, dataset)}
        extra |= {"stages": [stage.name for stage in job.stages], "workers": workers.size()}
        record = runrecord.capture(config, started=started, device=device_name(), extra=extra)
        runrecord.write_json(job.folder / "record.json", record)
    return job.folder


def _require_initial(config: Config) -> None:
    path = config.path("initial")
    if not path.is_file():
        raise InputError(
            f"{path}: no such checkpoint; make it as data/README.md says under pretrained/, or "
            "start from random numbers with --set initial="
        )


def _class_weights(config: Config, store: ImageStore) -> np.ndarray | None:
    if config.train.class_weights == "none":
        return None
    found = losses.median_frequency_weights(*store.class_pixels())
    return np.sqrt(found) if config.train.class_weights == "root_median_frequency" else found


def _meta(config: Config, dataset: Dataset, job: Job) -> dict[str, Any]:
    flat = config.to_dict()
    parts = [config.data, config.network, config.train]
    made = datasets.GENERATED.get(config.data.dataset)
    parts += [getattr(config, made)] if made else []
    wanted = [key for part in parts for key in vars(part)]
    start = None
    if job.start is not None:
        start = hashlib.sha256(job.start.read_bytes()).hexdigest()[:16]
    return {
        "kind": "fcn",
        "name": job.name,
        "stride": job.stride,
        "classes": list(dataset.labels.classes),
        "labels": dataset.labels.to_dict(),
        "settings": {k: flat[k] for k in wanted if k not in _FREE},
        "start": start,
    }


def _stores(config: Config, dataset: Dataset) -> list[ImageStore]:
    """Return what to train on, what to look at meanwhile, and what to score if it is different."""
    data, labels, seen = config.data, dataset.labels, {}
    train = ImageStore(records(dataset, data.train_split, data.train_limit), labels, seen=seen)
    val = ImageStore(records(dataset, data.val_split, data.val_limit), labels, seen=seen)
    scored = ImageStore(records(dataset, data.eval_split, data.eval_limit), labels, 0, seen)
    trained = by_image(train.records)
    for split, store in ((data.val_split, val), (data.eval_split, scored)):
        shared = [trained[image].name for image in by_image(store.records) if image in trained]
        if shared:
            raise InputError(
                f"{dataset.root}: {len(shared)} images of {data.train_split} are in {split} too, "
                f"such as {shared[0]}; train and score on splits that share none"
            )
    return [train, val] if scored.records == val.records else [train, val, scored]


def _validator(config: Config, store: ImageStore, network: FCN):
    predict, labels = predictor(network), store.labels

    def validate() -> float:
        batches = eval_batches(store, config.train.eval_batch_size)
        with store.reporting():
            return evaluate(predict, batches, store.names, labels.num_classes).scores.mean_iou

    return validate


def evaluate_fcn(
    config: Config, dataset: Dataset, folder: Path, engine: str = "tensorflow"
) -> Evaluation:
    """Score a trained network on the evaluation split, or read the scores if they are there.

    Args:
        config: gives the split and the batch size.
        dataset: from `prepare_data`.
        folder: of the trained network; gets metrics.json and evaluation.npz.
        engine: what computes, one of `engines.ENGINES`.

    Returns:
        The confusion matrices, one an image.
    """
    chosen = records(dataset, config.data.eval_split, config.data.eval_limit)
    names = tuple(record.name for record in chosen)
    digest = hashlib.sha256((folder / CHECKPOINT).read_bytes()).hexdigest()[:16]
    wanted = {"checkpoint": digest, "split": config.data.eval_split, "names": list(names)}
    wanted |= {"dataset": dataset.name, "engine": engine}
    there = (folder / EVALUATION).exists() and (folder / METRICS).exists()
    arrays, meta = weights.load(folder / EVALUATION) if there else ({}, None)
    if workers.of_first([int(meta == wanted)])[0]:
        return Evaluation(arrays["matrices"], names)
    network, meta = load_fcn(folder)
    store = ImageStore(chosen, dataset.labels, limit=0)  # each is looked at once
    batches = eval_batches(store, config.train.eval_batch_size)
    label = f"{meta['name']} on {config.data.eval_split}"
    with store.reporting():
        predict = predictor(settled(network, engine))
        found = evaluate(predict, batches, names, dataset.labels.num_classes, label)
    summary = {"network": meta["name"], "split": config.data.eval_split}
    summary |= {"images": len(names), "classes": list(dataset.labels.classes)}
    if not workers.rank():
        runrecord.write_json(folder / METRICS, summary | found.scores.to_dict())
        weights.save(folder / EVALUATION, {"matrices": found.matrices}, wanted)
    return found


def train_chain(
    config: Config, out: Path, resume: bool = False, control: bool = False
) -> dict[str, Evaluation]:
    """Train and score every network of a configuration.

    Args:
        config: settings.
        out: run folder; networks go to its `models`.
        resume: continue an interrupted run; what is done is not done again.
        control: train and score `longer_job` as well.

    Returns:
        {name of the network: scores on the evaluation split}.
    """
    workers.first_only(lambda: prepare_data(config))
    dataset = prepare_data(config)
    jobs = chain(config, out / "models")
    jobs += [longer_job(config, out / "models")] if control else []
    return {
        job.name: evaluate_fcn(config, dataset, train_fcn(config, dataset, job, resume))
        for job in jobs
    }
