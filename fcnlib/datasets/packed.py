"""Packed data sets: images and masks as they were, in shards of GZIP-compressed TFRecords.

A shard is read whole, checked against the SHA-256 in the index, and kept in memory: its bytes are
those of the files, which the network gets decoded. Any TensorFlow program can read the shards with
`tf.data.TFRecordDataset(path, "GZIP")`; reading them here needs none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet

INDEX = "index.json"
VERSION = 1


class Shard:
    """One file of records, loaded when the first of them is wanted.

    Attributes:
        path: of the file.
        sha256: what its digest must be, hex.
    """

    def __init__(self, path: Path, sha256: str):
        """Remember a file; nothing is read yet.

        Args:
            path: of the file.
            sha256: what its digest must be, hex.
        """
        self.path, self.sha256 = path, sha256

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What the shard holds: {file name in it: its bytes}.

        Raises:
            InputError: it is missing or not as it was packed.
        """
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.path}: {error.strerror}; pack the data set again") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{self.path}: not as it was packed; pack the data set again")
        try:
            return {
                features[f"{kind}/name"].decode(): features[f"{kind}/bytes"]
                for features in map(parse_example, _records(_unpacked(data)))
                for kind in ("image", "mask")
            }
        except (OSError, EOFError, zlib.error, ValueError, KeyError, IndexError) as error:
            raise InputError(f"{self.path}: no shard of pairs ({error})") from None


def _unpacked(data: bytes) -> bytes:
    most = max(16 * len(data), 2**28)  # pictures are packed already: more is a bomb
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        unpacked = file.read(most + 1)
    if len(unpacked) > most:
        raise ValueError(f"unpacks to more than {most} bytes")
    return unpacked


class PackedFile:
    """A file inside a shard; `reading` takes it for a path.

    Attributes:
        name: such as "images/2007_000032.jpg", without folders.
        stem: the name without its ending.
        suffix: its ending.
    """

    def __init__(self, shard: Shard, entry: str):
        """Point at a file of a shard.

        Args:
            shard: where it is.
            entry: its name in there, "image/NAME.jpg" or "mask/NAME.png".
        """
        self._shard, self._entry = shard, entry
        path = Path(entry)
        self.name, self.stem, self.suffix = path.name, path.stem, path.suffix

    def __str__(self) -> str:
        return f"{self._shard.path}: {self._entry}"

    def __lt__(self, other: PackedFile) -> bool:
        return str(self) < str(other)

    def read_bytes(self) -> bytes:
        """Return what the file holds.

        Raises:
            InputError: the shard is missing, damaged, or does not hold it.
        """
        if self._entry not in self._shard.files:
            raise InputError(f"{self}: not in the shard; pack the data set again")
        return self._shard.files[self._entry]


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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{root / INDEX}: damaged ({error}); pack the data set again") from None


def _described(root: Path, index: dict[str, Any]) -> Dataset:
    labels = LabelSet.from_dict(index["labels"])
    splits = {}
    for split, shards in index["splits"].items():
        records: list[Record] = []
        for entry in shards:
            shard = Shard(root / entry["file"], entry["sha256"])
            records += [
                Record(name, PackedFile(shard, image), PackedFile(shard, mask))
                for name, image, mask in entry["records"]
            ]
        for name in (*(entry["file"] for entry in shards), *(one.name for one in records)):
            if name in ("", "..") or name != Path(name).name:  # answers are written by this name
                raise ValueError(f"{name!r} is no plain name")
        splits[split] = tuple(records)
    return Dataset(index["name"], root, labels, splits)


def _records(data: bytes) -> Iterator[bytes]:
    """Split a TFRecord file: length (8 bytes), its CRC (4), the record, its CRC (4), and so on."""
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 8], "little")
        yield data[at + 12 : at + 12 + length]
        at += length + 16


def parse_example(data: bytes) -> dict[str, bytes]:
    """Read a `tf.train.Example` whose features are single byte strings.

    Args:
        data: the serialized message.

    Returns:
        {feature: value}.

    Source: tensorflow/core/example/example.proto and feature.proto; the encoding is Protocol
        Buffers' for length-delimited fields.
    """
    features = {}
    for _, message in _fields(data):
        for _, entry in _fields(message):
            parts = dict(_fields(entry))  # 1: the key, 2: the Feature
            for _, values in _fields(parts[2]):
                features[parts[1].decode()] = dict(_fields(values)).get(1, b"")
    return features


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 != 2:
            raise ValueError(f"field {tag >> 3} is no string of bytes")
        size, at = _varint(data, at)
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
