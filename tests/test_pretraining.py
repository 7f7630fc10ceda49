"""The shipped classifier: what it is, how good it is, and that the command makes one."""

from dataclasses import asdict

import numpy as np
import pytest
from conftest import TINY_SHAPES

from fcnlib import checkpoints, config
from fcnlib.builders import load_fcn
from fcnlib.datasets import read_pair
from fcnlib.errors import InputError
from fcnlib.labels import CAMVID, SHAPES, VOID
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import read_json
from fcntools.pretrained.shapes_classifier import load_classifier, pretrain
from fcntools.synthetic import scenes

SHIPPED = config.ROOT / "data/pretrained/shapes-classifier.npz"


def test_the_shipped_checkpoint_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size <= 5_000_000
    record = read_json(SHIPPED.with_suffix(".json"))
    _, meta = checkpoints.load(SHIPPED)
    assert meta["classes"] == list(SHAPES.classes)
    assert record["accuracy"] == pytest.approx(meta["accuracy"])
    assert record["accuracy"] > 0.7  # a guess is right one time in nine
    assert record["commit"] and record["versions"]["tensorflow"]


def test_the_shipped_network_of_streets_knows_streets_and_says_where_it_comes_from(tmp_path):
    path = SHIPPED.with_name("streets-half.npz")
    assert path.stat().st_size <= 11_000_000
    record = read_json(path.with_suffix(".json"))
    assert record["config"]["dataset"] == "streets" and record["commit"]
    network, meta = load_fcn(path)
    assert meta["classes"] == list(CAMVID.classes)
    made = config.ScenesConfig(
        scenes_seed=7, scenes_train_images=1, scenes_val_images=4, scenes_image_size=257
    )
    dataset = scenes.ensure(tmp_path / "streets", made, name="streets")
    right, labelled = 0, 0
    for entry in dataset.records("val"):
        image, mask = read_pair(entry, CAMVID)
        scores = network(tf.constant(image[None] / 127.5 - 1, tf.float32))
        right += np.sum(np.argmax(scores[0], axis=-1) == mask)
        labelled += np.sum(mask != VOID)
    assert right / labelled > 0.9  # sky, the most frequent class, is a third


def test_both_paddings_share_the_weights():
    same, _ = load_classifier(SHIPPED)
    valid, _ = load_classifier(SHIPPED, "VALID")
    ours, theirs = same.named_variables(), valid.named_variables()
    assert list(ours) == list(theirs)
    images = tf.random.stateless_uniform([1, 107, 107, 3], [1, 1], -1, 1)
    assert same.score_map(images).shape == (1, 4, 4, 9)
    assert valid.score_map(images).shape == (1, 2, 2, 9)


@pytest.fixture
def loaded(tiny_shapes):
    """Settings for a training of two steps."""
    values = {"pretrain_steps": 2, "pretrain_batch_size": 4, "val_every": 0}
    thin = {"depth_multiplier": 0.1, "min_depth": 4, "data_dir": str(tiny_shapes)}
    return config.load_profile("pretrain", {**values, **thin, **asdict(TINY_SHAPES)})


def test_the_command_makes_one(loaded, tmp_path):
    record = pretrain(loaded, tmp_path / "c.npz")
    assert 0 <= record["accuracy"] <= 1
    classifier, meta = load_classifier(tmp_path / "c.npz")
    assert meta["depth_multiplier"] == 0.1
    assert np.isfinite(classifier(tf.zeros([1, 97, 97, 3]))).all()
    wider = loaded.replace(depth_multiplier=0.12)
    pretrain(wider, tmp_path / "wider.npz", resume=True)  # nothing of the other's to go on from
    assert load_classifier(tmp_path / "wider.npz")[1]["depth_multiplier"] == 0.12
    names = {f"{name}{end}" for name in ("c", "wider") for end in (".npz", ".json", ".training")}
    assert {path.name for path in tmp_path.iterdir()} == names


def test_it_goes_on_with_the_same_settings_alone(loaded, tmp_path):
    pretrain(loaded, tmp_path / "c.npz")
    other = {"seed": 2, "pretrain_batch_size": 2, "pretrain_crop": 65, "label_smoothing": 0.0}
    other |= {"weight_decay": 0.5, "batch_norm_decay": 0.5}
    before = (tmp_path / "c.npz").read_bytes()
    for key, value in other.items():
        with pytest.raises(InputError, match=rf"other settings or data \(settings\.{key}\)"):
            pretrain(loaded.replace(**{key: value}), tmp_path / "c.npz", resume=True)
    free = loaded.replace(checkpoint_seconds=7, chain=(32,))
    assert pretrain(free, tmp_path / "c.npz", resume=True)["training_seconds"] > 0
    assert (tmp_path / "c.npz").read_bytes() == before


@pytest.mark.parametrize("name", ["folder.npz", "net.json", "net"])
def test_what_is_no_checkpoint_to_write_is_refused_at_the_start(
    loaded, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(
        "fcntools.pretrained.shapes_classifier.Trainer", lambda *_, **__: pytest.fail("trained")
    )
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=rf"{name}: give --out the name of a file that ends in"):
        pretrain(loaded, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]
