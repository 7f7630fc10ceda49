"""The stages put together: train a network from a start, train the chain, score the results."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fcnlib import checkpoints, datasets, losses
from fcnlib.builders import build_fcn, describe_device, load_fcn, require_classes, start_from
from fcnlib.config import Config, DataConfig
from fcnlib.datasets import Dataset, Record
from fcnlib.datasets.identity import by_content, run_digests, split_digest, split_name
from fcnlib.errors import InputError
from fcnlib.evaluation import Evaluation, evaluate, predictor
from fcnlib.input_pipeline import ImageStore, eval_batches, train_batches
from fcnlib.jobs import Job, chain, longer_job
from fcnlib.network import FCN
from fcnlib.runtime import distributed, files, run_record
from fcnlib.runtime.files import locked
from fcnlib.training import CHECKPOINT, Trainer

# Settings that do not change what a network learns, or that its stages hold already.
_FREE = {"data_dir", "val_limit", "eval_limit", "eval_split", "chain", "ablation_steps"}
_FREE |= {"checkpoint_seconds", "eval_batch_size", "initial", "prove", "val_every"}
_FREE |= {"scenes_dir", "scenes_steps", "scenes_batch", "comparison_steps", "deterministic"}
_FREE |= {"head_steps", "coarse_steps", "skip_steps", "head_lr", "base_lr", "skip_lr"}
EVALUATION = "evaluation.npz"
METRICS = "metrics.json"


def train_fcn(config: Config, dataset: Dataset, job: Job, resume: bool = True) -> Path:
    """Train one network, or finish what an interrupted run began, or find it done.

    Args:
        config: settings.
        dataset: opened.
        job: what to train; its start must be there.
        resume: False trains anew.

    Returns:
        The network's folder with checkpoint.npz, log.csv and record.json.

    Raises:
        InputError: start, splits or settings do not fit, a file is refused, the loss is not finite,
            or another process writes into the folder.
    """
    with locked(job.folder, not distributed.rank()):
        return _train(config, dataset, job, resume)


def _train(config: Config, dataset: Dataset, job: Job, resume: bool) -> Path:
    started, digests = run_record.start(), run_digests(config, dataset)
    shard = distributed.rank(), distributed.size()
    network = build_fcn(config, dataset.labels.num_classes, job.stride, shard)
    if job.start is not None:
        if config.network.initial and job.start == config.path("initial"):
            _require_initial(config)
        start_from(network, job.start, dataset.labels)
    store, *scored = _stores(config, dataset)

    def batches(first, steps):
        size, seed = config.train.batch_size, config.train.seed
        _check_labels([store, *scored])
        return train_batches(store, config.data, size, seed, first, steps)

    trainer = Trainer(
        network,
        job.stages,
        batches,
        losses.objective(config.train, _class_weights(config, store)),
        config.train,
        job.folder,
        meta=_meta(config, dataset, job, digests),
        names=store.names,
        evaluate=_validator(config, scored[0], network),
        evaluate_every=config.train.val_every,
    )
    with store.reporting():
        trained = trainer.run(job.name, resume=resume)
    if not distributed.rank() and (trained or not (job.folder / "record.json").exists()):
        extra = {"training_seconds": trainer.spent, "data": digests}
        extra |= {"stages": [stage.name for stage in job.stages], "workers": distributed.size()}
        record = run_record.capture(
            config, started=started, device=describe_device(config.train.precision), extra=extra
        )
        files.write_json(job.folder / "record.json", record)
    return job.folder


def _require_initial(config: Config) -> None:
    path = config.path("initial")
    if not path.exists() and not checkpoints.foreign(path):
        raise InputError(
            f"{path}: no such checkpoint; make it as data/README.md says under pretrained/, or "
            "start from random numbers with --set initial="
        )


def _class_weights(config: Config, store: ImageStore) -> np.ndarray | None:
    if config.train.class_weights == "none":
        return None
    found = losses.median_frequency_weights(*store.class_pixels())
    return np.sqrt(found) if config.train.class_weights == "root_median_frequency" else found


def _meta(config: Config, dataset: Dataset, job: Job, digests: dict[str, str]) -> dict[str, Any]:
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
        **{f"data of {split}": digests[split] for split in _learned_from(config.data)},
    }


def _learned_from(data: DataConfig) -> tuple[str, str]:
    """Return what `run_digests` calls the images that a training and its log depend on."""
    return split_name(data.train_split, data.train_limit), split_name(
        data.val_split, data.val_limit
    )


def _stores(config: Config, dataset: Dataset) -> list[ImageStore]:
    """Return what to train on, what to look at meanwhile, and what to score if it is different."""
    data, labels, seen = config.data, dataset.labels, {}

    def store(split: str, count: int, **options) -> ImageStore:
        chosen = dataset.records(split, count)
        return ImageStore(chosen, labels, split=split, seen=seen, **options)

    train = store(data.train_split, data.train_limit)
    val = store(data.val_split, data.val_limit)
    scored = store(data.eval_split, data.eval_limit, limit=0)
    for other in (val, scored):
        shared = shared_images(dataset, train.records, other.records)
        if shared:
            one, twin = shared[0]
            named = one.name if one.name == twin.name else f"{one.name}, which is {twin.name} there"
            raise InputError(
                f"{dataset.root}: {len(shared)} images of {train.split} are in {other.split} too, "
                f"such as {named}; train and score on splits that share none"
            )
    return [train, val] if scored.records == val.records else [train, val, scored]


def shared_images(
    dataset: Dataset, one: Sequence[Record], other: Sequence[Record]
) -> list[tuple[Record, Record]]:
    """Return the records of two sequences whose images hold the same bytes, whatever their names.

    Args:
        dataset: that they are of.
        one: records.
        other: records.

    Returns:
        Pairs of a record of `one` and its twin of `other`.
    """
    first, second = by_content(dataset, one), by_content(dataset, other)
    return [(first[digest], second[digest]) for digest in first if digest in second]


def _check_labels(stores: Sequence[ImageStore]) -> None:
    """Read all files of the stores, the first of which is trained on."""
    for store in stores:
        store.verify()
    present = np.flatnonzero(stores[0].class_pixels()[0])
    if len(present) < 2:
        raise InputError(
            f"{stores[0].split}: every labelled pixel is of class "
            f"{stores[0].labels.classes[present[0]]}; a network needs two classes at least"
        )


def _validator(config: Config, store: ImageStore, network: FCN):
    predict, labels = predictor(network), store.labels

    def validate() -> float:
        batches = eval_batches(store, config.train.eval_batch_size)
        with store.reporting():
            found = evaluate(
                predict, batches, store.names, labels.num_classes, reduce=distributed.summed
            )
            return found.scores.mean_iou

    return validate


def scored_as(config: Config, dataset: Dataset, folder: Path) -> tuple[str, dict[str, Any]]:
    """Say what is scored, so that a score is taken for no other one.

    Args:
        config: names the split and its limit.
        dataset: opened.
        folder: of the trained network.

    Returns:
        (the ending of the files that keep the scores: "" for what the network's own record names as
        its evaluation split, else such as "-train" or "-val-1a2b3c4d" with the digest of other
        data; what to write beside the scores: split, images, data (digest) and trained_on, how many
        of the images are in the split that is trained on).
    """
    data = config.data
    chosen = dataset.records(data.eval_split, data.eval_limit)
    about = {"split": data.eval_split, "images": len(chosen)}
    about["data"] = split_digest(dataset, chosen)
    trained = dataset.splits.get(data.train_split, ())[: data.train_limit or None]
    about["trained_on"] = len(shared_images(dataset, chosen, trained))
    record = files.read_json(folder / "record.json") or {}
    own = Config().to_dict() | record.get("config", {})
    here = run_record.relative(config.path("data_dir"))
    same = own["dataset"] == data.dataset and own["data_dir"] in (here, data.data_dir)
    ending = ""
    if record and (own["eval_split"], own["eval_limit"]) != (data.eval_split, data.eval_limit):
        key = split_name(data.eval_split, data.eval_limit)
        ending = f"-{key}".replace(", ", "-").replace(" ", "-")
    if record and not same and not _has_moved(dataset, own, record.get("data")):
        ending = (ending or f"-{data.eval_split}") + f"-{about['data'][:8]}"
    if about["trained_on"]:
        print(
            f"{data.eval_split}: {about['trained_on']} of these {len(chosen)} images are in "
            f"{data.train_split}, the split to train on; this is no score on new images",
            file=sys.stderr,
        )
    return ending, about


def _has_moved(dataset: Dataset, own: dict[str, Any], digests: Any) -> bool:
    """Say whether a data set is the one that a record's settings and digests tell of."""
    split, limit = own["eval_split"], own["eval_limit"]
    if not isinstance(digests, dict) or split not in dataset.splits:
        return False
    found = split_digest(dataset, dataset.records(split, limit))
    return digests.get(split_name(split, limit)) == found


