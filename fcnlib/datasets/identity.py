"""Which data a run reads, as digests of what its files hold, whatever they are called.

A digest of a file is kept with the file's size and times, so that an unchanged data set is hashed
once and then costs a look at each file. Every question "are these still the data that this network
was trained or scored on?" is answered here.
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
from fcnlib.datasets.records import Dataset, File, Record
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_text

KEPT = ROOT / "results" / "runs" / ".digests"
# A file changed twice within one step of the clock would look unchanged (git's "racy" files).
_SETTLED = 2.0  # seconds since its last change


def file_digests(files: Sequence[File], root: Path) -> list[str]:
    """Digest what files hold.

    Args:
        files: paths, or files packed with others, which know their digest.
        root: the folder of the data set; its digests are kept together.

    Returns:
        SHA-256 of each, 64 hex digits, in the order of `files`.

    Raises:
        InputError: a file cannot be read.
    """
    paths = {str(file): Path(file) for file in files if isinstance(file, Path)}
    kept_in = KEPT / f"{hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:16]}.json"
    kept = read_json(kept_in) if paths else None
    kept = kept if isinstance(kept, dict) else {}
    now, found, fresh = time.time(), {}, {}
    for name, path in paths.items():
        try:
            seen = path.stat()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        state = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]
        entry = kept.get(name)
        if isinstance(entry, list) and entry[:-1] == state:
            found[name] = entry[-1]
        else:
            fresh[name] = state
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found.update(zip(fresh, pool.map(_hash, map(paths.get, fresh)), strict=True))
    settled = {
        name: [*state, found[name]]
        for name, state in fresh.items()
        if now - max(state[1:]) / 1e9 > _SETTLED
    }
    if settled:
        entries = {name: entry for name, entry in kept.items() if os.path.exists(name)} | settled
        with contextlib.suppress(InputError):  # a place that cannot be written costs time, no more
            write_text(kept_in, json.dumps(entries))
    return [found[str(file)] if isinstance(file, Path) else file.sha256 for file in files]


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def split_digest(dataset: Dataset, records: Iterable[Record]) -> str:
    """Digest all that reading records gives: images, masks, their order and the label set.

    Args:
        dataset: gives the label set.
        records: of one of its splits.

    Returns:
        16 hex digits.
    """
    files = [file for record in records for file in (record.image_path, record.label_path) if file]
    labels = json.dumps(dataset.labels.to_dict(), sort_keys=True)
    text = "\n".join([labels, *file_digests(files, dataset.root)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_digests(config: Config, dataset: Dataset) -> dict[str, str]:
    """Digest what a run reads: the splits in use, and what its training starts from.

    Args:
        config: names the splits, their limits and the start.
        dataset: opened.

    Returns:
        {"train": 16 hex digits, "val, first 48": ..., "initial": ...}.
    """
    data, found = config.data, {}
    for split, limit in (
        (data.train_split, data.train_limit),
        (data.val_split, data.val_limit),
        (data.eval_split, data.eval_limit),
    ):
        found[split_name(split, limit)] = split_digest(dataset, dataset.records(split, limit))
    start = config.path("initial")
    if config.network.initial and start.is_file():
        found["initial"] = file_digests([start], start.parent)[0][:16]
    return found


def split_name(split: str, limit: int) -> str:
    """Return "val", or "val, first 48" for a part of it."""
    return f"{split}, first {limit}" if limit else split


def changed(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Name what is not as it was.

    Args:
        before: from `run_digests`, once.
        now: from `run_digests`.

    Returns:
        Such as ["train"]; what only one of them names is not compared.
    """
    return [key for key in before if now.get(key, before[key]) != before[key]]


def by_content(dataset: Dataset, records: Sequence[Record]) -> dict[str, Record]:
    """Key records by what their image holds, so that one in two splits shows, whatever its name."""
    digests = file_digests([record.image_path for record in records], dataset.root)
    return dict(zip(digests, records, strict=True))
