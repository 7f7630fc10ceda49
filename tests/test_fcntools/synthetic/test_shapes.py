"""The generated data set: reproducible, in VOC's layout, what is on disk respected."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from conftest import TINY_SHAPES
from PIL import Image

from fcnlib import config
from fcnlib.datasets import open_dataset, read_image, read_pair
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, VOID
from fcntools.synthetic import shapes


def fingerprint(root):
    """Return {relative path: digest} of every file below a folder."""
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    assert files
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_seed_gives_the_same_bytes(tiny_shapes, tmp_path):
    shapes.ensure(tmp_path / "again", TINY_SHAPES)
    assert fingerprint(tmp_path / "again") == fingerprint(tiny_shapes)


def test_another_seed_gives_other_pictures(tiny_shapes, tmp_path):
    shapes.ensure(tmp_path / "other", replace(TINY_SHAPES, shapes_seed=2016))
    one, other = fingerprint(tiny_shapes), fingerprint(tmp_path / "other")
    assert one.keys() == other.keys()
    same = {name for name in one if one[name] == other[name]}
    assert all(name.endswith(".txt") for name in same)


def test_no_two_pictures_are_the_same(tiny_shapes):
    digests = [v for k, v in fingerprint(tiny_shapes).items() if k.endswith((".jpg", ".png"))]
    assert len(set(digests)) == len(digests)


def test_a_larger_set_begins_with_the_smaller(tiny_shapes, tmp_path):
    larger = replace(TINY_SHAPES, train_images=14, objects_per_class=5)
    shapes.ensure(tmp_path / "larger", larger)
    small, large = fingerprint(tiny_shapes), fingerprint(tmp_path / "larger")
    pictures = [name for name in small if name.endswith((".jpg", ".png"))]
    assert all(large[name] == small[name] for name in pictures)


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


def test_a_stopped_generation_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(shapes, "_write_lists", stop)
    with pytest.raises(KeyboardInterrupt):
        shapes.ensure(tmp_path / "shapes", TINY_SHAPES)
    assert list(tmp_path.iterdir()) == []


def test_the_faster_of_two_runs_wins(tiny_shapes, tmp_path, monkeypatch):
    root = tmp_path / "shapes"
    monkeypatch.setattr(shapes, "_write_lists", lambda *_: shutil.copytree(tiny_shapes, root))
    assert shapes.ensure(root, TINY_SHAPES).counts()["train"] == 12
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


def test_the_counts_in_the_readme_are_those_of_the_profiles():
    readme = (config.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for profile in ("quick", "pretrain", "smoke"):
        settings = config.load_profile(profile)
        s = settings.shapes
        counts = (s.train_images, s.val_images, s.objects_per_class, s.objects_val_per_class)
        row = f"| `{profile}` | `{settings.data.data_dir}` | {' | '.join(map(str, counts))} |"
        assert row in readme
