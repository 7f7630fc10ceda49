"""Records: an image and its mask, paired by name; data sets: the records of each split."""

from __future__ import annotations

import bisect
import codecs
import re
import unicodedata
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fcnlib.errors import InputError
from fcnlib.labels import LabelSet

# Where two files of a name differ in their endings, the earlier ending counts.
IMAGE_SUFFIXES = (
    *(".jpg", ".png", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".tga", ".mpo", ".apng"),
)
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy")
_ENDINGS = (*IMAGE_SUFFIXES, *MASK_SUFFIXES, ".mat")
# What tools add to the name of an image for that of its mask, and Cityscapes to that of the image.
_MASK_MARKS = ("_mask", "_masks", "_gt", "_label", "_labels", "_labelIds", "_gtFine_labelIds")
_IMAGE_MARK = "_leftImg8bit"
_DEPTH = 5  # folders of a line that can tell two files of a name apart


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
        name: the name both files share, without ending; as "city_001" in a folder of folders.
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

    def records(self, split: str, limit: int = 0) -> tuple[Record, ...]:
        """Return the records of a split, sorted by name.

        Args:
            split: the name of a split, such as "train".
            limit: the first so many; 0 for all.

        Returns:
            The records.

        Raises:
            InputError: there is no such split.
        """
        if split not in self.splits:
            raise InputError(f"{self.root}: no split {split!r}; it has {', '.join(self.splits)}")
        return self.splits[split][: limit or None]

    def counts(self) -> dict[str, int]:
        """Return the number of records of each split."""
        return {split: len(records) for split, records in self.splits.items()}


