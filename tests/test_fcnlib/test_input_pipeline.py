"""Batches: the same whatever the start and the threads, pairs that stay pairs, every image once."""

import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fcnlib import augmentation, input_pipeline
from fcnlib.config import DataConfig
from fcnlib.datasets.records import Record
from fcnlib.errors import InputError
from fcnlib.input_pipeline import ImageStore, eval_batches, order
from fcnlib.labels import SHAPES, VOID
from fcnlib.metrics import confusion_matrix
from fcnlib.runtime import distributed
from fcnlib.runtime.compat import tf

STEP = 25  # in the images below a class differs from the next by this much in every channel
DATA = DataConfig(crop_size=33, colour_jitter=0.0)
SIZES = [(33, 51), (33, 33), (20, 60), (65, 60), (33, 33)]


def patchwork(rng, height, width):
    """Return a mask of rectangles 8 to 20 pixels wide, some void."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(25):
        y, x = rng.integers(-5, height), rng.integers(-5, width)
        side = rng.integers(8, 20, 2)
        value = rng.choice([*range(SHAPES.num_classes), VOID])
        mask[max(y, 0) : y + side[0], max(x, 0) : x + side[1]] = value
    return mask


def write_store(root, sizes=SIZES, limit=input_pipeline.CACHE_BYTES):
    rng = np.random.default_rng(7)
    records = []
    for number, (height, width) in enumerate(sizes):
        mask = patchwork(rng, height, width)
        pixels = np.where(mask == VOID, 0, mask * STEP).astype(np.uint8)
        record = Record(f"r{number}", root / f"{number}.png", root / f"{number}-mask.png")
        Image.fromarray(np.repeat(pixels[..., None], 3, -1)).save(record.image_path)
        Image.fromarray(mask).save(record.label_path)
        records.append(record)
    return ImageStore(records, SHAPES, limit)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("pairs"))


def batches(store, data=DATA, batch_size=4, seed=1, start=0, steps=6):
    made = input_pipeline.train_batches(store, data, batch_size, seed, start, steps)
    return [{k: v.numpy() for k, v in batch.items()} for batch in made]


def assert_same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        for key in ("image", "label", "index"):
            np.testing.assert_array_equal(a[key], b[key])


def differ(one, other):
    return any(not np.array_equal(a["image"], b["image"]) for a, b in zip(one, other, strict=True))


def test_training_batches_have_the_promised_shapes_types_and_ranges(store):
    data = replace(DATA, colour_jitter=0.5)
    made = input_pipeline.train_batches(store, data, 4, 1, 0, 3)
    assert made.element_spec == {
        "image": tf.TensorSpec([4, 33, 33, 3], tf.float32),
        "label": tf.TensorSpec([4, 33, 33], tf.uint8),
        "index": tf.TensorSpec([4], tf.int32),
    }
    found = batches(store, data, steps=30)
    assert len(found) == 30
    images = np.concatenate([b["image"] for b in found])
    assert np.isfinite(images).all() and images.min() >= -1 and images.max() <= 1
    assert images.std() > 0.2
    labels = np.unique([b["label"] for b in found])
    stored = {v for i in range(len(store)) for v in np.unique(store.fetch(i)[1])}
    assert set(labels) == stored | {VOID}


@pytest.mark.parametrize("start", [1, 2, 5])
def test_a_resumed_run_sees_the_very_same_batches(store, start):
    data = replace(DATA, colour_jitter=0.3, classmix_prob=0.5)
    whole = batches(store, data, steps=6)
    assert_same(whole[start:], batches(store, data, start=start, steps=6 - start))


def test_processes_share_every_batch_and_the_images_of_a_split(store, monkeypatch):
    wholes, shares, found = batches(store), [], []
    monkeypatch.setattr(distributed, "size", lambda: 2)
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(batches(store))
        found.append(sorted(i for b in eval_batches(store, 2) for i in b["index"].numpy()))
    for whole, one, other in zip(wholes, *shares, strict=True):
        for key in whole:
            np.testing.assert_array_equal(whole[key], np.concatenate([one[key], other[key]]))
    assert found == [[0, 1, 4], [2, 3]]


def test_a_slow_file_does_not_change_the_order(store, monkeypatch):
    def evaluated():
        return [list(batch["index"].numpy()) for batch in eval_batches(store, 4)]

    expected, real, order_of_evaluation = batches(store), store.fetch, evaluated()

    def slow(index):
        time.sleep(0.1 if index == 1 else 0)
        return real(index)

    monkeypatch.setattr(store, "fetch", slow)
    monkeypatch.setattr(input_pipeline, "_THREADS", 4)
    assert_same(expected, batches(store))
    assert evaluated() == order_of_evaluation


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_threads_changes_nothing(store, monkeypatch, threads):
    expected = batches(store)
    monkeypatch.setattr(input_pipeline, "_THREADS", threads)
    assert_same(expected, batches(store))


def test_the_seed_changes_order_and_crops(store):
    assert_same(batches(store, seed=3), batches(store, seed=3))
    assert differ(batches(store, seed=1), batches(store, seed=2))
    one_image = ImageStore(store.records[:1], SHAPES)
    assert differ(batches(one_image, seed=1), batches(one_image, seed=2))
    first, second = batches(one_image, batch_size=1, steps=2)
    assert not np.array_equal(first["image"], second["image"])


def test_every_epoch_holds_every_image_once_in_an_order_of_its_own():
    sequence = order(7, seed=1, start=0, stop=35).reshape(5, 7)
    np.testing.assert_array_equal(np.sort(sequence, axis=1), np.tile(np.arange(7), (5, 1)))
    assert len({tuple(epoch) for epoch in sequence}) == 5
    assert not np.array_equal(sequence[0], order(7, seed=2, start=0, stop=7))
    for start, stop in [(0, 1), (6, 8), (3, 3), (7, 14), (33, 35)]:
        part = order(7, 1, start, stop)
        np.testing.assert_array_equal(part, sequence.ravel()[start:stop])
        assert part.dtype == np.int32


def test_indices_of_batches_follow_the_order(store):
    found = np.concatenate([b["index"] for b in batches(store, start=2)])
    np.testing.assert_array_equal(found, order(len(store), 1, 8, 32))


def test_eagerly_and_in_a_pipeline_augmentation_gives_the_same(store):
    data = replace(DATA, colour_jitter=0.3)
    position = 0
    for batch in batches(store, data):
        for image, label, index in zip(batch["image"], batch["label"], batch["index"], strict=True):
            eager = augmentation.augment(*store.fetch(index), 1, position, data)
            np.testing.assert_array_equal(label, eager[1])
            np.testing.assert_allclose(image, eager[0], atol=1e-6)
            position += 1


def oracle(image, mask, size, offset, crop):
    """Resize the whole pair with TensorFlow's own functions, then cut or pad by hand."""
    pixels = tf.image.resize(image.astype(np.float32), size, antialias=True).numpy()
    labels = tf.image.resize(mask[..., None], size, method="nearest").numpy()[..., 0]
    out = np.full((crop, crop, 3), 127.5, np.float32), np.full((crop, crop), VOID, np.uint8)
    inner = tuple(
        slice(max(0, -o), max(0, min(crop, s - o))) for s, o in zip(size, offset, strict=True)
    )
    outer = tuple(slice(i.start + o, i.stop + o) for i, o in zip(inner, offset, strict=True))
    out[0][inner], out[1][inner] = pixels[outer], labels[outer]
    return out[0] / 127.5 - 1, out[1]


