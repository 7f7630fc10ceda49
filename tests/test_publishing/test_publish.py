"""From runs to results: mean and spread by hand, a run that is not whole, the README's table."""

import json

import pandas as pd
import pytest

from benchmarks import readme
from benchmarks.publish import publish
from fcnlib.errors import InputError
from fcntools.workbook.report import METRICS


def make(run, seed, networks):
    for name, score in networks.items():
        folder = run / "models" / name.lower()
        folder.mkdir(parents=True)
        metrics = {"network": name, "images": 8, "classes": ["x", "y"], "iou": [score, None]}
        metrics |= dict.fromkeys(METRICS, score) | {"split": "test", "data": "a" * 16}
        record = {"seed": seed, "training_seconds": 10.0 * seed, "commit": "c" * 40}
        record |= {"machine": {"cpu": "A CPU", "cores": 2}, "data": {"test": "a" * 16}}
        record["config"] = {"eval_split": "test", "eval_limit": 0}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "record.json").write_text(json.dumps(record))
        (folder / "log.csv").write_text("step,stage,loss\n1,all,0.5\n")
    return run


def test_mean_and_spread_by_hand_and_what_is_not_alike_is_refused(tmp_path):
    runs = [
        make(tmp_path / str(s), s, {"FCN-32s": 0.4, "FCN-8s": 0.5 + 0.1 * s}) for s in (1, 2, 3)
    ]
    publish(runs, tmp_path / "results" / "shapes", "make study")
    rows = json.loads((tmp_path / "results/shapes/summary.json").read_text())
    assert [row["network"] for row in rows] == ["FCN-32s", "FCN-8s"]
    assert rows[1]["mean_iou"] == pytest.approx(0.7)
    assert rows[1]["mean_iou_spread"] == pytest.approx(0.1)
    assert rows[1]["seeds"] == 3 and rows[1]["machine"] == "A CPU, 2 cores"
    curves = pd.read_csv(tmp_path / "results/shapes/curves.csv")
    assert len(curves) == 6 and set(curves["seed"]) == {1, 2, 3}
    classes = pd.read_csv(tmp_path / "results/shapes/classes.csv").set_index("class")
    assert classes.loc["x", "FCN-8s"] == pytest.approx(0.7)

    page = tmp_path / "README.md"
    page.write_text(f"# A\n{readme.BEGIN}\nold\n{readme.END}\nend\n")
    assert not readme.update(page, tmp_path / "results", check=True) and "old" in page.read_text()
    assert not readme.update(page, tmp_path / "results")
    assert "| shapes | FCN-8s | **70.0** ± 10.0 | 70.0 | 70.0 | 70.0 |\n" in page.read_text()
    note = "- shapes: 8 images, 3 seeds, `make study`, A CPU, 2 cores, commit cccccccccc\n"
    assert page.read_text().endswith(f"{note}{readme.END}\nend\n")
    assert readme.update(page, tmp_path / "results", check=True)

    other = tmp_path / "1" / "models" / "fcn-8s" / "metrics.json"
    scores = json.loads(other.read_text())
    changes = [({"images": 9}, "different images"), ({"split": "val"}, "split is val, test by")]
    changes += [({"data": "b" * 16}, "data is bbbb"), ({"trained_on": 3}, "were trained on")]
    for change, said in changes:
        other.write_text(json.dumps(scores | change))
        with pytest.raises(InputError, match=said):
            publish(runs, tmp_path / "other", "x")
    other.unlink()
    with pytest.raises(InputError, match=r"metrics\.json or record\.json is missing"):
        publish(runs, tmp_path / "other", "x")
    other.parent.joinpath("record.json").unlink()
    other.parent.joinpath("log.csv").unlink()
    other.parent.rmdir()
    with pytest.raises(InputError, match="FCN-8s is not in every run"):
        publish(runs, tmp_path / "other", "x")
    assert not (tmp_path / "other").exists()
