"""The table of systems: one change a row, equal steps, and every kind of row trains and scores."""

import itertools

import numpy as np
import pandas as pd
import pytest

from fcnlib import experiment
from fcnlib.config import keys, load_profile
from fcnlib.errors import InputError
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


@pytest.mark.parametrize("name", ["2017", "staged", "features", "vgg16"])
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
    drawn = [{"mean_iou": s.mean(-1), "spread": s.std(-1, ddof=1), "seeds": 3} for s in seeds]
    assert np.mean(chance(*drawn) < 0.05) < 0.05  # two standard errors: 0.116


def test_a_row_is_what_an_exercise_makes(tmp_path):
    config, todo = jobs(
        CONFIG, Row("raw", "raw pixels only", {"inputs": "raw"}), CONFIG.path("data_dir")
    )
    assert config.network.inputs == "raw" and todo[0].name == "raw pixels only"


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
    small = {"chain": [32, 8], "depth_multiplier": 0.1, "min_depth": 4, "initial": ""}
    config = load_profile("smoke", {"eval_limit": 3, "val_limit": 2, **small, **settings})
    dataset = synthetic.prepare(config)
    found = experiment.train_chain(config, dataset, tmp_path)
    assert list(found) == ["FCN-32s", "FCN-8s"]
    classes = dataset.labels.num_classes
    for evaluation in found.values():
        assert evaluation.matrices.shape == (3, classes, classes)
