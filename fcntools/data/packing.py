"""Packing a data set into shards of TFRecords, and what reading from them gains."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fcnlib.datasets import Dataset, Record, open_dataset, read_pair
from fcnlib.datasets.image_io import Palette
from fcnlib.datasets.packed import INDEX, VERSION
from fcnlib.errors import InputError
from fcnlib.runtime import files, progress
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import scratch

SHARD = 512  # pairs in a file


def pack(dataset: Dataset, target: Path, splits: Sequence[str] = ()) -> Dataset:
    """Write the images and masks of a data set, byte for byte, into shards with an index.

    A pair that is in several splits is written once.

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
    pairs = list(dict.fromkeys(pair for records in chosen.values() for pair in records))
    number = {pair: i for i, pair in enumerate(pairs)}
    index = {"version": VERSION, "name": dataset.name, "labels": dataset.labels.to_dict()}
    index["splits"] = {s: [number[pair] for pair in records] for s, records in chosen.items()}
    try:
        with scratch(target) as half:
            half.mkdir()
            files.write_json(half / INDEX, index | {"pairs": _write(dataset, half, pairs)})
            half.rename(target)
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise InputError(f"{target}: cannot write here: {reason}") from None
    return open_dataset("packed", target)


def _write(dataset: Dataset, folder: Path, pairs: Sequence[Record]) -> list[dict[str, Any]]:
    """Write the shards; return what the index says of each pair."""
    entries: list[dict[str, Any]] = []
    seen: Palette = {}
    parts = [pairs[i : i + SHARD] for i in range(0, len(pairs), SHARD)]
    with progress.bar(len(pairs), f"packing {dataset.name}", "pair") as bar:
        for number, part in enumerate(parts):
            path = folder / f"pairs-{number:05d}-of-{len(parts):05d}.tfrecord.gz"
            with path.open("wb") as shard:
                for pair in part:
                    read_pair(pair, dataset.labels, seen)
                    record, files = _record(pair, folder / "one")
                    where = {"shard": path.name, "record": [shard.tell(), len(record)]}
                    entries.append({"name": pair.name} | where | files)
                    shard.write(record)
                    bar.update(1)
    return entries


def _record(pair: Record, one: Path) -> tuple[bytes, dict[str, Any]]:
    """Return a pair as a compressed TFRecord, and where its two files lie in it uncompressed."""
    values, files = {}, {}
    for kind, file in (("image", pair.image_path), ("mask", pair.label_path)):
        entry, data = f"{kind}/{file.name}", file.read_bytes()
        values |= {f"{kind}/bytes": data, f"{kind}/name": entry.encode()}
        files[kind] = entry, data
    feature = {
        key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for key, value in values.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    # a writer of its own for each: records compressed one by one can be read one by one
    with tf.io.TFRecordWriter(str(one), "GZIP") as writer:
        writer.write(example.SerializeToString(deterministic=True))
    record = one.read_bytes()
    one.unlink()
    whole = gzip.decompress(record)
    return record, {
        kind: [entry, hashlib.sha256(data).hexdigest(), [whole.index(data), len(data)]]
        for kind, (entry, data) in files.items()
    }


def pairs_per_second(dataset: Dataset, split: str, limit: int = 300) -> float:
    """Measure how fast pairs are read and decoded, one after the other.

    Args:
        dataset: where they are.
        split: which part.
        limit: pairs to read at most.

    Returns:
        Pairs a second.
    """
    records = dataset.records(split)[:limit]
    began = time.perf_counter()
    for record in records:
        read_pair(record, dataset.labels)
    return len(records) / (time.perf_counter() - began)
