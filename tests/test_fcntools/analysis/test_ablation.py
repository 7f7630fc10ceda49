"""The variants of training differ in one thing each; what they changed is counted and measured."""

from dataclasses import replace

import numpy as np
import pytest

from fcnlib import checkpoints
from fcnlib.builders import build_fcn
from fcnlib.config import Config, load_profile
from fcnlib.experiment import Job
from fcnlib.runtime.compat import tf
from fcnlib.training import Stage
from fcntools.analysis import ablation

SMALL = {"depth_multiplier": 0.1, "min_depth": 4, "ablation_steps": 7}
CONFIG = Config().replace(**SMALL, initial="weights.npz")


def test_the_variants_differ_in_one_thing_each(tmp_path):
    jobs = {v.name: v.job for v in ablation.variants(CONFIG, tmp_path)}
    assert list(jobs) == ["head", "all", "frozen", "scratch"]
    assert {sum(s.steps for s in job.stages) for job in jobs.values()} == {7}
    head = Stage("head", 2, CONFIG.train.head_lr, backbone=False, frozen=True)
    rest = Stage("all", 5, CONFIG.train.base_lr)
    assert jobs["head"].stages == (replace(head, steps=7),)
    assert jobs["all"].stages == (head, rest)
    assert jobs["frozen"].stages == (head, replace(rest, frozen=True))
    assert jobs["scratch"].stages == (replace(rest, steps=7),)
    assert jobs["scratch"].start is None
    assert {jobs[n].start for n in ("head", "all", "frozen")} == {CONFIG.path("initial")}
    assert len({job.folder for job in jobs.values()}) == 4
    # A report lists the networks of models/*; these are no rungs of the chain.
    assert all(job.folder.parent.parent == tmp_path for job in jobs.values())


def test_without_a_classifier_nothing_starts_from_it(tmp_path):
    found = ablation.variants(CONFIG.replace(initial=""), tmp_path)
    assert [(v.name, v.job.start) for v in found] == [("head", None), ("scratch", None)]


@pytest.mark.parametrize(("steps", "decay"), [(3, 0.5), (7, 2 / 7), (100, 0.95), (2000, 0.95)])
def test_the_averages_forget_within_the_budget(tmp_path, steps, decay):
    config = CONFIG.replace(ablation_steps=steps, batch_norm_decay=0.95)
    (variant, *_) = ablation.variants(config, tmp_path)
    assert variant.config.train.batch_norm_decay == pytest.approx(max(decay, 0.5))


def test_what_was_trained_is_counted(tmp_path):
    network = build_fcn(CONFIG, 3, 16)
    values = {name: v.numpy() for name, v in network.named_variables().items()}
    checkpoints.save(tmp_path / "checkpoint.npz", values, {})
    head, everything = Stage("head", 1, 1.0, backbone=False), Stage("all", 1, 1.0)
    for stages in ((head,), (everything,), (head, everything)):
        trained = network.trainable(backbone=everything in stages, head=True)
        expected = sum(int(tf.size(v)) for v in trained.values())
        assert ablation.trained_values(Job(16, tmp_path, None, stages, "")) == expected


def test_what_moved_is_measured(tmp_path):
    before = {
        "InceptionV3/Conv2d_1a_3x3/weights": np.array([3.0, 4.0], np.float32),
        "InceptionV3/Conv2d_1a_3x3/BatchNorm/moving_mean": np.zeros(2, np.float32),
        "InceptionV3/Mixed_7c/Branch_0/Conv2d_0a_1x1/weights": np.ones(4, np.float32),
        "InceptionV3/Logits/Conv2d_1c_1x1/weights": np.ones(3, np.float32),
    }
    after = {name: value for name, value in before.items() if "Logits" not in name}
    after["InceptionV3/Conv2d_1a_3x3/weights"] = np.array([3.0, 4.5], np.float32)
    after["FCN/score_32/weights"] = np.ones(2, np.float32)
    checkpoints.save(tmp_path / "start.npz", before, {})
    checkpoints.save(tmp_path / "net" / "checkpoint.npz", after, {})
    job = Job(32, tmp_path / "net", tmp_path / "start.npz", (), "")
    assert ablation.relative_change(job) == {
        "Conv2d_1a_3x3": pytest.approx(0.1),
        "Mixed_7c": 0.0,
    }
    assert ablation.count_changed(job) == 1
    assert ablation.count_changed(job, "/moving_mean", "/moving_variance") == 0


def test_a_profile_of_other_data_gets_the_scenes():
    config = load_profile("camvid", {"data_dir": "/somewhere"})
    changed = config.replace(**ablation.scene_settings(config))
    assert changed.data.dataset == "scenes" and changed.path("data_dir").name == "scenes"
    assert changed.data.eval_split == "val" and changed.train.class_weights == "none"


def test_a_profile_of_scene_parsing_keeps_its_own():
    config = load_profile("quick", {"dataset": "scene-parsing"})
    assert ablation.scene_settings(config) == {"class_weights": "none"}


def test_the_two_trainings_differ_in_the_weights_alone(tmp_path):
    config = load_profile("smoke")
    jobs = ablation.scene_jobs(config, tmp_path)
    (one, equal), (other, balanced) = jobs["equal"], jobs["balanced"]
    assert equal.start == balanced.start == jobs["start"][1].folder / "checkpoint.npz"
    assert equal.stages == balanced.stages and equal.folder != balanced.folder
    assert one.replace(class_weights="median_frequency") == other
