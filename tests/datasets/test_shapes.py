"""The generated data set: reproducible, in VOC's layout, its masks true, its forms telling."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_SHAPES
from PIL import Image

from fcnlib.datasets import open_dataset, read_image, read_pair, shape_forms, shape_scenes, shapes
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, VOID
from fcnlib.metrics import confusion_matrix, scores

SIZE = 129


def fingerprint(root):
    """Return {relative path: digest} of every file below a folder."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    assert files
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def scenes():
    """Return 64 scenes as (image, mask) pairs, every class first in 8 of them."""
    return [
        shape_scenes.draw_scene(np.random.default_rng([11, index]), SIZE, 1 + index % 8)
        for index in range(64)
    ]


# the set as a whole


def test_the_same_seed_gives_the_same_bytes(tiny_shapes, tmp_path):
    shapes.generate(tmp_path / "again", TINY_SHAPES)
    assert fingerprint(tmp_path / "again") == fingerprint(tiny_shapes)


def test_another_seed_gives_other_pictures(tiny_shapes, tmp_path):
    shapes.generate(tmp_path / "other", replace(TINY_SHAPES, shapes_seed=2016))
    one, other = fingerprint(tiny_shapes), fingerprint(tmp_path / "other")
    assert one.keys() == other.keys()
    same = {name for name in one if one[name] == other[name]}
    assert all(name.endswith(".txt") for name in same)


def test_no_two_pictures_are_the_same(tiny_shapes):
    digests = [v for k, v in fingerprint(tiny_shapes).items() if k.endswith((".jpg", ".png"))]
    assert len(set(digests)) == len(digests)


def test_a_larger_set_begins_with_the_smaller(tiny_shapes, tmp_path):
    larger = replace(TINY_SHAPES, train_images=14, objects_per_class=5)
    shapes.generate(tmp_path / "larger", larger)
    small, large = fingerprint(tiny_shapes), fingerprint(tmp_path / "larger")
    pictures = [name for name in small if name.endswith((".jpg", ".png"))]
    assert all(large[name] == small[name] for name in pictures)


def test_processes_do_not_matter(tiny_shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, "_FOR_A_POOL", 1)
    monkeypatch.setattr(shapes, "_CHUNK", 20)
    calls = []
    shapes.generate(tmp_path / "pool", TINY_SHAPES, lambda *call: calls.append(call))
    assert fingerprint(tmp_path / "pool") == fingerprint(tiny_shapes)
    total = 12 + 5 + 9 * (4 + 2)
    assert calls == [(20, total), (40, total), (60, total), (total, total)]


def test_a_pool_that_cannot_start_is_done_without(tiny_shapes, tmp_path, monkeypatch):
    def no_pool(*arguments, **options):
        raise shapes.BrokenExecutor

    monkeypatch.setattr(shapes, "_FOR_A_POOL", 1)
    monkeypatch.setattr(shapes, "ProcessPoolExecutor", no_pool)
    shapes.generate(tmp_path / "alone", TINY_SHAPES)
    assert fingerprint(tmp_path / "alone") == fingerprint(tiny_shapes)


def test_the_layout_is_that_of_a_devkit(tiny_shapes):
    dataset = open_dataset("shapes", tiny_shapes)
    assert dataset.labels is SHAPES
    assert dataset.counts() == {"train": 12, "val": 5, "trainval": 17}
    assert set(dataset.records("trainval")) == {*dataset.records("train"), *dataset.records("val")}
    for record in dataset.records("trainval"):
        assert record.image_path.parent == tiny_shapes / "JPEGImages"
        assert record.label_path.parent == tiny_shapes / "SegmentationClass"
        image, mask = read_pair(record, SHAPES)
        assert image.shape == (65, 65, 3)
        assert set(np.unique(mask)) <= {*range(SHAPES.num_classes), VOID}
        with Image.open(record.label_path) as stored:
            assert stored.mode == "P"
            colours = np.asarray(stored.convert("RGB"))
        np.testing.assert_array_equal(colours, SHAPES.colorize(mask))


def test_single_objects_lie_in_folders_of_their_class(tiny_shapes):
    for split, count in (("train", 4), ("val", 2)):
        folders = {folder.name for folder in (tiny_shapes / "objects" / split).iterdir()}
        assert folders == set(SHAPES.classes)
        for name in SHAPES.classes:
            files = sorted((tiny_shapes / "objects" / split / name).iterdir())
            assert [file.name for file in files] == [f"{i:04d}.jpg" for i in range(count)]
            assert read_image(files[0]).shape == (97, 97, 3)


# what is on disk already


