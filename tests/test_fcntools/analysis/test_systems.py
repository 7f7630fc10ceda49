"""The table of systems: one change a row, equal steps, and every kind of row trains and scores."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fcnlib import checkpoints, experiment
from fcnlib.builders import build_fcn
from fcnlib.config import Config, keys, load_profile
from fcnlib.errors import InputError
from fcnlib.experiment import TrainingJob
from fcnlib.runtime.compat import tf
from fcnlib.training import Stage
from fcntools import synthetic
from fcntools.analysis import systems
from fcntools.analysis.systems import GROUPS, SETTINGS_2017, Row, chance, chosen, jobs, summary

CONFIG = load_profile("smoke", {"comparison_steps": 12, "eval_limit": 3})
ROWS = {row.name: row for rows in GROUPS.values() for row in rows}


def test_the_ladder_takes_back_one_fault_a_row_until_none_is_left():
    ladder = GROUPS["history"]
    assert ladder[0].settings == SETTINGS_2017 and not ladder[-1].settings
    assert set(SETTINGS_2017) <= set(keys())
    for before, after in itertools.pairwise(ladder):
        changed = {
            k
            for k in {*before.settings, *after.settings}
            if before.settings.get(k) != after.settings.get(k)
        }
        assert changed and len(before.settings) >= len(after.settings), after.name


@pytest.mark.parametrize("name", ROWS)
def test_every_row_spends_the_same_steps_on_an_fcn_8s(name, tmp_path):
    _, todo = jobs(CONFIG, ROWS[name], tmp_path)
    assert sum(stage.steps for job in todo for stage in job.stages) == 12
    assert todo[-1].stride == 8 and todo[-1].folder == tmp_path / "comparison" / name
    folders = [job.folder for job in todo]
    assert len(set(folders)) == len(folders)
    for job, last in zip(todo[1:], folders, strict=False):
        assert job.start.parent == last  # staged: each starts from the one before
    assert all(stage.steps for job in todo for stage in job.stages)


def test_sgd_on_a_sum_takes_the_steps_of_the_mean(tmp_path):
    (mean, summed) = (jobs(CONFIG, ROWS[n], tmp_path)[1][0] for n in ("sgd-mean", "sgd-sum"))
    assert {s.summed_over for s in mean.stages} == {1}
    pixels = CONFIG.train.batch_size * CONFIG.data.crop_size**2
    assert {s.summed_over for s in summed.stages} == {pixels}


@pytest.mark.parametrize("name", ["2017", "staged", "vgg16"])
def test_a_row_trains_scores_and_is_found_done(name, tmp_path):
    dataset = synthetic.prepare(CONFIG)
    line = systems.run(CONFIG, dataset, ROWS[name], tmp_path)
    assert line["steps"] == 12 and 0 <= line["mean_iou"] <= 1 and 0 <= line["biased_batch"] <= 1
    assert line["trained_values"] > 1000
    checkpoint = tmp_path / "models" / "comparison" / name / "checkpoint.npz"
    written = checkpoint.stat().st_mtime_ns
    again = systems.run(CONFIG, dataset, ROWS[name], tmp_path)
    assert checkpoint.stat().st_mtime_ns == written
    assert again == line
    classes = dataset.labels.num_classes
    if name == "2017":
        assert line["first_loss"] > 2 * np.log(classes + 1)  # nothing keeps its activations small
    elif name != "staged":  # whose last network starts trained
        assert line["first_loss"] == pytest.approx(np.log(classes), rel=1e-3)


def test_rows_are_chosen_by_group_and_by_name():
    assert [row.name for row in chosen(("history",))] == [r.name for r in GROUPS["history"]]
    assert [row.name for row in chosen(("vgg16", "2017"))] == ["2017", "vgg16"]
    assert len(chosen(())) == len({row.name for row in chosen(())}) == len(ROWS)
    with pytest.raises(InputError, match="nonsense"):
        chosen(("nonsense",))


def test_the_summary_is_of_the_group_with_spread_over_seeds():
    rows = pd.DataFrame(
        {"name": ["vgg16", "vgg16", "2017"], "seed": [1, 2, 1], "mean_iou": [0.2, 0.4, 0.1]}
    )
    table = summary(rows, "systems")
    assert list(table.name) == ["vgg16"] and table.seeds[0] == 2
    assert table.mean_iou[0] == pytest.approx(0.3)
    assert table.spread[0] == pytest.approx(np.sqrt(0.02))


def test_chance_by_hand_and_by_seeds_of_no_effect():
    rows = pd.DataFrame(
        {"mean_iou": [0.50, 0.52, 0.6], "spread": [0.01, 0.01, np.nan], "seeds": [3, 3, 1]}
    )
    found = chance(rows, rows.shift())
    assert np.isnan(found[[0, 2]]).all()  # nothing before it; one seed
    # t = 0.02 / (0.01 * sqrt(2 / 3)) = sqrt(6) with 4 degrees of freedom, in closed form
    tail = np.sqrt(6 / 10) * (1 + 2 / 10)
    assert found[1] == pytest.approx(1 - tail)
    assert chance(rows.iloc[1], rows.iloc[0]) == found[1]
    seeds = np.random.default_rng(0).normal(size=(2, 20000, 3))
    drawn = [
        pd.DataFrame({"mean_iou": s.mean(-1), "spread": s.std(-1, ddof=1), "seeds": 3})
        for s in seeds
    ]
    assert np.mean(chance(*drawn) < 0.05) < 0.05  # two standard errors: 0.116


def test_a_row_is_what_an_exercise_makes(tmp_path):
    config, todo = jobs(
        CONFIG, Row("raw", "raw pixels only", {"input_scaling": "raw"}), CONFIG.path("data_dir")
    )
    assert config.network.input_scaling == "raw" and todo[0].name == "raw pixels only"


def test_the_profile_of_2017_has_every_fault():
    saved = load_profile("seed2017").to_dict()
    assert {key: saved[key] for key in SETTINGS_2017} == SETTINGS_2017


@pytest.mark.parametrize(
    "settings",
    [{"fusion": "feature"}, {"fusion": "2017", "normalization": "none", "void": "class"}],
    ids=["features", "2017"],
)
def test_other_fusions_train_as_chains(settings, tmp_path):
    """As `fcnlib train` and the notebooks do: each network starts from the coarser one."""
    small = {"strides": [32, 8], "depth_multiplier": 0.1, "min_depth": 4, "init_checkpoint": ""}
    config = load_profile("smoke", {"eval_limit": 3, "val_limit": 2, **small, **settings})
    dataset = synthetic.prepare(config)
    found = experiment.train_chain(config, dataset, tmp_path)
    assert list(found) == ["FCN-32s", "FCN-8s"]
    classes = dataset.labels.num_classes
    for evaluation in found.values():
        assert evaluation.matrices.shape == (3, classes, classes)


# The trainings of notebooks 04 and 07

SMALL = {"depth_multiplier": 0.1, "min_depth": 4, "ablation_steps": 7}
UNTRAINED = Config().replace(**SMALL, init_checkpoint="weights.npz")


def test_the_variants_differ_in_one_thing_each(tmp_path):
    jobs = {v.name: v.job for v in systems.variants(UNTRAINED, tmp_path)}
    assert list(jobs) == ["head", "all", "frozen", "scratch"]
    assert {sum(s.steps for s in job.stages) for job in jobs.values()} == {7}
    head = Stage("head", 2, UNTRAINED.train.head_lr, backbone=False, frozen=True)
    rest = Stage("all", 5, UNTRAINED.train.base_lr)
    assert jobs["head"].stages == (replace(head, steps=7),)
    assert jobs["all"].stages == (head, rest)
    assert jobs["frozen"].stages == (head, replace(rest, frozen=True))
    assert jobs["scratch"].stages == (replace(rest, steps=7),)
    assert jobs["scratch"].start is None
    assert {jobs[n].start for n in ("head", "all", "frozen")} == {UNTRAINED.path("init_checkpoint")}
    assert len({job.folder for job in jobs.values()}) == 4
    # A report lists the networks of models/*; these are no rungs of the chain.
    assert all(job.folder.parent.parent == tmp_path for job in jobs.values())


def test_without_a_classifier_nothing_starts_from_it(tmp_path):
    found = systems.variants(UNTRAINED.replace(init_checkpoint=""), tmp_path)
    assert [(v.name, v.job.start) for v in found] == [("head", None), ("scratch", None)]


@pytest.mark.parametrize(("steps", "decay"), [(3, 0.5), (7, 2 / 7), (100, 0.95), (2000, 0.95)])
def test_the_averages_forget_within_the_budget(tmp_path, steps, decay):
    config = UNTRAINED.replace(ablation_steps=steps, batch_norm_decay=0.95)
    (variant, *_) = systems.variants(config, tmp_path)
    assert variant.config.train.batch_norm_decay == pytest.approx(max(decay, 0.5))


def test_what_was_trained_is_counted(tmp_path):
    network = build_fcn(UNTRAINED, 3, 16)
    values = {name: v.numpy() for name, v in network.named_variables().items()}
    checkpoints.save(tmp_path / "checkpoint.npz", values, {})
    head, everything = Stage("head", 1, 1.0, backbone=False), Stage("all", 1, 1.0)
    for stages in ((head,), (everything,), (head, everything)):
        trained = network.trainable(backbone=everything in stages, head=True)
        expected = sum(int(tf.size(v)) for v in trained.values())
        assert systems.trained_values(TrainingJob(16, tmp_path, None, stages, "")) == expected


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
    job = TrainingJob(32, tmp_path / "net", tmp_path / "start.npz", (), "")
    assert systems.relative_change(job) == {
        "Conv2d_1a_3x3": pytest.approx(0.1),
        "Mixed_7c": 0.0,
    }
    assert systems.count_changed(job) == 1
    assert systems.count_changed(job, "/moving_mean", "/moving_variance") == 0


def test_a_profile_of_other_data_gets_the_scenes():
    config = load_profile("camvid", {"data_dir": "/somewhere"})
    changed = config.replace(**systems.scene_settings(config))
    assert changed.data.dataset == "scenes" and changed.path("data_dir").name == "scenes"
    assert changed.data.eval_split == "val" and changed.train.class_weights == "none"


def test_a_profile_of_scene_parsing_keeps_its_own():
    config = load_profile("quick", {"dataset": "scene-parsing"})
    assert systems.scene_settings(config) == {"class_weights": "none"}


def test_the_two_trainings_differ_in_the_weights_alone(tmp_path):
    config = load_profile("smoke")
    jobs = systems.scene_jobs(config, tmp_path)
    (one, equal), (other, balanced) = jobs["equal"], jobs["balanced"]
    assert equal.start == balanced.start == jobs["start"][1].folder / "checkpoint.npz"
    assert equal.stages == balanced.stages and equal.folder != balanced.folder
    assert one.replace(class_weights="median_frequency") == other
