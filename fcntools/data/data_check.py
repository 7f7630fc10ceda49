"""Looks at every file of a data set and says what is in it and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np

from fcnlib.datasets import Dataset, Record, describe_image, read_image, read_pair
from fcnlib.datasets.identity import by_content
from fcnlib.datasets.image_io import Palette, agree
from fcnlib.datasets.records import File
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet
from fcnlib.runtime import progress

_THREADS = 2
_NAMED = 5  # files named of each unusual kind


@dataclass(frozen=True)
class Report:
    """What a look at every file found.

    Attributes:
        dataset: what was looked at.
        pixels: int64 [256], pixels of each class index and of VOID over all masks.
        images: int64 [256], in how many masks each of them occurs.
        sizes: {(H, W): images}.
        unusual: {what: files}, such as {"CMYK": [...]}: read rightly, but not what most are.
        faults: what is refused, a line each, naming file, value and place.
    """

    dataset: Dataset
    pixels: np.ndarray
    images: np.ndarray
    sizes: Counter[tuple[int, int]]
    unusual: dict[str, list[str]]
    faults: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the report as text, a line at a time."""
        labels, counts = self.dataset.labels, self.dataset.counts()
        yield f"{self.dataset.name} in {self.dataset.root}"
        yield "splits: " + ", ".join(f"{split} {count}" for split, count in counts.items())
        most = ", ".join(f"{h} x {w} ({n})" for (h, w), n in self.sizes.most_common(3))
        yield f"sizes: {len(self.sizes)}; the commonest, rows x columns (images): {most}"
        yield f"{'class':>5} {'name':24} {'pixels':>13} {'share':>8} {'images':>7}"
        for index in (*range(labels.num_classes), VOID):
            if index != VOID or self.pixels[VOID]:
                yield self._row(index)
        for what, files in sorted(self.unusual.items()):
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            yield f"unusual, {what}: {', '.join(files[:_NAMED])}{more}"
        for fault in self.faults:
            yield f"fault: {fault}"
        yield f"{len(self.faults)} faults" if len(self.faults) != 1 else "1 fault"

    def _row(self, index: int) -> str:
        name = "void" if index == VOID else self.dataset.labels.classes[index]
        share = self.pixels[index] / max(self.pixels.sum(), 1)
        return f"{index:5} {name:24} {self.pixels[index]:13,} {share:8.3%} {self.images[index]:7,}"


def check(dataset: Dataset) -> Report:
    """Read every image and mask of a data set once.

    Args:
        dataset: opened with its faults.

    Returns:
        The report; faults of lists and pairs come first, then those of files by name.
    """
    every = {
        (r.image_path, r.label_path): r for records in dataset.splits.values() for r in records
    }
    records = sorted(every.values(), key=lambda r: r.name)
    pixels, images = np.zeros(256, np.int64), np.zeros(256, np.int64)
    sizes: Counter[tuple[int, int]] = Counter()
    unusual: dict[str, list[str]] = {}
    faults = [*dataset.faults]
    for (one, other), shared in _in_two_splits(dataset).items():
        if one == "train" and other in ("val", "test"):
            faults += [
                f"{path}: is in train and in {other}{'' if path == twin else f' ({twin})'}; "
                "remove it from one"
                for path, twin in shared
            ]
        else:  # such as trainval: not both in one experiment, which a training sees to
            unusual[f"in {one} and in {other}"] = [path.name for path, _ in shared]
    seen: Palette = {}
    palettes: list[Palette] = [{} for _ in records]
    look = partial(_look, labels=dataset.labels)
    with (
        ThreadPoolExecutor(_THREADS) as pool,
        progress.bar(len(records), dataset.name, "pair") as bar,
    ):
        for record, palette, (size, kinds, counts, fault) in zip(
            records, palettes, pool.map(look, records, palettes), strict=True
        ):
            try:
                agree(seen, palette)
            except InputError as error:
                faults.append(str(error))
            faults += [fault] if fault else []
            sizes.update([size] if size else [])
            for kind in kinds:
                unusual.setdefault(kind, []).append(record.image_path.name)
            pixels += counts
            images += counts > 0
            bar.update()
    absent = np.flatnonzero(pixels[: dataset.labels.num_classes] == 0)
    if len(absent):
        unusual["no pixel of these classes"] = [dataset.labels.classes[c] for c in absent]
    return Report(dataset, pixels, images, sizes, unusual, tuple(faults))


def _look(
    record: Record, palette: Palette, labels: LabelSet
) -> tuple[tuple[int, int] | None, tuple[str, ...], np.ndarray, str]:
    """Return (size, what is unusual about the image, pixels of each class, the fault or "").

    `palette` is filled with that of the mask.
    """
    counts = np.zeros(256, np.int64)
    size, kinds = None, ()
    try:
        size, kinds = describe_image(record.image_path)
        if record.label_path is None:
            read_image(record.image_path)
            return size, (*kinds, "without a mask"), counts, ""
        counts += np.bincount(read_pair(record, labels, palette)[1].ravel(), minlength=256)
        empty = ("no labelled pixel",) if not counts[:VOID].any() else ()
        return size, (*kinds, *empty), counts, ""
    except InputError as error:
        return size, kinds, counts, str(error)


def _in_two_splits(dataset: Dataset) -> dict[tuple[str, str], list[tuple[File, File]]]:
    """Return the images that two splits share, "train" the first of the two, as each names them."""
    try:
        splits = {split: by_content(dataset, records) for split, records in dataset.splits.items()}
    except InputError:  # a file that cannot be read, which is a fault of its own
        return {}
    found = {}
    for one, other in combinations(sorted(splits, key=lambda split: split != "train"), 2):
        shared = [digest for digest in splits[one] if digest in splits[other]]
        if shared:
            found[one, other] = [
                (splits[one][digest].image_path, splits[other][digest].image_path)
                for digest in shared
            ]
    return found