def evaluate_fcn(
    config: Config,
    dataset: Dataset,
    folder: Path,
    engine: str = "tensorflow",
    fold: Callable[[FCN], Any] | None = None,
) -> Evaluation:
    """Score a trained network on the evaluation split, or read the scores if they are there.

    They are there only where network, images, masks, label set and engine are the same.

    Args:
        config: gives the split and the batch size.
        dataset: opened.
        folder: of the trained network; gets metrics.json and evaluation.npz, with the ending of
            `scored_as` and the engine's name where it is another.
        engine: the name of what computes.
        fold: turns the network into what is scored; None scores the network itself.

    Returns:
        The confusion matrices, one an image.

    Raises:
        InputError: the network was trained for other classes, nothing in the split is labelled, a
            file is refused, or another process writes into the folder.
    """
    chosen = dataset.records(config.data.eval_split, config.data.eval_limit)
    names = tuple(record.name for record in chosen)
    ending, about = scored_as(config, dataset, folder)
    ending += "" if engine == "tensorflow" else f"-{engine}"
    metrics, evaluation = (insert_ending(folder / f, ending) for f in (METRICS, EVALUATION))
    digest = hashlib.sha256((folder / CHECKPOINT).read_bytes()).hexdigest()[:16]
    wanted = {"checkpoint": digest, "names": list(names), "dataset": dataset.name}
    wanted |= {"engine": engine, **about}
    there = evaluation.exists() and metrics.exists()
    arrays, meta = checkpoints.load(evaluation) if there else ({}, None)
    if distributed.of_first([int(meta == wanted)])[0]:
        return Evaluation(arrays["matrices"], names)
    with locked(folder, not distributed.rank()):
        network, meta = load_fcn(folder)
        require_classes(folder, meta, dataset.labels)
        store = ImageStore(chosen, dataset.labels, limit=0, split=config.data.eval_split)
        batches = eval_batches(store, config.train.eval_batch_size)  # each image is looked at once
        label = f"{meta['name']} on {config.data.eval_split}"
        with store.reporting():
            predict, count = predictor(fold(network) if fold else network), len(meta["classes"])
            reduce = distributed.summed
            found = evaluate(predict, batches, names, count, label, reduce=reduce)
        summary = {"network": meta["name"], **about, "classes": list(dataset.labels.classes)}
        if not distributed.rank():
            files.write_json(metrics, summary | found.scores.to_dict())
            checkpoints.save(evaluation, {"matrices": found.matrices}, wanted)
        return found


def insert_ending(path: Path, ending: str) -> Path:
    """Return "metrics-train.json" for "metrics.json" and "-train"."""
    return path.with_name(f"{path.stem}{ending}{path.suffix}")


def train_chain(
    config: Config,
    dataset: Dataset,
    out: Path,
    resume: bool = False,
    control: bool = False,
    fold: Callable[[FCN], Any] | None = None,
) -> dict[str, Evaluation]:
    """Train and score every network of a configuration.

    Args:
        config: settings.
        dataset: opened.
        out: run folder; networks go to its `models`.
        resume: continue an interrupted run; what is done is not done again.
        control: train and score `longer_job` as well.
        fold: as of `evaluate_fcn`.

    Returns:
        {name of the network: scores on the evaluation split}.
    """
    jobs = chain(config, out / "models")
    jobs += [longer_job(config, out / "models")] if control else []
    return {
        job.name: evaluate_fcn(config, dataset, train_fcn(config, dataset, job, resume), fold=fold)
        for job in jobs
    }
