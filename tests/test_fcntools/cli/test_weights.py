"""`fcnlib weights`: from a released file, had or downloaded, to a checkpoint."""

import hashlib
import inspect
import json
import pickle
import re
import tarfile
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import TINY_SHAPES
from http_server import serve
from model_maker import write_network
from released_files import draw, slim_shapes, write_v1, write_v2

from fcnlib import builders, checkpoints, config
from fcnlib.blocks import BACKBONES
from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcntools.cli import main
from fcntools.pretrained import releases


def call(*words):
    return CliRunner().invoke(main.main, ["weights", *map(str, words)], prog_name="fcnlib")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The released archive as it is: one checkpoint of the old format in a .tar.gz."""
    folder = tmp_path_factory.mktemp("release")
    zeros = {name: np.zeros(shape, np.float32) for name, shape in slim_shapes().items()}
    some = {n: draw({n: s})[n] for n, s in slim_shapes().items() if "Mixed_5c" in n}
    write_v1(folder / "inception_v3.ckpt", zeros | some)
    with tarfile.open(folder / "a.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(folder / "inception_v3.ckpt", "inception_v3.ckpt")
    (folder / "inception_v3.ckpt").rename(folder / "had.ckpt")
    return folder / "a.tar.gz"


@pytest.fixture
def release(archive, monkeypatch):
    """Give inception_v3 the checksum of the archive made here and other mirrors."""

    def replace(*mirrors):
        checksum = f"md5:{hashlib.md5(archive.read_bytes()).hexdigest()}"
        made = releases.RELEASES["inception_v3"]
        made = made._replace(mirrors=mirrors or made.mirrors, checksum=checksum)
        monkeypatch.setitem(releases.RELEASES, "inception_v3", made)

    replace()
    return replace


def test_a_download_becomes_a_checkpoint(archive, release, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = releases.RELEASES["inception_v3"].file
    with serve({f"/models/{file}": archive.read_bytes()}) as mirror:
        release(f"{mirror.url}/gone/", f"{mirror.url}/models/")
        mirror.faults = ["missing", "cut"]
        found = call("download", "inception_v3", "--to", "here")
    assert found.exit_code == 0, found.output
    account = "copied 378, missing 0, skipped 10\n"
    assert found.stdout == f"here/inception_v3.npz: {account}"
    assert sorted(p.name for p in (tmp_path / "here").iterdir()) == ["inception_v3.npz", file]
    arrays, meta = checkpoints.load(tmp_path / "here/inception_v3.npz")
    assert meta["kind"] == "classifier" and meta["source"] == "inception_v3.ckpt"
    name = "InceptionV3/Mixed_5c/Branch_1/Conv_1_0c_5x5/weights"
    np.testing.assert_array_equal(arrays[name], draw({name: (5, 5, 48, 64)})[name])
    found = call("download", "inception_v3", "--to", "here")  # without a network
    assert found.exit_code == 0 and found.stdout.endswith(account)


def test_an_archive_at_hand_is_checked_and_used(archive, release, tmp_path):
    found = call("download", "inception_v3", "--to", tmp_path, "--archive", archive)
    assert found.exit_code == 0, found.output
    assert [p.name for p in tmp_path.iterdir()] == ["inception_v3.npz"]
    found = call("download", "inception_v3_keras", "--to", tmp_path, "--archive", archive)
    assert found.exit_code == 2
    assert re.search(r"a\.tar\.gz: its md5 is \w+, not 9a0d5805", found.stderr)


def test_a_file_at_hand_is_imported(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(config, "ROOT", tmp_path)
    found = call("import", archive.with_name("had.ckpt"))
    assert found.exit_code == 0, found.output
    assert "copied 378" in found.stdout
    assert (tmp_path / "data/pretrained/inception_v3.npz").is_file()
    assert call("import", archive.with_name("had.ckpt"), "--to", tmp_path / "x.npz").exit_code == 0
    assert checkpoints.load(tmp_path / "x.npz")[1]["depth_multiplier"] == 1.0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["import", "/no/such.ckpt"], "/no/such.ckpt: no such file"),
        (["import", __file__], "no whole TensorFlow checkpoint, .h5 or .keras file"),
        (["download", "alexnet"], "there are inception_v3, inception_v3_keras, "),
        (["download", "vgg_16", "--archive", __file__], "test_weights.py: cannot be unpacked"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(words, complaint):
    found = call(*words)
    assert found.exit_code == 2
    assert complaint in found.stderr and found.stderr.count("\n") == 1


RESAVE = "model.save('X.h5')"
FORMS = (
    *("v1.ckpt", "v2.ckpt", "v2.ckpt.index", "alone.ckpt.data-00000-of-00001", "x.weights.h5"),
    *("x.keras", "saved", "empty", "new.pth", "old.pth", "other.npz", "a.tar.gz"),
)


@pytest.fixture(scope="module")
def forms(tmp_path_factory):
    """Files of others as their programs write them, but small."""
    folder = tmp_path_factory.mktemp("forms")
    model = tf.keras.Sequential([tf.keras.layers.Input([1]), tf.keras.layers.Dense(1)])
    model.save(folder / "x.keras")
    model.save_weights(folder / "x.weights.h5")
    tf.train.Checkpoint(model=model).write(folder / "objects")
    tf.saved_model.save(tf.Module(), str(folder / "saved"))
    (folder / "empty").mkdir()
    arrays = {"a/weights": np.ones(3, np.float32)}
    write_v1(folder / "v1.ckpt", arrays)
    write_v2(folder / "v2.ckpt", arrays)
    (write_v2(folder / "alone.ckpt", arrays).with_name("alone.ckpt.index")).unlink()
    np.savez(folder / "other.npz", **arrays)
    (folder / "old.pth").write_bytes(pickle.dumps([1]))
    with zipfile.ZipFile(folder / "new.pth", "w") as archive:
        archive.writestr("new/data.pkl", pickle.dumps([1]))
    with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
        tar.add(folder / "old.pth", "old.pth")
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_a_file_of_others_in_place_of_a_checkpoint_is_told(forms, name):
    with pytest.raises(InputError) as caught:
        checkpoints.load(forms / name)
    assert str(caught.value).startswith(f"{forms / name}: no") and "\n" not in str(caught.value)
    found = call("import", forms / name, "--to", forms / "new.npz")
    assert found.exit_code == 2 and found.stderr.count("\n") == 1
    assert not (forms / "new.npz").exists()
    if FORMS.index(name) > FORMS.index("x.keras"):
        assert f"{name}: no whole TensorFlow checkpoint, .h5 or .keras file" in found.stderr


def test_weights_kept_as_objects_and_half_a_checkpoint_are_told_apart(forms):
    found = call("import", forms / "objects")
    assert "weights of Keras as a TensorFlow checkpoint" in found.stderr and RESAVE in found.stderr
    found = call("import", forms / "alone.ckpt")
    assert "alone.ckpt.index: missing; its .data files alone are no checkpoint" in found.stderr


@pytest.mark.parametrize("name", ["v2.ckpt", "x.keras"])
def test_a_start_of_others_is_refused_by_name(forms, tiny_shapes, tmp_path, name):
    small = {"depth_multiplier": 0.1, "min_depth": 4, "crop_size": 65, "strides": 32}
    small |= {"init_checkpoint": forms / name, "data_dir": tiny_shapes} | vars(TINY_SHAPES)
    words = [word for pair in small.items() for word in ("--set", "{}={}".format(*pair))]
    words += ["--out", str(tmp_path / "out")]
    found = CliRunner().invoke(main.main, ["train", *words], prog_name="fcnlib")
    assert found.exit_code == 2
    assert f"{name}: no" in found.stderr.splitlines()[-1]


def test_a_checkpoint_of_ours_needs_no_import(tmp_path):
    checkpoints.save(tmp_path / "c.npz", {"a": np.zeros(2)}, {"kind": "fcn"})
    said = call("import", tmp_path / "c.npz").stderr
    assert "c.npz: is fcnlib's own; start from it with --set init_checkpoint=" in said


def test_every_release_has_mirrors_and_something_to_check_it_by():
    for name, release in releases.RELEASES.items():
        assert len(release.mirrors) >= 2 and all(url.endswith("/") for url in release.mirrors)
        assert re.fullmatch(r"md5:[0-9a-f]{32}", release.checksum or "") or name == "vgg_16"
        assert any(name.startswith(backbone) for backbone in BACKBONES)


def test_the_checksums_of_keras_are_those_in_its_source():
    module = inspect.getmodule(tf.keras.applications.InceptionV3)
    source = inspect.getsource(module)
    for name in ("inception_v3_keras", "inception_v3_keras_notop"):
        release = releases.RELEASES[name]
        assert release.checksum.removeprefix("md5:") in source
        url = release.mirrors[0] + release.file
        assert url in (module.WEIGHTS_PATH, module.WEIGHTS_PATH_NO_TOP)


def test_the_profile_for_voc_starts_from_what_is_written():
    voc = config.load_profile("voc2012")
    assert voc.path("init_checkpoint") == config.ROOT / "data/pretrained/inception_v3.npz"
    assert (voc.network.depth_multiplier, voc.network.min_depth) == (1.0, 16)


def test_a_network_is_shrunk_to_what_others_start_from(tmp_path):
    network = write_network(tmp_path / "fcn-8s", tuple("abc"), 8)
    path = tmp_path / "fcn-8s" / "checkpoint.npz"
    arrays, meta = checkpoints.load(path)
    checkpoints.save(path, arrays | {"optimizer/0": np.zeros(1000, np.float32)}, meta)
    target = tmp_path / "small.npz"
    assert call("shrink", tmp_path / "fcn-8s", "--to", target).exit_code == 2  # no record
    (tmp_path / "fcn-8s" / "record.json").write_text('{"commit": "abc"}', encoding="utf-8")
    result = call("shrink", tmp_path / "fcn-8s", "--to", target)
    assert result.exit_code == 0, result.output
    assert call("shrink", tmp_path / "fcn-8s", "--to", target).exit_code == 0  # its own
    assert target.stat().st_size < 0.6 * path.stat().st_size
    assert json.loads(target.with_suffix(".json").read_text()) == {"commit": "abc"}
    again, about = builders.load_fcn(target)
    assert about["classes"] == list("abc")
    for name, variable in network.named_variables().items():
        np.testing.assert_allclose(again.named_variables()[name], variable, rtol=1e-3, atol=1e-6)


def test_weights_take_the_place_of_weights_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", a=np.ones(3))
    checkpoints.save(tmp_path / "trained.npz", {}, {"kind": "fcn", "stages": []})
    (tmp_path / "beside.json").write_text('{"thesis": 1}')
    (tmp_path / "there").mkdir()
    np.savez("there/vgg_16.npz", a=np.ones(3))
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    for target in ("mine.npz", "trained.npz", "beside.npz"):
        for command in ("import", "shrink"):
            found = call(command, "whatever", "--to", target)
            assert found.exit_code == 2
            assert f"{target[:-4]}." in found.stderr
    found = call("download", "vgg_16", "--to", "there")
    assert found.exit_code == 2 and "vgg_16.npz: " in found.stderr
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before
