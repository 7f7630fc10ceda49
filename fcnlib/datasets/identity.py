"""Which data a run reads, as digests of the content of its files, whatever their names.

A digest is kept with the file's size and times, so an unchanged data set is hashed once.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fcnlib.config import ROOT, Config
from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_text

KEPT = ROOT / "results" / "runs" / ".digests"
# A file changed twice within one step of the clock would look unchanged (git's "racy" files).
_SETTLED = 2.0  # seconds since its last change


def _digests(files: Sequence[Path], root: Path) -> list[str]:
    """Return the SHA-256, 64 hex digits, of files of a data set in `root`; packed ones know it."""
    cache_file = KEPT / f"{hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:16]}.json"
    cache = read_json(cache_file)
    cache = cache if isinstance(cache, dict) else {}
    now, states = time.time(), {}
    try:
        for name in {str(file) for file in files if isinstance(file, Path)}:
            seen = os.stat(name)
            states[name] = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
        fresh = [name for name, state in states.items() if cache.get(name, [0])[:-1] != state]
        with ThreadPoolExecutor() as pool:
            new = {n: [*states[n], d] for n, d in zip(fresh, pool.map(_hash, fresh), strict=True)}
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from None
    settled = {n: entry for n, entry in new.items() if now - max(entry[1:3]) / 1e9 > _SETTLED}
    if settled:
        with contextlib.suppress(InputError):  # a place that cannot be written costs time, no more
            write_text(cache_file, json.dumps(cache | settled))
    known = cache | new
    return [known[str(file)][-1] if isinstance(file, Path) else file.sha256 for file in files]


def _hash(name: str) -> str:
    with open(name, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_digest(dataset: Dataset, records: Iterable[Record]) -> str:
    """Return 16 hex digits of images, masks, their order and the label set."""
    files = [file for record in records for file in (record.image_path, record.label_path) if file]
    labels = json.dumps(dataset.labels.to_dict(), sort_keys=True)
    text = "\n".join([labels, *_digests(files, dataset.root)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_digests(config: Config, dataset: Dataset) -> dict[str, str]:
    """Return digests of the splits that a run reads, and of the checkpoint that it starts from.

    Their keys are "train", "val, first 48", "initial" and the like.
    """
    data = config.data
    used = [(data.train_split, data.train_limit), (data.val_split, data.val_limit)]
    used.append((data.eval_split, data.eval_limit))
    found = {split_name(*part): split_digest(dataset, dataset.records(*part)) for part in used}
    start = config.path("init_checkpoint")
    if config.network.init_checkpoint and start.is_file():
        found["initial"] = _digests([start], start.parent)[0][:16]
    return found


def split_name(split: str, limit: int) -> str:
    """Return "val", or "val, first 48" for a part of it."""
    return f"{split}, first {limit}" if limit else split


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the keys in which two `run_digests` differ; a key of only one is not compared."""
    return [key for key in before if now.get(key, before[key]) != before[key]]


def by_content(dataset: Dataset, records: Sequence[Record]) -> dict[str, Record]:
    """Key records by the digest of their image, so that one in two splits shows."""
    digests = _digests([record.image_path for record in records], dataset.root)
    return dict(zip(digests, records, strict=True))