@pytest.mark.parametrize(
    ("scales", "pads", "cuts"),
    [
        ((0.3, 0.6), True, True),
        ((0.5, 2.0), True, True),
        ((1, 1), True, True),
        ((2.5, 4), False, True),
    ],
)
def test_a_crop_is_what_resizing_the_whole_pair_and_cutting_gives(store, scales, pads, cuts):
    data = replace(DATA, min_scale=scales[0], max_scale=scales[1], flip=False)
    rng = np.random.default_rng(3)
    seen_padding = seen_cut = False
    for position in range(25):
        mask = store.fetch(position % len(store))[1]
        image = rng.integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
        draws = augmentation._draws(1, position)
        scale = scales[0] + (scales[1] - scales[0]) * float(draws[0])
        size, offset = augmentation._place(mask.shape, scale, 33, draws[1:3])
        size, offset = size.numpy(), offset.numpy()
        expected_size = np.array(mask.shape) * scale
        assert np.abs(size - expected_size).max() <= 0.5 + 1e-3
        for s, o in zip(size, offset, strict=True):  # all of the crop, or else all of the image
            assert 0 <= o <= s - 33 if s >= 33 else s - 33 <= o <= 0
            seen_padding, seen_cut = seen_padding or s < 33, seen_cut or s > 33
        found = augmentation.augment(image, mask, 1, position, data)
        expected = oracle(image, mask, size, offset, 33)
        np.testing.assert_array_equal(found[1], expected[1])
        np.testing.assert_allclose(found[0], expected[0], atol=2e-3)
    assert (seen_padding, seen_cut) == (pads, cuts)


