"""Decoded images in memory, and batches of them as tf.data.

A training batch is a function of (seed, position) alone, position = step * batch size + place in
the batch: neither the number of threads nor the step at which a run resumes changes a bit of it.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fcnlib.augmentation import augment, mix_classes
from fcnlib.config import DataConfig
from fcnlib.datasets.image_io import Palette, read_pair
from fcnlib.datasets.records import Record
from fcnlib.errors import InputError
from fcnlib.labels import LabelSet
from fcnlib.preprocessing import preprocess
from fcnlib.runtime import distributed, progress
from fcnlib.runtime.compat import tf

CACHE_BYTES = 2 << 30
_THREADS = 2
_MANY = 1000  # pairs that take long enough to check for a progress bar


class ImageStore:
    """The image-mask pairs of a split by index, decoded once and cached up to a number of bytes."""

    def __init__(
        self,
        records: Sequence[Record],
        labels: LabelSet,
        limit: int = CACHE_BYTES,
        split: str = "a split",
        seen: Palette | None = None,
    ):
        """Hold records, at least one, each with a mask; nothing is read yet.

        Beyond `limit` bytes pairs are read again every time. Stores that share `seen` must agree in
        the palettes of their masks.
        """
        if not records:
            raise InputError(f"{split}: no images, nothing to read; look at the list of the split")
        self.split, self.records, self.labels = split, tuple(records), labels
        self.names = tuple(record.name for record in records)
        self.sizes: tuple[tuple[int, ...], ...] = ()  # (H, W) of every pair, from `verify`
        self._limit, self._seen = limit, {} if seen is None else seen
        self._cache: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._bytes, self._lock = 0, threading.Lock()
        self._counts: np.ndarray | None = None  # int64 [images, C], from `verify`
        self._failure: InputError | None = None  # the last one, which TensorFlow would hide

    def __len__(self) -> int:
        return len(self.records)

    def fetch(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (image uint8 [H, W, 3], mask uint8 [H, W] of 0..C-1 or 255), not to be changed.

        Several threads may call this at once; an InputError is that of `read_pair`.
        """
        if (index := int(index)) in self._cache:
            return self._cache[index]
        try:
            pair = read_pair(self.records[index], self.labels, self._seen)
        except InputError as error:
            self._failure = error
            raise
        size = sum(array.nbytes for array in pair)
        with self._lock:
            if index not in self._cache and self._bytes + size <= self._limit:
                self._cache[index] = pair
                self._bytes += size
        return pair

    def verify(self) -> None:
        """Read every pair once, so that a bad file stops the work before it begins.

        Raises:
            InputError: as `read_pair`, for the first file refused; or no pixel at all is labelled.
        """
        if self._counts is not None:
            return
        classes, shown, looks = self.labels.num_classes, len(self) * (len(self) >= _MANY), []

        def look(index: int) -> tuple[np.ndarray, tuple[int, ...]]:
            mask = self.fetch(index)[1]  # [H, W]
            return np.bincount(mask.ravel(), minlength=256)[:classes], mask.shape

        with ThreadPoolExecutor(_THREADS) as pool, progress.bar(shown, "checking", "pair") as bar:
            for seen in pool.map(look, range(len(self))):
                looks.append(seen)
                bar.update()
        counts, self.sizes = zip(*looks, strict=True)
        self._counts = np.array(counts, np.int64)  # [images, C]
        if not self._counts.any():
            raise InputError(
                f"{self.split}: no pixel of its {len(self)} masks is labelled, beginning with "
                f"{self.records[0].label_path}; nothing can be learned or scored there"
            )

    def class_pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return two int64 [C]: pixels of a class, labelled pixels of the images it occurs in."""
        self.verify()
        labelled = self._counts.sum(axis=1, keepdims=True)  # [images, 1]
        return self._counts.sum(axis=0), np.where(self._counts > 0, labelled, 0).sum(axis=0)

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn TensorFlow's error for a refused file of this store back into the InputError."""
        try:
            yield
        except tf.errors.OpError as error:
            if self._failure:
                raise self._failure from error
            raise


