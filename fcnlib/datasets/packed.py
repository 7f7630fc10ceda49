"""Packed data sets: images and masks as they were, in shards of GZIP-compressed TFRecords.

Each record is compressed by itself and the index says where it lies, so a pair is read alone, in
any order, and nothing stays in memory. Any TensorFlow program can read the shards as a whole with
`tf.data.TFRecordDataset(path, "GZIP")`; reading them here needs none.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet

INDEX = "index.json"
VERSION = 2
_MOST = 2**28  # bytes of a pair uncompressed; more is a bomb


@dataclass(frozen=True, order=True)
class PackedFile:
    """A file inside a shard; `reading` takes it for a path. One of equal name and content is equal.

    Attributes:
        entry: its kind and name, such as "image/2007_000032.jpg".
        sha256: of what it holds, hex.
        shard: the file of records that it is in.
        record: offset and size of its record in the shard, bytes.
        place: offset and size of what it holds in the record uncompressed, bytes.
    """

    entry: str
    sha256: str
    shard: Path = field(compare=False)
    record: tuple[int, int] = field(compare=False)
    place: tuple[int, int] = field(compare=False)

    @property
    def name(self) -> str:
        """Its name without folders."""
        return Path(self.entry).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return Path(self.entry).stem

    @property
    def suffix(self) -> str:
        """The ending of its name."""
        return Path(self.entry).suffix

    def __str__(self) -> str:
        return f"{self.shard}: {self.entry}"

    def read_bytes(self) -> bytes:
        """Return what the file holds.

        Raises:
            InputError: the shard is missing or damaged.
        """
        start, length = self.place
        try:
            data = _uncompressed(self.shard, *self.record)[start : start + length]
        except FileNotFoundError:
            raise InputError(f"{self.shard}: missing; pack the data set again") from None
        except (OSError, ValueError, zlib.error) as error:
            raise InputError(f"{self}: {error}; pack the data set again") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{self}: not as it was packed; pack the data set again")
        return data


@lru_cache(maxsize=4)  # a mask is asked for right after its image
def _uncompressed(shard: Path, at: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(at)
        packed = file.read(min(size, _MOST))
    return zlib.decompressobj(31).decompress(packed, _MOST)  # 31: with GZIP's frame


def open_packed(root: Path) -> Dataset:
    """Open a folder that `fcnlib data pack` wrote.

    Args:
        root: the folder with index.json.

    Returns:
        The data set, under the name and with the records that it was packed from.

    Raises:
        InputError: there is no index, or it is of another version.
    """
    try:
        index = json.loads((root / INDEX).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise InputError(
            f"{root}: no packed data set (no readable {INDEX}); `fcnlib data pack` makes one"
        ) from None
    if not isinstance(index, dict) or index.get("version") != VERSION:
        raise InputError(f"{root / INDEX}: of another version; pack the data set again")
    try:
        return _described(root, index)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{root / INDEX}: damaged ({error}); pack the data set again") from None


def _described(root: Path, index: dict[str, Any]) -> Dataset:
    labels = LabelSet.from_dict(index["labels"])
    pairs = [_record(root, entry) for entry in index["pairs"]]
    splits = {split: tuple(pairs[i] for i in places) for split, places in index["splits"].items()}
    return Dataset(index["name"], root, labels, splits)


def _record(root: Path, entry: dict[str, Any]) -> Record:
    name, shard, record = entry["name"], entry["shard"], _extent(entry["record"])
    for plain in (name, shard):
        if plain in ("", "..") or plain != Path(plain).name:  # answers are written by this name
            raise ValueError(f"{plain!r} is no plain name")
    files = [
        PackedFile(str(file), str(sha256), root / shard, record, _extent(place))
        for file, sha256, place in (entry["image"], entry["mask"])
    ]
    return Record(name, *files)


def _extent(numbers: list[int]) -> tuple[int, int]:
    at, size = map(int, numbers)
    if min(at, size) < 0:
        raise ValueError(f"{numbers} is no place in a file")
    return at, size