@pytest.mark.parametrize(("width", "scale"), [(20_000, 4.0), (36_000, 1.0), (100_000, 0.8)])
def test_a_crop_of_a_very_wide_image_is_the_nearest_pixels(width, scale):
    """By Python's whole numbers, which have no end."""
    size, crop = round(width * scale), 33
    for offset in (0, size // 2, size - crop):
        pair = tf.constant([9, width]), tf.constant([9, size]), tf.constant([0, offset])
        (rows, columns), inside = augmentation._nearest(*pair, crop)
        expected = [(2 * (offset + i) + 1) * width // (2 * size) for i in range(crop)]
        np.testing.assert_array_equal(columns, expected)
        np.testing.assert_array_equal(rows[:9], range(9))
        assert inside[:9].numpy().all() and not inside[9:].numpy().any()


@pytest.mark.parametrize(("side", "low", "high"), [(36, 0, 3), (30, -3, 0), (33, 0, 0)])
def test_every_place_of_the_crop_is_equally_likely(side, low, high):
    corners = [
        augmentation._place([side, side], 1.0, 33, augmentation._draws(1, p)[1:3])[1].numpy()
        for p in range(200)
    ]
    values, counts = np.unique(corners, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(low, high + 1))
    assert counts.min() > 400 / len(values) * 0.7
    extreme = augmentation._place([side, side], 1.0, 33, tf.constant([1.0, 0.0]))[1].numpy()
    assert list(np.abs(extreme)) == [high - low, 0]


def test_image_and_label_move_together(store):
    flat = compared = 0
    for batch in batches(store, steps=40):
        for image, label in zip(batch["image"], batch["label"], strict=True):
            around = np.lib.stride_tricks.sliding_window_view(label, (5, 5))
            inside = (around.min((2, 3)) == around.max((2, 3))) & (around[..., 2, 2] != VOID)
            decoded = (image[2:-2, 2:-2] + 1) * 127.5 / STEP
            truth = label[2:-2, 2:-2][inside]
            assert np.abs(decoded[inside] - truth[:, None]).max() < 0.01
            compared += truth.size
            flat += np.unique(truth).size < 2
    assert compared > 20_000 and flat < 80


def test_padding_is_grey_and_void_whatever_the_colours(store):
    data = replace(DATA, min_scale=0.5, max_scale=0.5, colour_jitter=0.5, crop_size=65)
    image = np.full((40, 40, 3), 255, np.uint8)
    mask = np.full((40, 40), 3, np.uint8)
    for position in range(10):
        pixels, label = (t.numpy() for t in augmentation.augment(image, mask, 1, position, data))
        assert (label == 3).sum() == 400 and (label == VOID).sum() == 65**2 - 400
        assert (pixels[label == VOID] == 0).all()
        assert (pixels[label == 3] > 0.01).all()


def test_flips_are_of_both_and_happen_half_the_time():
    image = np.zeros((33, 33, 3), np.uint8)
    mask = np.zeros((33, 33), np.uint8)
    image[:, 20:], mask[:, 20:] = 255, 1
    data = replace(DATA, min_scale=1.0, max_scale=1.0)
    flipped = 0
    for position in range(60):
        pixels, label = (t.numpy() for t in augmentation.augment(image, mask, 1, position, data))
        np.testing.assert_array_equal(pixels[..., 0] > 0, label == 1)
        flipped += label[0, 0] == 1
        still = augmentation.augment(image, mask, 1, position, replace(data, flip=False))[1].numpy()
        np.testing.assert_array_equal(still, mask)
    assert 15 < flipped < 45


def test_without_change_the_pixels_are_the_image(store):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (33, 33, 3)).astype(np.uint8)
    mask = np.zeros((33, 33), np.uint8)
    data = replace(DATA, min_scale=1.0, max_scale=1.0, flip=False)
    pixels = augmentation.augment(image, mask, 1, 5, data)[0]
    np.testing.assert_allclose(pixels, image / 127.5 - 1, atol=1e-6)


def test_colour_jitter_is_bounded_and_keeps_grey_grey():
    mask = np.zeros((33, 33), np.uint8)
    data = replace(DATA, min_scale=1.0, max_scale=1.0, colour_jitter=0.2)
    levels = set()
    for position in range(40):
        grey = np.full((33, 33, 3), 140, np.uint8)
        pixels = (augmentation.augment(grey, mask, 1, position, data)[0].numpy() + 1) * 127.5
        assert np.ptp(pixels) < 1e-3
        bright, mid = np.array([140 * 0.8, 140 * 1.2]), 127.5
        low, high = mid + (bright - mid) * 1.2
        assert low - 1e-3 <= pixels[0, 0, 0] <= high + 1e-3
        levels.add(round(float(pixels[0, 0, 0]), 2))
    assert len(levels) > 30 and max(levels) - min(levels) > 20


def test_a_tint_brightens_each_channel_of_an_image_by_its_own_share():
    grey, mask = np.full([33, 33, 3], 100, np.uint8), np.zeros([33, 33], np.uint8)
    data = replace(DATA, channel_jitter=0.2, min_scale=1.0, max_scale=1.0)
    factors = []
    for position in range(40):
        pixels = (augmentation.augment(grey, mask, 1, position, data)[0].numpy() + 1) * 127.5
        assert np.ptp(pixels.reshape(-1, 3), axis=0).max() < 1e-2  # the same all over the image
        factors.append(pixels[0, 0] / 100)
    factors = np.array(factors)
    assert (
        (factors >= 0.8).all() and (factors <= 1.2).all() and (np.ptp(factors, axis=0) > 0.3).all()
    )
    assert (np.abs(np.corrcoef(factors.T)[np.triu_indices(3, 1)]) < 0.5).all()


def test_mixing_pastes_all_of_some_classes_of_another_crop_at_their_place():
    """Every pixel is the crop's or the other's, by its class, with its colour and never void."""
    left = np.zeros((33, 33), np.uint8)
    left[:, 16:] = 1
    bands = np.repeat(np.uint8([2, 3, VOID]), 11)[:, None] * np.ones(33, np.uint8)
    masks = [left, bands]
    data = replace(DATA, min_scale=1.0, max_scale=1.0, flip=False, classmix_prob=1.0)

    def read(index):
        mask = tf.gather(np.stack(masks), index)
        return tf.repeat((mask * 60)[..., None], 3, axis=-1), mask

    crop, seen = augmentation.augment(*read(0), 1, 0, data), set()
    for position in range(60):
        image, label = (
            v.numpy() for v in augmentation.mix_classes(crop, read, 2, 1, position, data)
        )
        grey = (image[..., 0] + 1) * 127.5
        np.testing.assert_allclose(grey, label * 60.0, atol=1e-3)  # a colour goes with its label
        pasted = frozenset(np.unique(label[label != left]))
        expected = np.where(np.isin(bands, [*pasted, *({2, 3} & set(label.flat))]), bands, left)
        np.testing.assert_array_equal(label, expected)
        seen.add(pasted)
    assert seen == {frozenset(), frozenset({2}), frozenset({3}), frozenset({2, 3})}


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.25, 0.15, 0.35), (1.0, 0.5, 1)])
def test_so_many_crops_are_mixed(store, share, low, high):
    """A mixed crop may show nothing of it, where no class there is drawn."""
    plain, mixed = (batches(store, replace(DATA, classmix_prob=s), steps=30) for s in (0.0, share))
    changed = [
        not np.array_equal(x, y)
        for a, b in zip(plain, mixed, strict=True)
        for x, y in zip(a["label"], b["label"], strict=True)
    ]
    assert low <= np.mean(changed) <= high


