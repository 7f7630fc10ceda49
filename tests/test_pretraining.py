"""The shipped classifier: what it is, how good it is, and that the command makes one."""

from dataclasses import asdict

import numpy as np
import pytest
from conftest import TINY_SHAPES

from fcnlib import config, weights
from fcnlib.compat import tf
from fcnlib.labels import SHAPES
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
