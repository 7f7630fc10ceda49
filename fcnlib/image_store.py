"""Decoded images in memory, by index, as many as a number of bytes allows."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fcnlib.datasets.image_io import Palette, read_pair
from fcnlib.datasets.records import Record
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet
from fcnlib.runtime import progress
from fcnlib.runtime.compat import tf

CACHE_BYTES = 2 << 30
_THREADS = 2
_MANY = 1000  # pairs whose reading takes long enough for a bar


class Cache:
    """Keep what `read(index)` returns, a tuple of arrays, until a number of bytes is reached.

    Attributes:
        bytes: how much is kept.
        failure: the last InputError that `read` raised.
    """

    def __init__(self, read: Callable[[int], tuple[np.ndarray, ...]], limit: int = CACHE_BYTES):
        """Start empty.

        Args:
            read: makes the arrays of an index.
            limit: bytes to keep; what is beyond is read again every time.
        """
        self._read, self._limit = read, limit
        self._kept: dict[int, tuple[np.ndarray, ...]] = {}
        self._lock = threading.Lock()
        self.bytes = 0
        self.failure: InputError | None = None

    def fetch(self, index: int) -> tuple[np.ndarray, ...]:
        """Return what `read(index)` returns, from memory where it is kept."""
        kept = self._kept.get(int(index))
        if kept is not None:
            return kept
        try:
            arrays = self._read(int(index))
        except InputError as error:
            self.failure = error
            raise
        size = sum(array.nbytes for array in arrays)
        with self._lock:
            if index not in self._kept and self.bytes + size <= self._limit:
                self._kept[int(index)] = arrays
                self.bytes += size
        return arrays


class ImageStore:
    """The images and masks of a split by index, decoded once and kept in memory as far as it goes.

    Attributes:
        split: what they are called in an error.
        records: what to read; the place in the tuple is the index.
        labels: the label set of the masks.
        names: the records' names, by index.
        sizes: (H, W) of every pair, by index; known once `verify` has read them.
    """

    def __init__(
        self,
        records: Sequence[Record],
        labels: LabelSet,
        limit: int = CACHE_BYTES,
        split: str = "a split",
        seen: Palette | None = None,
    ):
        """Hold records; nothing is read yet.

        Args:
            records: at least one, each with a mask.
            labels: the label set of the masks.
            limit: bytes of decoded pairs to keep; what is beyond is read again every time.
            split: what to call them in an error.
            seen: what stores of one data set share, so that the palettes of all masks agree.

        Raises:
            InputError: there are no records.
        """
        if not records:
            raise InputError(f"{split}: no images, nothing to read; look at the list of the split")
        self.split, self.records, self.labels = split, tuple(records), labels
        self.names = tuple(record.name for record in records)
        seen = {} if seen is None else seen
        self._cache = Cache(lambda index: read_pair(self.records[index], labels, seen), limit)
        self._counts: np.ndarray | None = None  # int64 [images, C], from `verify`
        self.sizes: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.records)

    def fetch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a pair, from memory or from disk; several threads may call this at once.

        Args:
            index: 0..len-1.

        Returns:
            (image uint8 [H, W, 3], mask uint8 [H, W] of 0..C-1 or 255), not to be written to.

        Raises:
            InputError: as `read_pair`.
        """
        return self._cache.fetch(index)

    def verify(self) -> None:
        """Read every pair once, so that a bad file stops the work before it begins.

        Raises:
            InputError: as `read_pair`, for the first file that is refused; or no pixel of all the
                masks is labelled.
        """
        if self._counts is not None:
            return
        classes, shown = self.labels.num_classes, len(self) if len(self) >= _MANY else 0

        def look(index: int) -> tuple[np.ndarray, tuple[int, ...]]:
            mask = self.fetch(index)[1]
            return np.bincount(mask.ravel(), minlength=256)[:classes], mask.shape

        with ThreadPoolExecutor(_THREADS) as pool, progress.bar(shown, "checking", "pair") as bar:
            looks = []
            for seen in pool.map(look, range(len(self))):
                looks.append(seen)
                bar.update()
        self._counts = np.array([counts for counts, _ in looks], np.int64)
        self.sizes = [size for _, size in looks]
        if not self._counts.any():
            raise InputError(
                f"{self.split}: no pixel of its {len(self)} masks is labelled, beginning with "
                f"{self.records[0].label_path}; nothing can be learned or scored there"
            )

    def class_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Count the pixels of every class over all masks.

        Returns:
            (int64 [C], pixels of the class; int64 [C], labelled pixels of the images it occurs in).

        Raises:
            InputError: as `verify`.
        """
        self.verify()
        labelled = self._counts.sum(axis=1, keepdims=True)  # [images, 1]
        return self._counts.sum(axis=0), np.where(self._counts > 0, labelled, 0).sum(axis=0)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn TensorFlow's error for a file that cannot be read back into the InputError it was.

        Raises:
            InputError: a file was refused while the block took batches of this store.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self._cache.failure is None:
                raise
            raise self._cache.failure from error