def test_the_other_crop_is_any_and_varied_by_itself(store):
    """Which image is pasted does not decide its scale, nor does the crop it is pasted into."""
    drawn = []

    def read(index):
        drawn.append(int(index))
        return tf.zeros([33, 33, 3], tf.uint8), tf.zeros([33, 33], tf.uint8)

    crop = augmentation.augment(*read(0), 1, 0, DATA)
    data = replace(DATA, classmix_prob=1.0, min_scale=0.5, max_scale=1.0)
    filled = []
    for position in range(200):
        label = augmentation.mix_classes(
            (crop[0], tf.fill([33, 33], tf.constant(9, tf.uint8))), read, 5, 1, position, data
        )[1]
        filled.append(np.mean(label == 0))
    drawn, filled = np.array(drawn[1:]), np.array(filled)
    assert (np.bincount(drawn, minlength=5) > 20).all()
    shown = filled > 0
    assert 0.35 < shown.mean() < 0.65
    assert abs(np.corrcoef(drawn[shown], filled[shown])[0, 1]) < 0.3


def test_saturation_moves_colours_to_and_from_their_own_grey():
    red = np.tile(np.float32([60, -40, -40]), (4, 4, 1))
    inside = np.ones((4, 4), bool)
    luma = 0.299 * 60 - 0.701 * 40
    for draw, saturation in [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)]:
        draws = tf.constant([0.5, 0.5, draw])
        pixels = augmentation._recolour(red, inside, draws, 0.5) * 127.5
        np.testing.assert_allclose(pixels[0, 0], luma + saturation * (red[0, 0] - luma), atol=1e-3)
    brighter = augmentation._recolour(red, inside, tf.constant([1.0, 0.5, 0.5]), 0.2)
    np.testing.assert_allclose(brighter[0, 0] + 1, 1.2 * (red[0, 0] / 127.5 + 1), atol=1e-5)
    contrast = augmentation._recolour(red, inside, tf.constant([0.5, 1.0, 0.5]), 0.2)
    np.testing.assert_allclose(contrast[0, 0], 1.2 * red[0, 0] / 127.5, atol=1e-5)