def test_ensure_makes_what_is_missing_and_keeps_what_is_there(tmp_path):
    root = tmp_path / "new" / "shapes"
    few = replace(TINY_SHAPES, train_images=2, val_images=1, objects_per_class=1)
    assert shapes.ensure(root, few).counts()["train"] == 2
    assert json.loads((root / "shapes.json").read_text())["shapes_seed"] == few.shapes_seed
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    shapes.ensure(root, few)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert [path.name for path in root.parent.iterdir()] == ["shapes"]  # nothing half-made


@pytest.mark.parametrize(("key", "value"), [("shapes_seed", 1), ("train_images", 13)])
def test_other_settings_are_refused_and_nothing_is_deleted(tiny_shapes, key, value):
    before = fingerprint(tiny_shapes)
    with pytest.raises(InputError, match=rf"{key} is .*{value}.*delete the folder or choose"):
        shapes.ensure(tiny_shapes, replace(TINY_SHAPES, **{key: value}))
    assert fingerprint(tiny_shapes) == before


def test_another_version_of_the_generator_is_refused(tiny_shapes, monkeypatch):
    monkeypatch.setattr(shapes, "VERSION", shapes.VERSION + 1)
    with pytest.raises(InputError, match="generator is 1, asked for 2"):
        shapes.ensure(tiny_shapes, TINY_SHAPES)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, content):
    (tmp_path / "thesis.txt").write_text("mine")
    if content is not None:
        (tmp_path / "shapes.json").write_text(content)
    before = fingerprint(tmp_path)
    with pytest.raises(InputError, match="choose another data_dir"):
        shapes.ensure(tmp_path, TINY_SHAPES)
    assert fingerprint(tmp_path) == before


