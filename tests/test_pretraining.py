"""The shipped classifier: what it is, how good it is, and that the command makes one."""

from dataclasses import asdict

import numpy as np
import pytest
from conftest import TINY_SHAPES

from fcnlib import config, weights
from fcnlib.checkpoints import load_fcn
from fcnlib.compat import tf
from fcnlib.datasets import read_pair, streets
from fcnlib.labels import CAMVID, SHAPES, VOID
from fcnlib.pretraining import load_classifier, pretrain
from fcnlib.runrecord import read_json

SHIPPED = config.ROOT / "data/pretrained/shapes-classifier.npz"


def test_the_shipped_checkpoint_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size <= 5_000_000
    record = read_json(SHIPPED.with_suffix(".json"))
    _, meta = weights.load(SHIPPED)
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
    dataset = streets.ensure(tmp_path / "streets", made)
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


def test_the_command_makes_one(tiny_shapes, tmp_path, monkeypatch):
    monkeypatch.setattr("fcnlib.pretraining.ROOT", tmp_path)
    values = {"pretrain_steps": 2, "pretrain_batch_size": 4, "val_every": 0}
    thin = {"depth_multiplier": 0.1, "min_depth": 4, "data_dir": str(tiny_shapes)}
    loaded = config.load_profile("pretrain", {**values, **thin, **asdict(TINY_SHAPES)})
    record = pretrain(loaded, tmp_path / "c.npz")
    assert 0 <= record["accuracy"] <= 1
    classifier, meta = load_classifier(tmp_path / "c.npz")
    assert meta["depth_multiplier"] == 0.1
    assert np.isfinite(classifier(tf.zeros([1, 97, 97, 3]))).all()
    wider = loaded.replace(depth_multiplier=0.12)
    pretrain(wider, tmp_path / "wider.npz", resume=True)  # nothing of the other's to go on from
    assert load_classifier(tmp_path / "wider.npz")[1]["depth_multiplier"] == 0.12
