"""Checkpoints and transplants: nothing half-written, nothing ignored in silence."""

import os
import zipfile

import numpy as np
import pytest

from fcnlib import checkpoints
from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf

ARRAYS = {
    "a/weights": np.arange(6, dtype=np.float32).reshape(2, 3) / 7,
    "a/beta": np.array([1.5], np.float32),
    "step": np.array(7, np.int64),
}
META = {"kind": "fcn", "classes": ["x", "y"], "nothing": None}


def test_what_is_saved_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "new" / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    arrays, meta = checkpoints.load(path)
    assert meta == META and list(arrays) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert arrays[name].dtype == value.dtype and arrays[name].shape == value.shape
        np.testing.assert_array_equal(arrays[name], value)
    assert os.listdir(path.parent) == ["c.npz"]


@pytest.mark.parametrize("half", [False, True])
def test_the_same_content_gives_the_same_bytes(tmp_path, monkeypatch, half):
    checkpoints.save(tmp_path / "a.npz", ARRAYS, META, half)
    monkeypatch.setattr("time.time", lambda: 2e9)
    checkpoints.save(tmp_path / "b.npz", ARRAYS, META, half)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_half_precision_is_for_kernels_only(tmp_path):
    checkpoints.save(tmp_path / "c.npz", ARRAYS, META, half=True)
    arrays, _ = checkpoints.load(tmp_path / "c.npz")
    assert arrays["a/weights"].dtype == np.float32
    np.testing.assert_array_equal(
        arrays["a/weights"], ARRAYS["a/weights"].astype(np.float16).astype(np.float32)
    )
    np.testing.assert_array_equal(arrays["a/beta"], ARRAYS["a/beta"])


@pytest.mark.parametrize(("half", "value"), [(False, np.nan), (False, np.inf), (True, 7e4)])
def test_what_is_not_finite_is_not_written(tmp_path, half, value):
    """In float16 kernels end at 65504."""
    path = tmp_path / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    bad = ARRAYS | {"a/weights": np.full([2, 3], value, np.float32)}
    with pytest.raises(InputError, match=r"c\.npz: a/weights holds a NaN or an infinity"):
        checkpoints.save(path, bad, META, half)
    np.testing.assert_array_equal(checkpoints.load(path)[0]["a/weights"], ARRAYS["a/weights"])


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused_by_name(tmp_path, share):
    path = tmp_path / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"c\.npz"):
        checkpoints.load(path)


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    data = bytearray(path.read_bytes())
    at = bytes(data).index(ARRAYS["a/weights"].tobytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="CRC"):
        checkpoints.load(path)


def test_no_pickle_is_loaded(tmp_path):
    path = tmp_path / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    with zipfile.ZipFile(path, "a") as archive, archive.open("evil.npy", "w") as file:
        np.lib.format.write_array(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"c\.npz"):
        checkpoints.load(path)


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "c.npz"
    checkpoints.save(path, ARRAYS, META)
    with pytest.raises(ValueError):
        checkpoints.save(path, {"bad": np.array([object()])}, META)
    assert checkpoints.load(path)[1] == META


def variables():
    return {"a/weights": tf.Variable(tf.zeros([2, 3])), "a/beta": tf.Variable(tf.zeros([1]))}


def test_transplant_tells_what_became_of_each_name():
    target = variables() | {"FCN/score/weights": tf.Variable([1.0])}
    report = checkpoints.transplant(ARRAYS, target, may_miss=("FCN/",), may_skip=("step",))
    assert report.copied == ("a/weights", "a/beta")
    assert report.missing == ("FCN/score/weights",) and report.skipped == ("step",)
    np.testing.assert_array_equal(target["a/weights"], ARRAYS["a/weights"])
    np.testing.assert_array_equal(target["FCN/score/weights"], [1.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"a/beta": None}, ["a/beta", "missing"]),
        ({"a/gamma": np.zeros(1)}, ["a/gamma", "not in the network"]),
        ({"a/weights": np.zeros((3, 2))}, ["a/weights", "[3, 2]", "[2, 3]"]),
        ({"a/beta": np.array([np.nan])}, ["a/beta", "NaN"]),
    ],
)
def test_a_misfit_is_refused_by_name_and_nothing_is_changed(change, words):
    arrays = {k: v for k, v in {**ARRAYS, **change}.items() if v is not None}
    target = variables()
    with pytest.raises(InputError) as caught:
        checkpoints.transplant(arrays, target, may_skip=("step",), source="file.npz")
    for word in ["file.npz", *words]:
        assert word in str(caught.value)
    assert not any(np.any(v) for v in target.values())


def test_a_place_that_cannot_be_written_is_named_and_the_old_file_kept(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    checkpoints.save(path, {"a": np.ones(3)}, {"n": 1})
    monkeypatch.setattr("os.fsync", lambda file: os.write(-1, b""))
    with pytest.raises(InputError, match="cannot be written"):
        checkpoints.save(path, {"a": np.zeros(3)}, {"n": 2})
    assert checkpoints.load(path)[1] == {"n": 1}
