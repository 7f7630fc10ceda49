"""Packing a data set into shards of TFRecords, and what reading from them gains."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcnlib import progress, runrecord
from fcnlib.compat import tf
from fcnlib.datasets import Dataset, Record, open_dataset, read_pair
from fcnlib.datasets.packed import INDEX, VERSION
from fcnlib.datasets.records import File
from fcnlib.errors import InputError
from fcnlib.locking import scratch

SHARD = 512  # pairs in a file


def pack(dataset: Dataset, target: Path, splits: Sequence[str] = ()) -> Dataset:
    """Write the images and masks of a data set, byte for byte, into shards with an index.

    Args:
        dataset: what to pack; every pair is read first, a faulty one refused.
        target: a folder to make; it appears when everything is written.
        splits: which ones; all that have masks where empty.

    Returns:
        The packed data set.

    Raises:
        InputError: the target is there already or cannot be written, a pair is refused, or no split
            has masks.
    """
    target = target.absolute()
    if target.exists():
        raise InputError(f"{target}: is there already; choose another folder")
    chosen = {s: dataset.records(s) for s in splits or dataset.splits}
    chosen = {s: r for s, r in chosen.items() if r and all(one.label_path for one in r)}
    if not chosen:
        raise InputError(f"{dataset.root}: no split with masks to pack")
    half = scratch(target)
    try:
        half.mkdir(parents=True)
        total = sum(map(len, chosen.values()))
        with progress.bar(total, f"packing {dataset.name}", "pair") as bar:
            shards = {split: _write(dataset, half, split, r, bar) for split, r in chosen.items()}
        runrecord.write_json(half / INDEX, _index(dataset, shards))
        half.rename(target)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{target}: cannot write here: {reason}") from None
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return open_dataset("packed", target)


def _write(
    dataset: Dataset, folder: Path, split: str, records: Sequence[Record], bar: Any
) -> list[dict[str, Any]]:
    shards = []
    parts = [records[i : i + SHARD] for i in range(0, len(records), SHARD)]
    for number, part in enumerate(parts):
        path = folder / f"{split}-{number:05d}-of-{len(parts):05d}.tfrecord.gz"
        entries = []
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for record in part:
                read_pair(record, dataset.labels)
                files = {"image": record.image_path, "mask": record.label_path}
                names = {kind: f"{kind}/{file.name}" for kind, file in files.items()}
                writer.write(_example(files, names))
                entries.append([record.name, names["image"], names["mask"]])
                bar.update(1)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        shards.append({"file": path.name, "sha256": digest, "records": entries})
    return shards


def _example(files: dict[str, File], names: dict[str, str]) -> bytes:
    values = {f"{kind}/bytes": file.read_bytes() for kind, file in files.items()}
    values |= {f"{kind}/name": name.encode() for kind, name in names.items()}
    feature = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for key, value in values.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(
        deterministic=True
    )


def _index(dataset: Dataset, shards: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    labels = dataset.labels.to_dict()
    return {"version": VERSION, "name": dataset.name, "labels": labels, "splits": shards}


def reading_seconds(datasets: Sequence[Dataset], split: str, limit: int = 300) -> list[float]:
    """Time reading and decoding the same pairs from several places, one after the other.

    Args:
        datasets: the same data in each.
        split: which part.
        limit: pairs to read at most.

    Returns:
        Seconds for each, the better of two alternating passes; opening shards is part of them.
    """
    best = [float("inf")] * len(datasets)
    for _ in range(2):
        for place, dataset in enumerate(datasets):
            fresh = dataset if place == 0 else open_dataset("packed", dataset.root)
            began = time.perf_counter()
            for record in fresh.records(split)[:limit]:
                read_pair(record, fresh.labels)
            best[place] = min(best[place], time.perf_counter() - began)
    return best
