"""Packed data sets: the files of image pairs, unchanged, in shards of TFRecords with an index.

Every record is compressed by itself and the index holds its place, so a pair is read alone, in any
order, without TensorFlow. `tf.data.TFRecordDataset(path, "GZIP")` reads a shard as a whole.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from fcnlib.datasets.image_io import read_pair
from fcnlib.datasets.records import Dataset, Record
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet
from fcnlib.runtime import files, progress

INDEX, VERSION = "index.json", 2
SHARD = 512  # pairs in a file
_MOST = 2**28  # bytes of a pair uncompressed; more is a bomb


@dataclass(frozen=True)
class PackedFile:
    """A file inside a shard, read like a path; equal where name and content are equal."""

    entry: str  # kind and name, such as "image/2007_000032.jpg"
    sha256: str  # of the content, hex
    shard: Path = field(compare=False)
    record: tuple[int, int] = field(compare=False)  # offset and size in the shard, bytes
    place: tuple[int, int] = field(compare=False)  # of the content in the uncompressed record

    name = property(lambda self: Path(self.entry).name)
    stem = property(lambda self: Path(self.entry).stem)
    suffix = property(lambda self: Path(self.entry).suffix)

    def __str__(self) -> str:
        return f"{self.shard}: {self.entry}"

    def read_bytes(self) -> bytes:
        """Return the content.

        Raises:
            InputError: the shard is missing or damaged.
        """
        start, length = self.place
        try:
            data = _uncompressed(self.shard, *self.record)[start : start + length]
        except (OSError, ValueError, zlib.error) as error:
            raise InputError(f"{self}: {error}; pack the data set again") from None
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise InputError(f"{self}: not as it was packed; pack the data set again")
        return data


@lru_cache(maxsize=4)  # a mask is read right after its image
def _uncompressed(shard: Path, at: int, size: int) -> bytes:
    with shard.open("rb") as file:
        file.seek(at)
        return zlib.decompressobj(31).decompress(file.read(min(size, _MOST)), _MOST)  # 31: GZIP


def open_packed(root: Path) -> Dataset:
    """Open a folder that `pack` wrote, under the name of the data set that was packed.

    Raises:
        InputError: no readable index, or one of another version.
    """
    index = files.read_json(root / INDEX)
    if not isinstance(index, dict) or index.get("version") != VERSION:
        raise InputError(f"{root}: no packed data of this version; make them by `fcnlib data pack`")
    try:
        pairs = [_record(root, entry) for entry in index["pairs"]]
        splits = {split: tuple(pairs[i] for i in own) for split, own in index["splits"].items()}
        return Dataset(index["name"], root, LabelSet.from_dict(index["labels"]), splits)
    except Exception as error:  # a damaged index fails anywhere above
        raise InputError(f"{root / INDEX}: damaged ({error!r}); pack the data set again") from None


def _record(root: Path, entry: dict[str, Any]) -> Record:
    for plain in (entry["name"], entry["shard"]):
        if plain in ("", "..") or plain != Path(plain).name:  # predictions are saved by this name
            raise ValueError(f"{plain!r} is no plain name")
    both = []
    for name, digest, place in (entry["image"], entry["mask"]):
        places = [(int(at), int(size)) for at, size in (entry["record"], place)]
        both.append(PackedFile(str(name), str(digest), root / entry["shard"], *places))
    return Record(entry["name"], *both)


def pack(dataset: Dataset, target: Path) -> Dataset:
    """Write images and masks, byte for byte, into indexed shards; open them as a data set.

    A pair in several splits is written once; a split without masks is left out.

    Raises:
        InputError: the target exists, a pair is faulty, or no split has masks.
    """
    if target.exists():
        raise InputError(f"{target}: is there already; choose another folder")
    every = {split: dataset.records(split) for split in dataset.splits}
    chosen = {s: r for s, r in every.items() if r and all(pair.label_path for pair in r)}
    if not chosen:
        raise InputError(f"{dataset.root}: no split with masks to pack")
    pairs = list(dict.fromkeys(pair for records in chosen.values() for pair in records))
    index = {"version": VERSION, "name": dataset.name, "labels": dataset.labels.to_dict()}
    number = {pair: i for i, pair in enumerate(pairs)}
    index["splits"] = {s: [number[pair] for pair in records] for s, records in chosen.items()}
    with files.scratch(target) as half:
        half.mkdir()
        files.write_json(half / INDEX, index | {"pairs": _write(dataset, half, pairs)})
        half.rename(target)
    return open_packed(target)


def _write(dataset: Dataset, folder: Path, pairs: Sequence[Record]) -> list[dict[str, Any]]:
    from fcnlib.runtime.compat import tf  # late: reading needs none

    entries, seen, shards, one = [], {}, -(-len(pairs) // SHARD), folder / "one"
    with progress.bar(len(pairs), f"packing {dataset.name}", "pair") as bar:
        for number, pair in enumerate(pairs):
            read_pair(pair, dataset.labels, seen)  # refuses a faulty one
            path = folder / f"pairs-{number // SHARD:05d}-of-{shards:05d}.tfrecord.gz"
            contents, feature = {}, {}
            for kind, file in (("image", pair.image_path), ("mask", pair.label_path)):
                entry, data = contents[kind] = f"{kind}/{file.name}", file.read_bytes()
                for key, value in (("name", entry.encode()), ("bytes", data)):
                    feature[f"{kind}/{key}"] = tf.train.Feature(bytes_list={"value": [value]})
            example = tf.train.Example(features={"feature": feature})
            try:
                with tf.io.TFRecordWriter(str(one), "GZIP") as writer:  # one GZIP member a record
                    writer.write(example.SerializeToString(deterministic=True))
            except tf.errors.OpError as error:  # such as a full disk
                raise InputError(f"{folder}: cannot be written ({error.message})") from None
            record, whole = one.read_bytes(), gzip.decompress(one.read_bytes())
            with path.open("ab") as shard:
                at = [shard.tell(), shard.write(record)]
            entries.append({"name": pair.name, "shard": path.name, "record": at})
            for kind, (entry, data) in contents.items():
                place = [whole.index(data), len(data)]
                entries[-1][kind] = [entry, hashlib.sha256(data).hexdigest(), place]
            bar.update(1)
    one.unlink()
    return entries
