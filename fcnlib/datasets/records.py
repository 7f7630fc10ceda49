"""Records: an image and its mask, paired by name; data sets: the records of each split."""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

from fcnlib.errors import InputError
from fcnlib.labels import LabelSet

# Where two files of a name differ in their endings, the earlier ending counts.
IMAGE_SUFFIXES = (
    *(".jpg", ".png", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".tga", ".mpo", ".apng"),
)
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".npy", ".mat")
# A mask of another ending is found, so that its reader says what is wrong with that.
_MASKS = (*MASK_SUFFIXES, *IMAGE_SUFFIXES)
# What tools add to the name of an image for that of its mask, and Cityscapes to that of the image.
_MASK_MARKS = ("_mask", "_masks", "_gt", "_label", "_labels", "_labelIds", "_gtFine_labelIds")
_IMAGE_MARK = "_leftImg8bit"
_DEPTH = 5  # folders of a line that can tell two files of a name apart
_Files = dict[str, list[Path]]  # {name: files of this name}


@dataclass(frozen=True)
class Record:
    """One image and, where there is one, its mask."""

    name: str  # which both files share, without ending; as "city_001" in a folder of folders
    image_path: Path  # a packed file is read like a path
    label_path: Path | None  # None for a split without masks


@dataclass(frozen=True)
class Dataset:
    """A data set on disk: its labels and, for each split, its records sorted by name."""

    name: str
    root: Path
    labels: LabelSet
    splits: dict[str, tuple[Record, ...]]
    faults: tuple[str, ...] = ()  # of its lists and pairs, a line each; `open_dataset` refuses any

    def records(self, split: str, limit: int = 0) -> tuple[Record, ...]:
        """Return the first `limit` records of a split, all where it is 0.

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
    """Return the files of a folder with these endings, sorted; none that are hidden."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    # macOS leaves ._NAME.png beside NAME.png.
    return [p for p in files if p.suffix.lower() in suffixes and p.name[0] != "."]


def read_text(path: Path) -> str:
    """Return the text of a file, which is UTF-8 or what Windows calls Unicode."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "ignore")  # half of a line break may be left at the end
    return data.decode("utf-8-sig")


def read_names(list_path: Path, faults: list[str], known: Container[str] = ()) -> list[str]:
    """Return the names that a list of images holds, sorted, each once.

    Args:
        list_path: one file name a line, with or without folders and ending.
        faults: what is wrong is added here.
        known: names that are there; a line means the longest one that it begins with.
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
    faults += [
        f"{list_path}: names {name} twice, as {line} and {others[0]}; remove a line, or keep two "
        "images in folders of these names"
        for name, (line, *others) in sorted(meant.items())
        if others
    ]
    return sorted(meant)


def pair_by_name(
    list_path: Path | None, images: Path, masks: Path, faults: list[str]
) -> tuple[Record, ...]:
    """Pair images and masks by their names.

    Args:
        list_path: as `read_names`; None for all images of the folder, each with a mask.
        images: folder of the images, or of folders of them.
        masks: folder of the masks, likewise; it may be the same one.
        faults: what is wrong is added here: the list, two files of one name, a missing file.

    Returns:
        The records without faults, sorted by name. No label_path where no name of the list has a
        mask, as in the test list of a benchmark; a list called train... or val... must have them.
    """
    image_files, mask_files = _by_name(images, IMAGE_SUFFIXES), _by_name(masks, _MASKS)
    names = read_names(list_path, faults, image_files) if list_path else sorted(image_files)
    if images != masks:  # where an image may share its name with its mask
        for files, suffixes in ((image_files, IMAGE_SUFFIXES), (mask_files, MASK_SUFFIXES)):
            faults += [
                f"{path}: a second file named {path.stem}; remove one"
                for name in names
                for path in files.get(name, ())[1:]
                if path.suffix.lower() in suffixes
            ]
    found = {name: _mask_of(name, image_files, mask_files) for name in names}
    labelled = not list_path or list_path.stem.startswith(("train", "val")) or any(found.values())
    records, used = [], set(found.values())
    for name, mask in found.items():
        image = image_files.get(name, [None])[0]
        if image is None:
            faults.append(f"{images / name}.jpg: missing, though {list_path} names it")
        elif image in used and not list_path:  # as the mask of another image
            continue
        elif labelled and mask is None:
            faults.append(f"{masks / name}.png: missing, though there is {image}")
        else:
            records.append(Record(name, image, mask))
    if not list_path:
        used |= {files[0] for files in image_files.values()}
        alone = sorted(path for path, *_ in mask_files.values() if path not in used)
        alone = [path for path in alone if path.suffix.lower() in MASK_SUFFIXES]
        faults += [f"{path}: has no image in {images}" for path in alone]
        if not names:
            faults.append(f"{images}: no images here ({', '.join(IMAGE_SUFFIXES)})")
    return tuple(records)


def _by_name(folder: Path, suffixes: Sequence[str]) -> _Files:
    """Return {name: files}, earlier endings first; in a folder of folders their names count."""
    files = files_in(folder, suffixes) or [
        file
        for inside in sorted(folder.rglob("*/"))
        if not any(part[0] == "." for part in inside.relative_to(folder).parts)
        for file in files_in(inside, suffixes)
    ]
    found: _Files = {}
    for path in sorted(files, key=lambda p: suffixes.index(p.suffix.lower())):
        name = "_".join(path.relative_to(folder).with_suffix("").parts)
        found.setdefault(_plain(name), []).append(path)
    return found


def _mask_of(name: str, image_files: _Files, mask_files: _Files) -> Path | None:
    """Return the mask of an image: the one of its name, or the only one named as its mask."""
    image = image_files.get(name, [None])[0]
    same = [path for path in mask_files.get(name, ()) if path != image]
    marked = [
        mask_files[key][0]
        for key in (name.removesuffix(_IMAGE_MARK) + mark for mark in _MASK_MARKS)
        # a file of the images' folder belongs to this image only if it is the mask itself
        if key in mask_files and image_files.get(key, mask_files[key])[0] == mask_files[key][0]
    ]
    return same[0] if same else marked[0] if len(marked) == 1 else None


def _plain(name: str) -> str:
    """Return a name as it is compared: accents composed, without invisible characters."""
    if name.isascii():
        return name
    composed = unicodedata.normalize("NFC", name)
    return "".join(c for c in composed if unicodedata.category(c) != "Cf")


def _named(line: str, known: Container[str]) -> str:
    """Return what a line names: the longest of `known` that it begins with, else all of it."""
    ends = [len(line), *(space.start() for space in re.finditer(r"\s+", line))]
    whole = ""
    for end in sorted(ends, reverse=True):
        *folders, file = re.split(r"[/\\]", line[:end])
        suffix = Path(file).suffix
        if suffix.lower() in (*IMAGE_SUFFIXES, *MASK_SUFFIXES):
            file = file.removesuffix(suffix)
        whole = whole or file
        parts = [*folders[-_DEPTH:], file]
        for at in range(len(parts)):
            if (name := "_".join(parts[at:])) in known:
                return name
    return whole