def test_scales_without_sense_are_refused(store):
    with pytest.raises(InputError, match="min_scale"):
        batches(store, replace(DATA, min_scale=2.0))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_evaluation_yields_every_image_once_at_its_native_size(store, batch_size):
    seen, total = [], np.zeros((9, 9), np.int64)
    for batch in eval_batches(store, batch_size):
        assert 1 <= len(batch["index"]) <= batch_size
        for image, label, index in zip(
            *(batch[k].numpy() for k in ("image", "label", "index")), strict=True
        ):
            pixels, mask = store.fetch(index)
            np.testing.assert_array_equal(label, mask)
            np.testing.assert_allclose(image, pixels / 127.5 - 1, atol=1e-6)
            total += confusion_matrix(label, np.zeros_like(label), 9)
            seen.append(int(index))
    assert sorted(seen) == list(range(len(store)))
    valid = sum((store.fetch(i)[1] != VOID).sum() for i in range(len(store)))
    assert total.sum() == valid > 0


def test_evaluation_batches_images_of_one_size_together(store):
    sizes = [tuple(b["label"].shape) for b in eval_batches(store, 4)]
    assert sorted(sizes) == [(1, 20, 60), (1, 33, 51), (1, 65, 60), (2, 33, 33)]
    spec = eval_batches(store, 4).element_spec
    assert spec["image"] == tf.TensorSpec([None, None, None, 3], tf.float32)
    assert spec["label"] == tf.TensorSpec([None, None, None], tf.uint8)
    assert spec["index"] == tf.TensorSpec([None], tf.int32)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(20, 20)] * 5, [[0, 1], [2, 3], [4]]),
        ([(20, 20), (30, 20)] * 3, [[0, 2], [4], [1, 3], [5]]),
        ([(30, 20), (20, 30), (20, 20), (30, 20)], [[2], [1], [0, 3]]),  # by size
    ],
)
def test_evaluation_batches_have_an_order(tmp_path, sizes, expected):
    found = [
        list(batch["index"].numpy()) for batch in eval_batches(write_store(tmp_path, sizes), 2)
    ]
    assert found == expected