def files_in(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the files of a folder, sorted; none of folders inside, and none that are hidden.

    Args:
        folder: where to look; it need not be there.
        suffixes: the endings a file may have, in small letters.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    # macOS leaves ._NAME.png beside NAME.png.
    return [p for p in files if _ends(p, suffixes) and not p.name.startswith(".")]


def pair_by_name(
    list_path: Path,
    images: Path,
    masks: Path,
    faults: list[str],
    image_suffixes: Sequence[str] = IMAGE_SUFFIXES,
    mask_suffixes: Sequence[str] = MASK_SUFFIXES,
) -> tuple[Record, ...]:
    """Pair the images and masks that a list file names.

    Args:
        list_path: text file, one record a line, as `read_names`.
        images: folder of the images, or of folders of them.
        masks: folder of the masks, likewise.
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
    image_files, mask_files = _both(images, image_suffixes, masks, mask_suffixes)
    names = read_names(list_path, faults, image_files)
    found = {name: _mask_of(name, image_files, mask_files) for name in names}
    if images != masks:  # where an image may share its name with its mask
        faults += _second_ones(image_files, image_suffixes, names)
        faults += _second_ones(mask_files, mask_suffixes, names)
    labelled = list_path.stem.startswith(("train", "val")) or any(found.values())
    image_hint, mask_hint = _instead(images), _instead(masks)
    records = []
    for name, mask in found.items():
        missing = []
        if name not in image_files:
            missing.append((images / f"{name}{image_suffixes[0]}", image_hint(name)))
        if labelled and mask is None:
            missing.append((masks / f"{name}{mask_suffixes[0]}", mask_hint(name)))
        faults += [f"{p}: missing, though {list_path} names it; {hint}" for p, hint in missing]
        if not missing:
            records.append(Record(name, image_files[name][0], mask))
    return tuple(records)


def read_names(list_path: Path, faults: list[str], known: Container[str] = ()) -> list[str]:
    """Read a list of images.

    Args:
        list_path: one a line; the file name without ending counts, and its folders where `known`
            has them.
        faults: what is wrong is added here.
        known: names that are there. A line may go on after one of these, with a space between; of
            two such the longer one is meant.

    Returns:
        The names, sorted, each once.
    """
    try:
        lines = [_plain(line).strip() for line in read_text(list_path).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f"{list_path}: cannot read this list of images: {error}; save it as UTF-8")
        return []
    meant: dict[str, list[str]] = {}
    for line in filter(None, lines):
        meant.setdefault(_named(line, known), []).append(line)
    if not meant:
        faults.append(f"{list_path}: names no image; write one name a line")
    for name, (line, *others) in sorted(meant.items()):
        if others and {line} == set(others):
            faults.append(f"{list_path}: names {name} twice; remove one line")
        elif others:
            faults.append(
                f"{list_path}: names {name} twice, as {line} and {others[0]}; keep two images in "
                f"folders of these names or rename them; of one image, remove a line"
            )
    return sorted(meant)


def read_text(path: Path) -> str:
    """Return the text of a file, which is UTF-8 or what Windows calls Unicode."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "ignore")  # half of a line break may be left at the end
    return data.decode("utf-8-sig")


def pair_folders(images: Path, masks: Path, faults: list[str]) -> tuple[Record, ...]:
    """Pair the files of two folders by their names.

    Args:
        images: folder of the images, or of folders of them.
        masks: folder of the masks, likewise; it may be the same one.
        faults: what is wrong is added here: an image without mask, a mask without image, two
            images or masks of one name, an empty folder.

    Returns:
        The records sorted by name.
    """
    image_files, mask_files = _both(images, IMAGE_SUFFIXES, masks, MASK_SUFFIXES)
    found = {name: _mask_of(name, image_files, mask_files) for name in sorted(image_files)}
    taken = set(found.values())
    records = [Record(name, image_files[name][0], mask) for name, mask in found.items()]
    records = [record for record in records if record.image_path not in taken]
    if images != masks:
        faults += _second_ones(image_files, IMAGE_SUFFIXES, image_files)
        faults += _second_ones(mask_files, MASK_SUFFIXES, mask_files)
    hint = _instead(masks)
    faults += [
        f"{record.image_path}: has no mask in {masks}; {hint(record.name)}"
        for record in records
        if record.label_path is None
    ]
    taken |= {record.image_path for record in records}
    alone = sorted(first for first, *_ in mask_files.values() if first not in taken)
    faults += [f"{p}: has no image in {images}" for p in alone if _ends(p, MASK_SUFFIXES)]
    if not records:
        endings = ", ".join(IMAGE_SUFFIXES)
        faults.append(f"{images}: no images here ({endings}); {_instead(images)('')}")
    return tuple(record for record in records if record.label_path is not None)


def _both(
    images: Path, image_suffixes: Sequence[str], masks: Path, mask_suffixes: Sequence[str]
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    # A mask of another ending is found, so that its reader says what is wrong with that.
    return _by_name(images, image_suffixes), _by_name(masks, (*mask_suffixes, *IMAGE_SUFFIXES))


def _by_name(folder: Path, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Return {name: files}, earlier endings first; in a folder of folders their names count."""
    files = files_in(folder, suffixes) or [
        file
        for inside in sorted(folder.rglob("*/"))
        if not any(part[0] == "." for part in inside.relative_to(folder).parts)
        for file in files_in(inside, suffixes)
    ]
    found: dict[str, list[Path]] = {}
    for path in sorted(files, key=lambda p: suffixes.index(p.suffix.lower())):
        name = "_".join(path.relative_to(folder).with_suffix("").parts)
        found.setdefault(_plain(name), []).append(path)
    return found


def _mask_of(
    name: str, image_files: Mapping[str, list[Path]], mask_files: Mapping[str, list[Path]]
) -> Path | None:
    """Return the mask of an image: the one of its name, or the only one named as its mask."""
    image, *_ = image_files.get(name, [None])
    for path in mask_files.get(name, ()):
        if path != image:
            return path
    found = [
        path
        for key in (name.removesuffix(_IMAGE_MARK) + mark for mark in _MASK_MARKS)
        for path in mask_files.get(key, ())[:1]
        if image_files.get(key, [path])[0] == path  # else it may belong to an image of this name
    ]
    return found[0] if len(found) == 1 else None


def _second_ones(
    files: Mapping[str, list[Path]], suffixes: Sequence[str], names: Iterable[str]
) -> list[str]:
    others = [p for name in sorted(names) for p in files.get(name, ())[1:] if _ends(p, suffixes)]
    return [f"{path}: a second file named {path.stem}; remove one" for path in others]


def _instead(folder: Path) -> Callable[[str], str]:
    """Return what says which files of a folder may be meant by a name that is not there."""
    there = [_plain(p.name) for p in folder.iterdir()] if folder.is_dir() else []
    there = sorted((name for name in there if name[0] != "."), key=str.casefold)

    def say(name: str) -> str:
        start = name.casefold()
        at = bisect.bisect_left(there, start, key=str.casefold)
        alike = [other for other in there[at : at + 3] if other.casefold().startswith(start)]
        if name and alike:
            return f"there is {', '.join(alike)}: give the right one this name and format"
        if not there:
            return f"{folder} is {'empty' if folder.is_dir() else 'no folder'}"
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        return f"there is {', '.join(there[:3])}{more}: correct the list or the names"

    return say


def _ends(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes


def _plain(name: str) -> str:
    """Return a name as it is compared: accents composed, without characters nobody sees."""
    composed = unicodedata.normalize("NFC", name)
    return "".join(c for c in composed if unicodedata.category(c) != "Cf")


def _named(line: str, known: Container[str]) -> str:
    """Return what a line names: the longest of `known` that it begins with, else all of it."""
    ends = [len(line), *(space.start() for space in re.finditer(r"\s+", line))]
    files, names = [], []
    for end in sorted(ends, reverse=True):
        *folders, file = re.split(r"[/\\]", line[:end])
        suffix = Path(file).suffix
        file = file.removesuffix(suffix) if suffix.lower() in _ENDINGS else file
        parts = [*folders[-_DEPTH:], file]
        names += ["_".join(parts[at:]) for at in range(len(parts))]
        files.append(file)
    return next((name for name in names if name in known), files[0])