def order(count: int, seed: int, start: int, stop: int) -> np.ndarray:
    """Return the images of an endless sequence shuffled by epochs, int32 [stop - start].

    Args:
        count: images in the split; each epoch holds every image once.
        seed: of the run.
        start: first position.
        stop: position after the last.
    """
    epochs = range(start // count, -(-stop // count))
    shuffled = [np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs]
    first = epochs.start * count
    return np.concatenate([*shuffled, []])[start - first : stop - first].astype(np.int32)


def train_batches(
    store: ImageStore, data: DataConfig, batch_size: int, seed: int, start_step: int, steps: int
) -> tf.data.Dataset:
    """Return the training batches of steps start_step .. start_step + steps - 1.

    Args:
        store: the training images.
        data: gives crop_size S and how images are varied.
        batch_size: of all processes together; each makes its share B of every batch.
        seed: of the run.
        start_step: steps done before.
        steps: how many batches.

    Returns:
        Dataset of {image float32 [B, S, S, 3] in [-1, 1], label uint8 [B, S, S] with 255 = void or
        padding, index int32 [B]}.

    Raises:
        InputError: min_scale is above max_scale, or a file is refused; all are read first.
    """
    if data.min_scale > data.max_scale:
        raise InputError(f"min_scale = {data.min_scale} is above max_scale = {data.max_scale}")
    store.verify()
    first, last = start_step * batch_size, (start_step + steps) * batch_size
    rank, size = distributed.rank(), distributed.size()

    def read(index):
        image, mask = tf.numpy_function(store.fetch, [index], [tf.uint8, tf.uint8])
        return tf.ensure_shape(image, (None, None, 3)), tf.ensure_shape(mask, (None, None))

    def sample(position, index):
        crop = augment(*read(index), seed, position, data)
        if data.classmix_prob:
            crop = mix_classes(crop, read, len(store), seed, position, data)
        return {"image": crop[0], "label": crop[1], "index": index}

    sequence = (np.arange(first, last), order(len(store), seed, first, last))
    sequence = tuple(s.reshape(steps, size, -1)[:, rank].ravel() for s in sequence)
    samples = tf.data.Dataset.from_tensor_slices(sequence).map(sample, _THREADS)
    return prefetched(samples.batch(batch_size // size, drop_remainder=True))


def eval_batches(store: ImageStore, batch_size: int) -> tf.data.Dataset:
    """Return every image once, at its native size, in batches of at most so many of one size.

    A refused file is an InputError before the first batch. Processes take batches in turn: an image
    is in the same batch, whose size decides its last bits, however many they are.

    Returns:
        Dataset of {image float32 [B, H, W, 3] in [-1, 1], label uint8 [B, H, W] with 255 = void,
        index int32 [B]}. Where sizes are mixed the images do not come in the order of their index.
    """
    store.verify()
    indices = np.arange(len(store), dtype=np.int32)
    mine = indices[indices // batch_size % distributed.size() == distributed.rank()]
    size_of, groups = store.sizes.__getitem__, []
    for _, alike in itertools.groupby(sorted(mine, key=size_of), size_of):
        alike = list(alike)
        groups += [alike[at : at + batch_size] for at in range(0, len(alike), batch_size)]

    def fetch(index):
        images, masks = zip(*map(store.fetch, index), strict=True)
        return np.stack(images), np.stack(masks)

    def batch(index):
        images, masks = tf.numpy_function(fetch, [index], [tf.uint8, tf.uint8])
        images = tf.ensure_shape(images, (None, None, None, 3))
        masks = tf.ensure_shape(masks, (None, None, None))
        return {"image": preprocess(images), "label": masks, "index": index}

    places = tf.ragged.constant(groups, tf.int32, ragged_rank=1)
    return prefetched(tf.data.Dataset.from_tensor_slices(places).map(batch, _THREADS))


def prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Return batches in a fixed order, made beside the network by a few threads of their own."""
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = _THREADS
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
