"""Records: an image and its mask, paired by name, read by PIL and checked value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from fcnlib.errors import InputError
from fcnlib.labels import VOID, LabelSet

# PIL reports a broken file with any of these: SyntaxError for a PNG's checksum, the rest elsewhere.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


@dataclass(frozen=True)
class Record:
    """One image and, where there is one, its mask.

    Attributes:
        name: the name both files share, without ending.
        image_path: where the image is.
        label_path: where the mask is; None for a split without masks.
    """

    name: str
    image_path: Path
    label_path: Path | None


@dataclass(frozen=True)
class Dataset:
    """A data set on disk: its labels and, for each split, its records sorted by name.

    Attributes:
        name: the name of the data set.
        root: its folder.
        labels: its label set.
        splits: {split: records}.
    """

    name: str
    root: Path
    labels: LabelSet
    splits: dict[str, tuple[Record, ...]]

    def records(self, split: str) -> tuple[Record, ...]:
        """Return the records of a split, sorted by name.

        Args:
            split: the name of a split, such as "train".

        Returns:
            The records.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.splits:
            raise InputError(f"{self.root}: no split {split!r}; it has {', '.join(self.splits)}")
        return self.splits[split]

    def counts(self) -> dict[str, int]:
        """Return the number of records of each split."""
        return {split: len(records) for split, records in self.splits.items()}


def pair_by_name(
    list_path: Path, images: Path, labels: Path, suffixes: Sequence[str]
) -> tuple[Record, ...]:
    """Pair the images and masks that a list file names.

    Args:
        list_path: text file, one record a line; the file name without folders and ending counts.
        images: folder of the images.
        labels: folder of the masks, `NAME.png`.
        suffixes: endings an image may have, in order of preference, such as (".jpg", ".png").

    Returns:
        The records sorted by name. Their label_path is None when no name of the list has a mask, as
        in the test list of a benchmark that keeps them.

    Raises:
        InputError: the list is unreadable, empty or names something twice; an image is missing; a
            mask is missing though others of the list are there.
    """
    names = _read_names(list_path)
    image_files = _files(images)
    label_files = _files(labels)
    labelled = any(f"{name}.png" in label_files for name in names)
    records = []
    for name in names:
        endings = [s for s in suffixes if name + s in image_files]
        if not endings:
            raise InputError(f"{images / name}{suffixes[0]}: missing, though {list_path} names it")
        if labelled and f"{name}.png" not in label_files:
            raise InputError(f"{labels / name}.png: missing, though {list_path} names it")
        records.append(
            Record(name, images / (name + endings[0]), labels / f"{name}.png" if labelled else None)
        )
    return tuple(records)


def _read_names(list_path: Path) -> list[str]:
    try:
        lines = list_path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{list_path}: cannot read this list of images: {error}") from None
    files = [Path(line.split()[0]).name for line in lines if line.strip()]
    names = sorted(file.removesuffix(".png").removesuffix(".jpg") for file in files)
    if not names:
        raise InputError(f"{list_path}: names no image; write one name a line")
    for one, other in pairwise(names):
        if one == other:
            raise InputError(f"{list_path}: names {one} twice; remove one line")
    return names


def _files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB; grey and palette images are expanded.

    Args:
        path: the file.

    Returns:
        uint8 [H, W, 3], 0..255.

    Raises:
        InputError: the file is missing, truncated or no image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except _UNREADABLE as error:
        raise InputError(_complaint(path, error)) from None


def read_mask(path: Path, labels: LabelSet) -> np.ndarray:
    """Read a mask by its stored index, never through its palette.

    Args:
        path: an image file of one byte a pixel (PIL mode P or L).
        labels: the label set that says what the bytes stand for.

    Returns:
        uint8 [H, W], class indices 0..C-1 or VOID (255).

    Raises:
        InputError: the file is missing or unreadable, stores colours, or holds a value that is
            neither a class nor void; the message names the value and the place.
    """
    try:
        with Image.open(path) as image:
            mode = image.mode
            stored = np.asarray(image)
    except _UNREADABLE as error:
        raise InputError(_complaint(path, error)) from None
    if mode not in ("P", "L"):
        raise InputError(
            f"{path}: a mask must store one index a pixel (PIL mode P or L), this one is {mode}; "
            f"save it with a palette"
        )
    mask = labels.lut[stored]
    if mask.min() < 0:
        y, x = np.unravel_index(np.argmax(mask < 0), mask.shape)
        raise InputError(
            f"{path}: value {stored[y, x]} at (x={x}, y={y}) is no class of {labels.name} "
            f"(0..{labels.num_classes - 1}) and not void ({_void_values(labels)})"
        )
    return mask.astype(np.uint8)


def read_pair(record: Record, labels: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    """Read an image and its mask and check that they are of one size.

    Args:
        record: a record with a mask.
        labels: the label set of the mask.

    Returns:
        (image uint8 [H, W, 3], mask uint8 [H, W] of 0..C-1 or VOID).

    Raises:
        InputError: as `read_image` and `read_mask`; the sizes differ; the record has no mask.
    """
    if record.label_path is None:
        raise InputError(f"{record.image_path}: has no mask; choose a split with masks")
    image = read_image(record.image_path)
    mask = read_mask(record.label_path, labels)
    if image.shape[:2] != mask.shape:
        raise InputError(
            f"{record.label_path}: is {_size(mask)} pixels, but its image {record.image_path} is "
            f"{_size(image)}; a mask has the size of its image"
        )
    return image, mask


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"


def _void_values(labels: LabelSet) -> str:
    return ", ".join(str(v) for v in np.flatnonzero(labels.lut == VOID))


def _complaint(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    reason = " ".join(str(error).split()).replace(f" '{path}'", "")
    return f"{path}: not a readable image ({reason}); replace the file"
