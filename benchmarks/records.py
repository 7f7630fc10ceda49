"""How fast a data set comes from TFRecords and how fast from its files.

    python -m benchmarks.records PLACE --format NAME [--split train] [--csv FILE]

Each pair of rows is measured in alternation, so that what the machine does beside it hits both:
reading and decoding, with the files in the page cache and after they were dropped from it (Linux);
and the batches of a first epoch, decoded images not yet in memory, as a training takes them.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import fcntools.synthetic  # noqa: F401  (which adds the generated data sets)
from fcnlib.config import Config
from fcnlib.datasets import Dataset, open_dataset, read_pair
from fcnlib.input_pipeline import ImageStore, train_batches
from fcntools.data.tfrecords import pack

BATCH = 8


def pairs_per_second(dataset: Dataset, split: str, limit: int) -> float:
    """Return how many pairs a second are read and decoded, one after the other."""
    records = dataset.records(split)[:limit]
    began = time.perf_counter()
    for record in records:
        read_pair(record, dataset.labels)
    return len(records) / (time.perf_counter() - began)


def drop(dataset: Dataset, split: str) -> None:
    """Ask the kernel to forget the files of a split."""
    paths = {f for r in dataset.records(split) for f in (r.image_path, r.label_path)}
    for path in {getattr(file, "shard", file) for file in paths}:
        with open(path, "rb") as file:
            os.fsync(file.fileno())  # a page that is not yet on the disk would stay
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(dataset: Dataset, split: str, limit: int) -> float:
    """Return the pairs a second when they come from the disk."""
    drop(dataset, split)
    return pairs_per_second(dataset, split, limit)


def first_epoch(dataset: Dataset, split: str, limit: int) -> float:
    """Return the pairs a second of the batches of a first epoch."""
    records = dataset.records(split)[:limit]
    began = time.perf_counter()
    steps = len(records) // BATCH
    store = ImageStore(records, dataset.labels)
    for _ in train_batches(store, Config().data, BATCH, 0, 0, steps):
        pass
    return steps * BATCH / (time.perf_counter() - began)


WAYS = {"read and decode": pairs_per_second, "the same, from the disk": cold}
WAYS |= {"batches, first epoch": first_epoch}


def measure(files: Dataset, records: Dataset, split: str, limit: int, rounds: int) -> list[dict]:
    """Return a row a way: medians over rounds of pairs a second, and their ratio."""
    rows = []
    for way, rate in WAYS.items():
        if rate is cold and not hasattr(os, "posix_fadvise"):
            continue
        found = [
            [rate(place, split, limit) for place in (files, records)] for _ in range(rounds + 1)
        ]
        del found[0]  # the first call of anything is slower
        a, b = (statistics.median(column) for column in zip(*found, strict=True))
        ratio = statistics.median(y / x for x, y in found)
        rows.append({"way": way, "files": f"{a:.1f}", "records": f"{b:.1f}"})
        rows[-1] |= {"ratio": f"{ratio:.2f}", "pairs": len(files.records(split)[:limit])}
    return rows


def main(words: list[str] | None = None) -> None:
    """Pack a data set into a temporary folder, measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--format", default="folder", help="as in `fcnlib data list`")
    parser.add_argument("--split", default="train")
    parser.add_argument("--limit", type=int, default=400, help="pairs at most")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--csv", type=Path)
    said = parser.parse_args(words)
    with tempfile.TemporaryDirectory(dir=said.place.resolve().parent) as folder:  # on the same disk
        files = open_dataset(said.format, said.place)
        records = pack(files, Path(folder) / "packed")
        rows = measure(files, records, said.split, said.limit, said.rounds)
    for row in rows:
        print(
            "{way:24} files {files:>8} pairs/s, records {records:>8}, ratio {ratio}".format(**row)
        )
    if said.csv:
        with said.csv.open("w", newline="") as table:
            writer = csv.DictWriter(table, rows[0])
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    sys.exit(main())
