"""Digests follow what files hold, cost nothing the second time, and name what has changed."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fcnlib.config import Config
from fcnlib.datasets import identity, open_dataset
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, make_labels


@pytest.fixture
def data(tmp_path, tiny_shapes, monkeypatch):
    """A copy of the tiny shapes, last changed a minute ago, with a cache of its own."""
    monkeypatch.setattr(identity, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(identity, "_SETTLED", 0.0)
    shutil.copytree(tiny_shapes, tmp_path / "shapes")
    return open_dataset("shapes", tmp_path / "shapes")


def digest(data, split="train"):
    return identity.split_digest(data, data.records(split))


def count_hashed(monkeypatch):
    hashed, plain = [], identity._hash
    monkeypatch.setattr(identity, "_hash", lambda path: hashed.append(path) or plain(path))
    return hashed


def test_a_digest_is_of_what_files_hold_and_not_of_where_they_lie(data, tmp_path):
    shutil.copytree(data.root, tmp_path / "moved")
    moved = open_dataset("shapes", tmp_path / "moved")
    assert digest(moved) == digest(data)
    assert digest(data, "val") != digest(data)


@pytest.mark.parametrize("which", ["image_path", "label_path"])
def test_a_changed_image_or_mask_of_equal_size_and_time_is_seen(data, which):
    before, path = digest(data), getattr(data.records("train")[3], which)
    seen, held = path.stat(), bytearray(path.read_bytes())
    held[-1] ^= 1
    path.write_bytes(held)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))  # the change of time shows all the same
    assert digest(data) != before


def test_the_meaning_of_masks_and_the_order_of_images_count(data):
    before, records = digest(data), data.records("train")
    other = make_labels("shapes", (*SHAPES.classes[1:], SHAPES.classes[0]), SHAPES.palette)
    assert digest(replace(data, labels=other)) != before
    assert identity.split_digest(data, records[::-1]) != before


def test_what_has_not_changed_is_read_once(data, monkeypatch):
    hashed = count_hashed(monkeypatch)
    before = digest(data)
    assert len(hashed) == 24
    hashed.clear()
    assert digest(data) == before
    assert hashed == []
    data.records("train")[0].image_path.touch()
    assert digest(data) == before
    assert hashed == [str(data.records("train")[0].image_path)]


def test_a_file_that_changed_just_now_is_read_again(data, monkeypatch):
    # Written twice within a step of the clock it would keep size and time.
    monkeypatch.setattr(identity, "_SETTLED", 2.0)
    path = data.records("train")[0].image_path
    path.touch()
    hashed = count_hashed(monkeypatch)
    digest(data)
    digest(data)
    assert hashed.count(str(path)) == 2


@pytest.mark.parametrize("kept", ["", "[1]", '{"x": 3}', "no json"])
def test_a_cache_that_is_damaged_or_cannot_be_written_changes_nothing(data, tmp_path, kept):
    before = digest(data)
    (file,) = (tmp_path / "kept").iterdir()
    file.write_text(kept)
    assert digest(data) == before
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("a file where the folder was")
    assert digest(data) == before


def test_a_file_that_is_gone_is_named(data):
    data.records("val")[1].label_path.unlink()
    with pytest.raises(InputError, match=rf"{data.records('val')[1].name}\.png: cannot be read"):
        digest(data, "val")


def test_a_run_names_each_split_it_reads_and_its_start(data, tmp_path):
    start = tmp_path / "start.npz"
    start.write_bytes(b"1")
    config = Config().replace(val_limit=3, init_checkpoint=str(start))
    found = identity.run_digests(config, data)
    assert set(found) == {"train", "val, first 3", "val", "initial"}
    assert found["val"] == digest(data, "val")
    start.write_bytes(b"2")
    Image.fromarray(np.zeros((65, 65), np.uint8)).save(data.records("val")[4].label_path)
    now = identity.run_digests(config, data)
    assert identity.changed(found, now) == ["val", "initial"]
    assert identity.changed({"train": found["train"], "test": "?"}, now) == []


def test_packed_images_are_those_that_were_packed(data, tmp_path):
    from fcntools.data.tfrecords import pack

    pack(data, tmp_path / "packed")
    packed = open_dataset("packed", tmp_path / "packed")
    assert digest(packed) == digest(data)


def test_a_picture_under_another_name_is_the_same(data, tmp_path):
    one = data.records("train")[2]
    shutil.copy(one.image_path, tmp_path / "other.jpg")
    twin = replace(one, name="other", image_path=tmp_path / "other.jpg")
    assert list(identity.by_content(data, [one])) == list(identity.by_content(data, [twin]))
