"""Records: an image and its mask, paired by name; data sets: the records of each split."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

from fcnlib.errors import InputError
from fcnlib.labels import LabelSet

# Where two files of a name differ in their endings, the earlier ending counts.
IMAGE_SUFFIXES = (
    *(".jpg", ".png", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".tga", ".mpo", ".apng"),
)
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")


class File(Protocol):
    """What a record points at: a path, or a file packed with others that reads like one."""

    name: str
    stem: str
    suffix: str

    def read_bytes(self) -> bytes:
        """Return what the file holds."""


@dataclass(frozen=True)
class Record:
    """One image and, where there is one, its mask.

    Attributes:
        name: the name both files share, without ending.
        image_path: where the image is.
        label_path: where the mask is; None for a split without masks.
    """

    name: str
    image_path: File
    label_path: File | None


@dataclass(frozen=True)
class Dataset:
    """A data set on disk: its labels and, for each split, its records sorted by name.

    Attributes:
        name: the name of the data set.
        root: its folder.
        labels: its label set.
        splits: {split: records}.
        faults: what is wrong with its lists and pairs, a line each; `open_dataset` refuses a data
            set with any.
    """

    name: str
    root: Path
    labels: LabelSet
    splits: dict[str, tuple[Record, ...]]
    faults: tuple[str, ...] = ()

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


def files_in(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the files of a folder, sorted, without those of folders inside and without hidden ones.

    Args:
        folder: where to look; it need not be there.
        suffixes: the endings a file may have, in small letters.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    # macOS leaves ._NAME.png beside NAME.png.
    return [p for p in files if p.suffix.lower() in suffixes and not p.name.startswith(".")]


def by_image(records: Sequence[Record]) -> dict[object, Record]:
    """Key records by what their image is, so that one in two splits shows, whatever its path."""

    def identity(file: File) -> object:
        return os.path.realpath(file) if isinstance(file, Path) else file.sha256

    return {identity(record.image_path): record for record in records}


def pair_by_name(
    list_path: Path,
    images: Path,
    masks: Sequence[Path],
    faults: list[str],
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    mask_suffixes: Sequence[str] = (".png",),
) -> tuple[Record, ...]:
    """Pair the images and masks that a list file names.

    Args:
        list_path: text file, one record a line, as `read_names`.
        images: folder of the images.
        masks: folders of the masks; of two masks the one in the earlier folder counts.
        faults: what is wrong is added here: a list that is unreadable or empty or names something
            twice, two files of one name, an image that is missing, a mask that is missing though
            others are there.
        image_suffixes: endings an image may have, in order of preference.
        mask_suffixes: endings a mask may have.

    Returns:
        The records sorted by name, those with a fault left out. Their label_path is None when no
        name of the list has a mask, as in the test list of a benchmark that keeps them; a list
        called train... or val... must have them.
    """
    image_files = _by_name([images], image_suffixes)
    mask_files = _by_name(masks, mask_suffixes)
    names = read_names(list_path, faults, image_files)
    if images not in masks:  # where an image may share its name with its mask
        used = {name: image_files.get(name) for name in names}
        faults += _second_ones(images, used, image_suffixes)
        used = {name: mask_files.get(name) for name in names}
        faults += _second_ones(masks[0], used, mask_suffixes)
    labelled = list_path.stem.startswith(("train", "val"))
    labelled = labelled or any(name in mask_files for name in names)
    records = []
    for name in names:
        wanted = [(images, image_suffixes[0], image_files)]
        wanted += [(masks[-1], mask_suffixes[0], mask_files)] if labelled else []
        missing = [f"{folder / name}{end}" for folder, end, files in wanted if name not in files]
        faults += [f"{path}: missing, though {list_path} names it" for path in missing]
        if not missing:
            records.append(Record(name, image_files[name], mask_files.get(name)))
    return tuple(records)


def read_names(list_path: Path, faults: list[str], known: Container[str] = ()) -> list[str]:
    """Read a list of images.

    Args:
        list_path: one a line; the file name without folders and ending counts.
        faults: what is wrong is added here.
        known: names that are there. A line may go on after one of these, with a space between; of
            two such the longer one is meant.

    Returns:
        The names, sorted, each once.
    """
    try:
        lines = list_path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{list_path}: cannot read this list of images: {error}")
        return []
    names = sorted(_named(line.strip(), known) for line in lines if line.strip())
    if not names:
        faults.append(f"{list_path}: names no image; write one name a line")
    twice = {one for one, other in pairwise(names) if one == other}
    faults += [f"{list_path}: names {name} twice; remove one line" for name in sorted(twice)]
    return sorted(set(names))


def pair_folders(
    images: Path, masks: Path, faults: list[str], mask_suffixes: Sequence[str] = MASK_SUFFIXES
) -> tuple[Record, ...]:
    """Pair the files of two folders by their names.

    Args:
        images: folder of the images.
        masks: folder of the masks.
        faults: what is wrong is added here: an image without mask, a mask without image, two
            images or masks of one name, an empty folder.
        mask_suffixes: endings a mask may have.

    Returns:
        The records sorted by name.
    """
    image_files, mask_files = _by_name([images], IMAGE_SUFFIXES), _by_name([masks], mask_suffixes)
    faults += _second_ones(images, image_files, IMAGE_SUFFIXES)
    faults += _second_ones(masks, mask_files, mask_suffixes)
    alone = sorted(image_files.keys() - mask_files.keys())
    faults += [f"{image_files[name]}: has no mask in {masks}" for name in alone]
    alone = sorted(mask_files.keys() - image_files.keys())
    faults += [f"{mask_files[name]}: has no image in {images}" for name in alone]
    if not image_files:
        faults.append(f"{images}: no images here ({', '.join(IMAGE_SUFFIXES)})")
    both = sorted(image_files.keys() & mask_files.keys())
    return tuple(Record(name, image_files[name], mask_files[name]) for name in both)


def _by_name(folders: Sequence[Path], suffixes: Sequence[str]) -> dict[str, Path]:
    """Return {name: file}; earlier folders win over later ones, earlier endings over later ones."""
    found: dict[str, Path] = {}
    for folder in reversed([f for f in folders if f.is_dir()]):
        files = files_in(folder, suffixes)
        files.sort(key=lambda p: suffixes.index(p.suffix.lower()), reverse=True)
        found.update((path.stem, path) for path in files)
    return found


def _second_ones(
    folder: Path, used: Mapping[str, Path | None], suffixes: Sequence[str]
) -> list[str]:
    others = [p for p in files_in(folder, suffixes) if used.get(p.stem, p) != p]
    return [f"{path}: a second file named {path.stem}; remove one" for path in others]


def _named(line: str, known: Container[str]) -> str:
    """Return what a line names: the longest of `known` that it begins with, else all of it."""
    ends = [len(line), *(space.start() for space in re.finditer(r"\s+", line))]
    names = []
    for end in sorted(ends, reverse=True):
        file = Path(line[:end]).name
        suffix = Path(file).suffix
        ending = suffix.lower() in (*IMAGE_SUFFIXES, *MASK_SUFFIXES, ".mat")
        names.append(file.removesuffix(suffix) if ending else file)
    return next((name for name in names if name in known), names[0])
