"""Look at every file of a data set: what is in it and what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from fcnlib.datasets import Dataset, Record, describe_image, read_image, read_pair
from fcnlib.datasets.identity import by_content
from fcnlib.datasets.image_io import Palette, agree
from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet
from fcnlib.runtime import progress

_NAMED = 5  # files named of each unusual kind


@dataclass
class Report:
    """What a look at every file found."""

    dataset: Dataset
    faults: list[str]  # what is refused, a line each, naming file, value and place
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)  # {(H, W): images}
    # {what: files}, such as {"CMYK": [...]}: read rightly, but not what most are
    unusual: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    # int64 [256]: pixels of each class index and of VOID over all masks, and masks with some
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    images: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))

    def lines(self) -> Iterator[str]:
        """Yield the report as text, a line at a time."""
        labels, counts = self.dataset.labels, self.dataset.counts()
        yield f"{self.dataset.name} in {self.dataset.root}"
        yield "splits: " + ", ".join(f"{split} {count}" for split, count in counts.items())
        most = ", ".join(f"{h} x {w} ({n})" for (h, w), n in self.sizes.most_common(3))
        yield f"sizes: {len(self.sizes)}; the commonest, rows x columns (images): {most}"
        yield f"{'class':>5} {'name':24} {'pixels':>13} {'share':>8} {'images':>7}"
        for index, name in (*enumerate(labels.classes), (VOID, "void")):
            pixels, images = self.pixels[index], self.images[index]
            if index != VOID or pixels:
                share = pixels / max(self.pixels.sum(), 1)
                yield f"{index:5} {name:24} {pixels:13,} {share:8.3%} {images:7,}"
        for what, files in sorted(self.unusual.items()):
            more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            yield f"unusual, {what}: {', '.join(files[:_NAMED])}{more}"
        for fault in self.faults:
            yield f"fault: {fault}"
        yield f"{len(self.faults)} faults" if len(self.faults) != 1 else "1 fault"


def check_dataset(dataset: Dataset) -> Report:
    """Read every image and mask of a data set, opened with its faults, once.

    Returns:
        The report; faults of lists and pairs come first, then those of files by name.
    """
    report, seen = Report(dataset, list(dataset.faults)), {}
    _find_shared(report)
    every = {(r.image_path, r.label_path): r for own in dataset.splits.values() for r in own}
    records = sorted(every.values(), key=lambda r: r.name)
    with ThreadPoolExecutor(2) as pool, progress.bar(len(records), dataset.name, "pair") as bar:
        looks = [pool.submit(_look, record, dataset.labels) for record in records]
        for record, look in zip(records, looks, strict=True):
            bar.update()
            try:
                size, kinds, pixels, palette = look.result()
                agree(seen, palette)
            except InputError as error:
                report.faults.append(str(error))
                continue
            report.sizes[size] += 1
            report.pixels += pixels
            report.images += pixels > 0
            for kind in kinds:
                report.unusual[kind].append(record.image_path.name)
    absent = [name for name, n in zip(dataset.labels.classes, report.pixels, strict=False) if not n]
    if absent:
        report.unusual["no pixel of these classes"] = absent
    return report


def _look(record: Record, labels: LabelSet) -> tuple[Any, ...]:
    """Return size, what is unusual, pixels of each class and the palette of a pair."""
    size, kinds = describe_image(record.image_path)
    palette: Palette = {}
    if record.label_path is None:
        read_image(record.image_path)
        return size, (*kinds, "without a mask"), np.zeros(256, np.int64), palette
    mask = read_pair(record, labels, palette)[1]
    pixels = np.bincount(mask.ravel(), minlength=256)
    return size, kinds + (() if pixels[:VOID].any() else ("no labelled pixel",)), pixels, palette


def _find_shared(report: Report) -> None:
    """Report the images that two splits share: a fault of "train" and "val" or "test"."""
    splits = report.dataset.splits
    try:
        keyed = {split: by_content(report.dataset, records) for split, records in splits.items()}
    except InputError:  # a file that cannot be read, which is a fault of its own
        return
    for one, other in combinations(sorted(keyed, key=lambda split: split != "train"), 2):
        shared = [digest for digest in keyed[one] if digest in keyed[other]]
        pairs = [(keyed[one][d].image_path, keyed[other][d].image_path) for d in shared]
        if one == "train" and other in ("val", "test"):
            for path, twin in pairs:
                also = "" if path == twin else f" ({twin})"
                fault = f"{path}: is in train and in {other}{also}; remove it from one"
                report.faults.append(fault)
        elif pairs:  # such as trainval: a training on both is refused
            report.unusual[f"in {one} and in {other}"] = [path.name for path, _ in pairs]
