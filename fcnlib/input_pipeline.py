"""Batches as tf.data: training crops in an order that can be resumed, evaluation images one by one.

What a training batch holds is a function of (seed, position) alone, position = step * batch size +
place in the batch: neither the number of threads nor where a run was resumed changes a bit of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fcnlib.augmentation import augment, augment_object, centre_object, mix_classes
from fcnlib.config import DataConfig
from fcnlib.datasets.image_io import read_image
from fcnlib.datasets.records import files_in
from fcnlib.errors import InputError
from fcnlib.image_store import Cache, ImageStore
from fcnlib.labels import SHAPES
from fcnlib.runtime.compat import tf
from fcnlib.runtime.distributed import part, rank, size

_THREADS = 2


def order(count: int, seed: int, start: int, stop: int) -> np.ndarray:
    """Return which image stands at each position of the endless shuffled sequence.

    Args:
        count: images in the split.
        seed: of the run.
        start: first position.
        stop: position after the last.

    Returns:
        int32 [stop - start], 0..count-1; each stretch of `count` positions that begins at a
        multiple of `count` holds every image once.
    """
    epochs = range(start // count, -(-stop // count))
    shuffled = [np.random.default_rng([seed, epoch]).permutation(count) for epoch in epochs]
    first = epochs.start * count
    return np.concatenate([*shuffled, []])[start - first : stop - first].astype(np.int32)


def train_batches(
    store: ImageStore, data: DataConfig, batch_size: int, seed: int, start_step: int, steps: int
) -> tf.data.Dataset:
    """Return the training batches of steps start_step .. start_step + steps - 1.

    Several workers share every batch: each gets its part, so that B is their share of it.

    Args:
        store: the training images.
        data: gives crop_size S and how images are varied.
        batch_size: B, of all workers together.
        seed: of the run.
        start_step: steps done before.
        steps: how many batches.

    Returns:
        Dataset of {image float32 [B, S, S, 3] in [-1, 1], label uint8 [B, S, S] with 255 = void or
        padding, index int32 [B]}.

    Raises:
        InputError: a setting of `data` makes no sense, or a file of the split is refused; all are
            read before the first batch.
    """
    _check(data)
    store.verify()
    first, last = start_step * batch_size, (start_step + steps) * batch_size

    def read(index):
        return _read(store.fetch, index, (3, 2))

    def sample(position, index):
        crop = augment(*read(index), seed, position, data)
        if data.class_mix:
            crop = mix_classes(crop, read, len(store), seed, position, data)
        return {"image": crop[0], "label": crop[1], "index": index}

    mine = part(batch_size)
    sequence = (np.arange(first, last), order(len(store), seed, first, last))
    sequence = tuple(s.reshape(steps, batch_size)[:, mine].ravel() for s in sequence)
    samples = tf.data.Dataset.from_tensor_slices(sequence).map(sample, _THREADS)
    return _ready(samples.batch(mine.stop - mine.start, drop_remainder=True))


def _check(data: DataConfig) -> None:
    if data.crop_size < 1:
        raise InputError(f"crop_size = {data.crop_size}: it must be at least 1")
    if not 0 < data.min_scale <= data.max_scale:
        raise InputError(
            f"min_scale = {data.min_scale}, max_scale = {data.max_scale}: need 0 < min <= max"
        )
    for name in ("colour_jitter", "tint_jitter"):
        if not 0 <= getattr(data, name) < 1:
            raise InputError(f"{name} = {getattr(data, name)}: it must be in 0..1, 1 excluded")
    if not 0 <= data.class_mix <= 1:
        raise InputError(f"class_mix = {data.class_mix}: it must be in 0..1")


def eval_batches(store: ImageStore, batch_size: int) -> tf.data.Dataset:
    """Return every image once, at its native size, batched with images of the same size.

    Several workers share the images, a batch in turn, so that images of one size come in the same
    batches as they would to one: whom an image is batched with decides its last bits.

    Args:
        store: the images to evaluate on.
        batch_size: images in a batch, at most.

    Returns:
        Dataset of {image float32 [B, H, W, 3] in [-1, 1], label uint8 [B, H, W] with 255 = void,
        index int32 [B]}. Where sizes are mixed the images do not come in the order of their index.

    Raises:
        InputError: a file of the split is refused; all are read before the first batch.
    """
    store.verify()

    def sample(index, number):
        image, mask = _read(store.fetch, index, (3, 2))
        return {"image": image, "label": mask, "index": index, "batch": number}

    def normalize(batch):
        del batch["batch"]
        return batch | {"image": tf.cast(batch["image"], tf.float32) / 127.5 - 1.0}

    indices = np.arange(len(store), dtype=np.int32)
    indices = indices[indices // batch_size % size() == rank()]
    groups = _of_one_size(indices, store.sizes, batch_size)
    images = tf.data.Dataset.from_tensor_slices(
        (
            np.array([index for group in groups for index in group], np.int32),
            np.array([number for number, group in enumerate(groups) for _ in group], np.int64),
        )
    ).map(sample, _THREADS)
    # A batch at a time: it is given on as soon as its last image has come.
    counts = tf.constant([len(group) for group in groups], tf.int64)
    batches = images.group_by_window(
        lambda item: item["batch"],
        lambda _, group: group.batch(batch_size),
        window_size_func=lambda number: counts[number],
    )
    return _ready(batches.map(normalize, _THREADS))


def _of_one_size(
    indices: np.ndarray, sizes: Sequence[tuple[int, ...]], most: int
) -> list[list[int]]:
    """Share images out to batches: full ones in order, then what is left of each size."""
    full, begun = [], {}
    for index in indices:
        group = begun.setdefault(sizes[index], [])
        group.append(index)
        if len(group) == most:
            full.append(begun.pop(sizes[index]))
    return full + [begun[size] for size in sorted(begun)]


def class_files(
    folder: Path, classes: Sequence[str] = SHAPES.classes
) -> tuple[tuple[Path, ...], np.ndarray, tuple[str, ...]]:
    """List the pictures of single objects, a folder for each class.

    Args:
        folder: holds CLASS/*.jpg and the like, such as `objects/train` of the shapes.
        classes: the names the folders may have, by class index.

    Returns:
        (paths sorted by class and name, labels int32 [N] of 0..len(classes)-1, classes).

    Raises:
        InputError: the folder is missing, holds another folder, or has no picture of some class.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; generate the shapes first")
    found = {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}
    for name in sorted(found - set(classes)):
        raise InputError(f"{folder / name}: no class has this name; use {', '.join(classes)}")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = files_in(folder / name)
        if not files:
            raise InputError(f"{folder / name}: no pictures of this class; add some")
        paths += files
        labels += [label] * len(files)
    return tuple(paths), np.array(labels, np.int32), tuple(classes)


def class_batches(
    paths: Sequence[Path],
    labels: np.ndarray,
    crop: int,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    steps: int = 0,
    training: bool = False,
) -> tf.data.Dataset:
    """Return batches of single-object pictures for the classifier.

    Args:
        paths: the pictures, N.
        labels: int32 [N], class of each.
        crop: side of the crops, pixels.
        batch_size: B; in evaluation the last batch may be smaller.
        seed: of the run; training only, as start_step and steps.
        start_step: steps done before.
        steps: how many batches.
        training: vary the pictures, in shuffled order without end; else each once, central crop.

    Returns:
        Dataset of {image float32 [B, crop, crop, 3] in [-1, 1], 0 where padded, label int32 [B],
        index int32 [B]}.
    """
    first = start_step * batch_size if training else 0
    last = first + steps * batch_size if training else len(paths)
    indices = order(len(paths), seed, first, last) if training else np.arange(last, dtype=np.int32)
    cache = Cache(lambda index: (read_image(paths[index]),))
    classes = np.asarray(labels, np.int32)[indices]

    def sample(position, index, label):
        (image,) = _read(cache.fetch, index, (3,))
        image = (
            augment_object(image, seed, position, crop) if training else centre_object(image, crop)
        )
        return {"image": image, "label": label, "index": index}

    items = tf.data.Dataset.from_tensor_slices((np.arange(first, last), indices, classes))
    return _ready(items.map(sample, _THREADS).batch(batch_size, drop_remainder=training))


def _read(
    fetch: Callable[[int], tuple[np.ndarray, ...]], index, ranks: Sequence[int]
) -> list[tf.Tensor]:
    arrays = tf.numpy_function(lambda i: list(fetch(int(i))), [index], [tf.uint8] * len(ranks))
    return [
        tf.ensure_shape(array, (None, None, 3) if rank == 3 else (None, None))
        for array, rank in zip(arrays, ranks, strict=True)
    ]


def _ready(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Threads of its own, and few: the pipeline must neither wait for the network nor crowd it out.
    options.threading.private_threadpool_size = _THREADS
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)
