"""Notebook 07's settings, trainings and rank correlation."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from fcnlib.config import load_profile
from fcntools.analysis import imbalance


@pytest.mark.parametrize("ties", [False, True])
def test_the_rank_correlation_is_scipys(ties):
    rng = np.random.default_rng(0)
    one = rng.integers(0, 6, 40) if ties else rng.normal(size=40)
    other = one + rng.integers(0, 4, 40) if ties else one + rng.normal(size=40)
    expected = spearmanr(one, other).statistic
    assert imbalance.rank_correlation(one, other) == pytest.approx(expected)
    assert imbalance.rank_correlation(one, -np.exp(one)) == pytest.approx(-1)
    assert np.isnan(imbalance.rank_correlation(one, np.zeros(40)))


def test_a_profile_of_other_data_gets_the_scenes():
    config = load_profile("camvid", {"data_dir": "/somewhere"})
    changed = config.replace(**imbalance.settings(config))
    assert changed.data.dataset == "scenes" and changed.path("data_dir").name == "scenes"
    assert changed.data.eval_split == "val" and changed.train.class_weights == "none"


def test_a_profile_of_scene_parsing_keeps_its_own():
    config = load_profile("quick", {"dataset": "scene-parsing"})
    assert imbalance.settings(config) == {"class_weights": "none"}


def test_the_two_trainings_differ_in_the_weights_alone(tmp_path):
    config = load_profile("smoke")
    jobs = imbalance.jobs(config, tmp_path)
    (one, equal), (other, balanced) = jobs["equal"], jobs["balanced"]
    assert equal.start == balanced.start == jobs["start"][1].folder / "checkpoint.npz"
    assert equal.stages == balanced.stages and equal.folder != balanced.folder
    assert one.replace(class_weights="median_frequency") == other