def test_a_stopped_generation_leaves_nothing(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shapes.ensure(tmp_path / "shapes", TINY_SHAPES, stop)
    assert list(tmp_path.iterdir()) == []


def test_the_faster_of_two_runs_wins(tiny_shapes, tmp_path):
    root = tmp_path / "shapes"

    def meanwhile(done, total):
        if done == total:
            (tmp_path / "theirs").mkdir()
            shapes.generate(tmp_path / "theirs" / "shapes", TINY_SHAPES)
            (tmp_path / "theirs" / "shapes").rename(root)
            (tmp_path / "theirs").rmdir()

    assert shapes.ensure(root, TINY_SHAPES, meanwhile).counts()["train"] == 12
    assert [path.name for path in tmp_path.iterdir()] == ["shapes"]


@pytest.mark.parametrize(
    ("key", "value"), [("image_size", 40), ("train_images", 0), ("shapes_seed", -1)]
)
def test_settings_that_cannot_be_met_are_refused(tmp_path, key, value):
    with pytest.raises(InputError, match=f"{key} = {value}: it must be at least"):
        shapes.ensure(tmp_path / "shapes", replace(TINY_SHAPES, **{key: value}))
    assert not (tmp_path / "shapes").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/shapes: cannot generate"):
        shapes.ensure(tmp_path / "file" / "shapes", TINY_SHAPES)


def test_no_shapes_without_a_stamp(tiny_shapes, tmp_path):
    half = tmp_path / "half"
    (half / "JPEGImages").mkdir(parents=True)
    with pytest.raises(InputError, match=r"shapes\.json is missing"):
        open_dataset("shapes", half)


# the pictures


def test_every_class_occurs_and_background_prevails(scenes):
    masks = np.stack([mask for _, mask in scenes])
    share = np.bincount(masks.ravel(), minlength=256) / masks.size
    assert (share[: SHAPES.num_classes] > 0.004).all()
    assert 0.6 < share[0] < 0.9
    assert 0.01 < share[VOID] < 0.1
    assert share[: SHAPES.num_classes].sum() + share[VOID] == pytest.approx(1)


def test_scenes_hold_one_to_four_objects(monkeypatch):
    counts = []
    add = shape_scenes._add
    monkeypatch.setattr(shape_scenes, "_add", lambda *a: counts.append(a[2]) or add(*a))
    numbers = []
    for index in range(40):
        counts.clear()
        shape_scenes.draw_scene(np.random.default_rng([12, index]), SIZE, 5)
        assert counts[0] == 5  # the class asked for comes first
        numbers.append(len(counts))
    assert set(numbers) == {1, 2, 3, 4}


def test_void_parts_whatever_differs_and_is_thin(scenes):
    for _, mask in scenes:
        for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
            assert ((one == other) | (one == VOID) | (other == VOID)).all()
    thick = []
    for _, mask in scenes:
        void = np.pad(mask == VOID, 1)
        buried = void[:-2, 1:-1] & void[2:, 1:-1] & void[1:-1, :-2] & void[1:-1, 2:]
        thick.append(buried.sum() / void.sum())
    assert np.mean(thick) < 0.1  # two pixels wide: hardly one has void on all four sides


def test_the_mask_lies_on_its_object(scenes):
    """The picture is steeper on the void borders than three pixels beside them."""

    def steepness(image, border):
        grey = image.astype(float).mean(axis=2)
        slope = np.hypot(*np.gradient(grey))
        return slope[border].mean()

    there, beside = [], []
    for image, mask in scenes:
        there.append(steepness(image, mask == VOID))
        beside += [
            steepness(image, np.roll(mask == VOID, (3 * sign, 3 * sign), (0, 1)))
            for sign in (-1, 1)
        ]
    assert np.mean(there) > 1.5 * np.mean(beside)


def test_outlines_are_true_to_a_quarter_pixel():
    center, radius = np.array([40.3, 38.6]), 20.0
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = center + radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    hole = center + (circle - center) / 2
    cover = np.asarray(shape_forms.rasterize([(circle, 1), (hole, 0)], 80)) / 255
    assert cover.sum() == pytest.approx(np.pi * radius**2 * 0.75, rel=0.02)
    middles = np.stack(np.meshgrid(np.arange(80), np.arange(80)), axis=-1) + 0.5  # x, y
    mean = (cover[..., None] * middles).sum(axis=(0, 1)) / cover.sum()
    np.testing.assert_allclose(mean, center, atol=0.25)
    assert cover[38, 40] == 0


@pytest.mark.parametrize("name", shape_forms.names())
def test_a_placed_form_fills_its_circle(name, rng):
    for _ in range(20):
        diameter = rng.uniform(28, 90)
        center = rng.uniform(30, 90, 2)
        form = shape_forms.place(shape_forms.random_form(name, rng), center, diameter, rng)
        solid = np.concatenate([points for points, fill in form if fill])
        reach = np.sqrt(((solid - center) ** 2).sum(axis=1))
        assert reach.max() == pytest.approx(diameter / 2)
        assert np.ptp(solid, axis=0).max() > 0.55 * diameter


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_holes_show_what_is_behind(rng):
    for name, holed in (("disk", False), ("ring", True), ("gear", True)):
        form = [(points * 30 + 40, fill) for points, fill in shape_forms.random_form(name, rng)]
        assert (np.asarray(shape_forms.rasterize(form, 80))[40, 40] == 0) == holed


def test_colour_does_not_tell_the_class(scenes):
    """The nearest mean colour, learned on half of the scenes, guesses hardly above chance."""
    seen = [
        [(c, image[mask == c].mean(axis=0)) for c in np.unique(mask) if 0 < c < VOID]
        for image, mask in scenes
    ]
    known = [pair for pairs in seen[:32] for pair in pairs]
    asked = [pair for pairs in seen[32:] for pair in pairs]
    means = {c: np.mean([v for d, v in known if d == c], axis=0) for c, _ in known}
    guesses = [min(means, key=lambda c: np.abs(means[c] - v).sum()) for _, v in asked]
    right = np.mean([g == c for g, (c, _) in zip(guesses, asked, strict=True)])
    assert len(asked) > 60
    assert right < 0.3  # chance is 1/8; 60 guesses of chance stay under 0.3 in 99.9 of 100 runs


def test_finer_strides_earn_their_place(scenes):
    """Even a perfect network that answers once a cell loses what is finer than the cell."""

    def best(stride):
        matrix = 0
        at = np.minimum((np.arange(SIZE) + stride // 2) // stride * stride, SIZE - 1)
        for _, mask in scenes:
            answer = mask[np.ix_(at, at)]
            answer = np.where(answer == VOID, 0, answer)
            matrix += confusion_matrix(mask, answer, SHAPES.num_classes)
        return 100 * scores(matrix).mean_iou

    coarse, middle, fine = best(32), best(16), best(8)
    assert coarse + 10 < middle and middle + 10 < fine
    assert fine > 70  # so that 75 is within reach of interpolated answers


def test_a_single_object_stands_out_about_the_middle():
    for c in range(1, SHAPES.num_classes):
        mean = []
        for index in range(12):
            plain, drawn = (
                shape_scenes.draw_object(np.random.default_rng([13, index]), 97, k).astype(float)
                for k in (0, c)
            )
            # the same generator draws the same clutter, so what differs is object and noise
            changed = np.abs(plain - drawn).mean(axis=2) > 60
            if changed.any():
                mean.append(np.argwhere(changed).mean(axis=0))
        assert len(mean) > 6
        np.testing.assert_allclose(np.mean(mean, axis=0), 48, atol=12)