def test_evaluation_of_many_sizes_keeps_few_images_in_memory(tmp_path, monkeypatch):
    store, read = write_store(tmp_path, [(20 + n, 20) for n in range(60)], limit=0), []
    store.verify()
    real = store.fetch
    monkeypatch.setattr(store, "fetch", lambda index: read.append(index) or real(index))
    for given, _ in enumerate(eval_batches(store, 16), 1):
        assert len(read) <= given + 15  # two batches in the making, two ready, and a few threads'
    assert given == len(read) == 60


def test_pairs_are_decoded_once_as_far_as_memory_goes(tmp_path, monkeypatch):
    reads = []
    real = input_pipeline.read_pair
    monkeypatch.setattr(
        input_pipeline, "read_pair", lambda r, *a: reads.append(r.name) or real(r, *a)
    )
    first_two = sum(h * w * 4 for h, w in SIZES[:2])
    for limit, again in [
        (1 << 30, []),
        (first_two, ["r2", "r3", "r4"]),
        (0, ["r0", "r1", "r2", "r3", "r4"]),
    ]:
        store = write_store(tmp_path, limit=limit)
        reads.clear()
        pairs = [store.fetch(i) for i in range(5)]
        assert reads == ["r0", "r1", "r2", "r3", "r4"]
        reads.clear()
        for i in range(5):
            np.testing.assert_array_equal(store.fetch(i)[1], pairs[i][1])
        assert reads == again


def test_the_pixels_of_every_class_are_counted(store):
    pixels, around = store.class_pixels()
    masks = [store.fetch(i)[1] for i in range(len(store))]
    for c in range(SHAPES.num_classes):
        assert pixels[c] == sum((m == c).sum() for m in masks)
        assert around[c] == sum((m != VOID).sum() for m in masks if (m == c).any())
    assert pixels.sum() == sum((m != VOID).sum() for m in masks)


def test_a_refused_file_is_reported_as_the_users_mistake(tmp_path):
    store = write_store(tmp_path)
    store.records[3].label_path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"3-mask\.png"), store.reporting():
        list(eval_batches(store, 2))
    with pytest.raises(InputError, match=r"3-mask\.png"):  # before the first batch is asked for
        input_pipeline.train_batches(store, DATA, 5, 1, 0, 1)


def test_other_errors_pass_the_store_unchanged(store):
    with pytest.raises(tf.errors.OutOfRangeError), store.reporting():
        raise tf.errors.OutOfRangeError(None, None, "not a file")


def test_a_split_without_images_is_refused():
    with pytest.raises(InputError, match="no images, nothing to read"):
        ImageStore([], SHAPES)
