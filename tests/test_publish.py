"""Results over seeds by hand, and a run that is not whole."""

import json

import pandas as pd
import pytest
from click.testing import CliRunner

from fcnlib.errors import InputError
from fcntools.cli.main import main
from fcntools.workbook.publish import publish
from fcntools.workbook.run_contents import METRICS


def make(run, seed, networks):
    for name, score in networks.items():
        folder = run / "models" / name.lower()
        folder.mkdir(parents=True)
        metrics = {"network": name, "images": 8, "classes": ["x", "y"], "iou": [score, None]}
        metrics |= dict.fromkeys(METRICS, score)
        record = {"seed": seed, "training_seconds": 10.0 * seed, "commit": "c" * 40}
        record["machine"] = {"cpu": "A CPU", "cores": 2}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "record.json").write_text(json.dumps(record))
        (folder / "log.csv").write_text("step,stage,loss\n1,all,0.5\n")
    return run


def test_mean_and_spread_by_hand(tmp_path):
    runs = [
        make(tmp_path / str(s), s, {"FCN-32s": 0.4, "FCN-8s": 0.5 + 0.1 * s}) for s in (1, 2, 3)
    ]
    publish(runs, tmp_path / "shapes", "fcnlib study")
    rows = json.loads((tmp_path / "shapes/summary.json").read_text())
    assert [row["network"] for row in rows] == ["FCN-32s", "FCN-8s"]
    assert rows[1]["mean_iou"] == pytest.approx(0.7)
    assert rows[1]["mean_iou_spread"] == pytest.approx(0.1)
    assert rows[1]["seeds"] == 3 and rows[1]["machine"] == "A CPU, 2 cores"
    curves = pd.read_csv(tmp_path / "shapes/curves.csv")
    assert len(curves) == 6 and set(curves["seed"]) == {1, 2, 3}
    classes = pd.read_csv(tmp_path / "shapes/classes.csv").set_index("class")
    assert classes.loc["x", "FCN-8s"] == pytest.approx(0.7)


def test_one_run_has_no_spread(tmp_path):
    publish([make(tmp_path / "1", 1, {"FCN-8s": 0.5})], tmp_path / "out", "x")
    assert json.loads((tmp_path / "out/summary.json").read_text())[0]["mean_iou_spread"] is None


def test_a_run_that_is_not_whole_is_refused_by_name(tmp_path):
    runs = [make(tmp_path / "1", 1, {"FCN-32s": 0.4, "FCN-8s": 0.5})]
    runs.append(make(tmp_path / "2", 2, {"FCN-32s": 0.4}))
    with pytest.raises(InputError, match="FCN-8s"):
        publish(runs, tmp_path / "out", "x")
    (tmp_path / "1/models/fcn-8s/metrics.json").unlink()
    with pytest.raises(InputError, match=r"metrics\.json"):
        publish(runs, tmp_path / "out", "x")


def rewrite(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"split": "train"}, "split is train, test by the run's record"),
        ({"data": "b" * 16}, "data is bbbb"),
        ({"trained_on": 3}, "images that were trained on"),
    ],
)
def test_scores_of_other_images_than_the_records_are_refused(tmp_path, changes, said):
    run = make(tmp_path / "1", 1, {"FCN-8s": 0.5})
    folder = run / "models" / "fcn-8s"
    config = {"eval_split": "test", "eval_limit": 0}
    rewrite(folder / "record.json", config=config, data={"test": "a" * 16})
    rewrite(folder / "metrics.json", split="test", data="a" * 16, trained_on=0)
    publish([run], tmp_path / "out", "x")
    rewrite(folder / "metrics.json", **changes)
    with pytest.raises(InputError, match=said):
        publish([run], tmp_path / "other", "x")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("changes", [{"data": "b" * 16}, {"images": 9}])
def test_runs_that_were_scored_on_different_images_are_not_averaged(tmp_path, changes):
    runs = [make(tmp_path / str(seed), seed, {"FCN-8s": 0.5}) for seed in (1, 2)]
    for run in runs:
        rewrite(run / "models" / "fcn-8s" / "metrics.json", data="a" * 16)
    publish(runs, tmp_path / "out", "x")
    rewrite(runs[1] / "models" / "fcn-8s" / "metrics.json", **changes)
    with pytest.raises(InputError, match="different images"):
        publish(runs, tmp_path / "other", "x")


def test_the_record_of_a_run_is_kept(tmp_path):
    run = make(tmp_path / "1", 1, {"FCN-8s": 0.5})
    (run / "record.json").write_text('{"command": "fcnlib run"}')
    words = ["publish", str(run), "--by", "x", "--to"]
    assert CliRunner().invoke(main, [*words, str(run)]).exit_code == 2
    assert (run / "record.json").read_text() == '{"command": "fcnlib run"}'
    for _ in range(2):
        assert CliRunner().invoke(main, [*words, str(tmp_path / "out")]).exit_code == 0
