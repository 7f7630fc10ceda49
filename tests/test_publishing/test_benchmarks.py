"""The tables that `make bench` writes, from rows worked out by hand."""

import json
import os
from types import SimpleNamespace

import pandas as pd
import pytest
from model_maker import make_network

from benchmarks import accuracy, bench, camvid, front_page, growth, profiling
from fcnlib.config import load_profile
from fcnlib.errors import InputError
from fcnlib.runtime.run_record import relative

RECORD = {
    "machine": {"cpu": "a processor", "cores": 2},
    "versions": {"tensorflow": "2.21.0"},
    "commit": "0123456789abcdef",
    "training_seconds": 4260,
}


def test_the_summary_sets_ours_beside_each_peers_fastest():
    rows = [
        ("training", "ours", 8.0),
        ("training", "ours, float32", 4.0),
        ("training", "Keras, float32", 2.0),
        ("training", "Keras, mixed bfloat16", 4.0),
        ("training", "2017", 1.6),
        ("metric", "ours", 400.0),
        ("metric", "Keras MeanIoU", 6.0),
    ]
    rows += [("ceiling", "convolution, bfloat16", 442.0)]
    rows = [dict(zip(("group", "what", "value"), row, strict=True)) for row in rows]
    rows = bench.with_operations(rows, {"ours": 10.0, "Keras": 5.0})
    frame = pd.DataFrame(rows, columns=["group", "what", "value", "gflops"])
    training = next(t for t in bench.summary(frame, RECORD).splitlines() if "| training" in t)
    assert training == "| training | 8 | 4 (2.00 times) |  | 1.6 (5.00 times) |"
    text = bench.summary(frame, RECORD)
    assert "| training, GFLOP/s | 240 | 60 |  |  |" in text  # 3 x 8 x 10, 3 x 4 x 5
    assert "reaches 442 GFLOP/s" in text
    assert "ours 400, Keras MeanIoU 6." in text and "commit 0123456789;" in text


def test_the_readme_keeps_what_is_around_the_marks(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(f"above\n{bench.BEGIN}\nold\n{bench.END}\nbelow\n")
    for text in ("new", "newer"):
        bench.into_readme(text, path)
    assert path.read_text() == f"above\n{bench.BEGIN}\nnewer\n{bench.END}\nbelow\n"


def test_the_page_of_growth_by_hand(monkeypatch):
    """A step twice as long for 150 classes, ten billion operations an image, 60 of 100 GFLOP/s."""
    monkeypatch.setattr(growth, "operations", lambda side: 10e9)
    rows = [("side", s, 2.0, 2.0) for s in growth.CASES["side"]]
    rows += [("batch", b, 1.0 + b / 4, b / (1.0 + b / 4)) for b in growth.CASES["batch"]]
    rows += [("classes", c, s, 4 / s) for c, s in ((21, 2.0), (150, 4.0), (1000, 20.0))]
    rows += [("threads", t, 3.0 / t, t) for t in growth.CASES["threads"]]
    frame = pd.DataFrame(rows, columns=["changed", "to", "seconds", "images/s"])
    page = growth.page(frame, 100.0, 88_000_000, RECORD)
    assert "**The machine's share.** 60%" in page  # 3 x 10e9 x 4 images in 2 s
    assert "takes 2.00 times as long, to 1000\n10.0 times" in page
    assert "Two threads do 2.00 times" in page
    an_image = 3 * 10e9 / (0.6 * growth.GPU_PEAK)
    hours = an_image * 10_582 * growth.EPOCHS / 3600
    assert f"| PASCAL VOC 2012, trainaug | 321 | {60 * hours:.1f} min |" in page
    step, ring = an_image * growth.GPU_BATCH, 2 * 7 / 8 * 88e6 / 12.5e9
    assert f"| {60 * hours / 8 * (step + ring) / step:.1f} min |" in page
    assert hours == pytest.approx(0.0236, rel=0.01)
    assert len(growth.draw(frame).axes) == 4


def test_the_page_of_accuracy_by_hand():
    """50 ± 1 against 53 ± 1 over three seeds: an error of 1.41 / sqrt 3, so t = 3.7; 2.78 is 5 %.

    Two points are more than twice that error, and yet no loss.
    """
    rows = [
        (precision, seed, network, middle + spread)
        for network, middles in (("FCN-32s", (50, 53)), ("FCN-8s", (60, 62)))
        for precision, middle in zip(accuracy.PRECISIONS, middles, strict=True)
        for seed, spread in ((1, -1.0), (2, 0.0), (3, 1.0))
    ]
    frame = pd.DataFrame(rows, columns=["precision", "seed", "network", "mean_iou"])
    text = accuracy.page(frame, "bfloat16", "a processor")
    assert "| FCN-32s | 50.0 ± 1.0 | 53.0 ± 1.0 | -3.0 | 0.8 |" in text
    assert "| FCN-8s | 60.0 ± 1.0 | 62.0 ± 1.0 | -2.0 | 0.8 |" in text
    assert "5 % (t test): FCN-32s of 2 looked at. 2 of 2 means are lower;" in text
    even = frame.assign(mean_iou=50.0 + frame.seed)
    assert "(t test): none of 2 looked at" in accuracy.page(even, "bfloat16", "a processor")


def test_the_share_of_the_ceiling_by_hand(monkeypatch):
    """Two images a batch at 10 GFLOP forward in half a second: 120 GFLOP/s, of 240 one half."""
    monkeypatch.setattr(profiling, "operations", lambda side: 10e9)
    monkeypatch.setattr(profiling.contestants, "BATCH", 2)
    rows = [{"what": f"convolution, {t}", "value": 240.0} for t in ("float32", "bfloat16")]
    monkeypatch.setattr(profiling.small, "ceiling", lambda: rows)
    times = {("wide", "as it is"): 0.5, ("wide", "float32"): 1.0}
    text = profiling.against_the_ceiling(times)
    assert "- as it is: 120 GFLOP/s" in text and "50% of what one large bfloat16" in text
    assert "- float32: 60 GFLOP/s" in text and "25% of what one large float32" in text


def test_a_profile_counts_operations_and_nothing_else():
    from fcnlib.runtime.compat import tf

    x = tf.random.normal([4, 33, 33, 8])
    kernel = tf.random.normal([3, 3, 8, 8])
    step = tf.function(lambda: tf.reduce_sum(tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))))
    found = profiling.profiled(step)
    kinds = {kind.removeprefix("_MklNative").removeprefix("_").split("Conv2D")[0] for kind in found}
    assert sum(share for share, _ in found.values()) == pytest.approx(1.0)
    assert any("Conv2D" in kind for kind in found) and "Process" not in kinds


def test_a_page_without_marks_is_left_alone(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("no marks here", encoding="utf-8")
    with pytest.raises(InputError, match=r"README\.md: write <!-- camvid:begin -->"):
        bench.into_readme("table", path, *front_page.MARKS)
    assert path.read_text(encoding="utf-8") == "no marks here"


def test_no_question_is_asked_twice_and_the_base_fixes_all_that_changes():
    """So that the lines stay what they were when the profile behind them moves on."""
    plans = {name: camvid.planned(changes) for name, (_, changes) in camvid.QUESTIONS.items()}
    assert len({repr(plan) for plan in plans.values()}) == len(plans)
    changed = {key for _, changes in camvid.QUESTIONS.values() for key in changes}
    assert changed - {"stride", "steps"} <= set(camvid.BASE)
    for _, _, settings in plans.values():
        load_profile("camvid-best", settings)
    assert plans["base"] == (4, 1000, camvid.BASE)


@pytest.fixture
def make_run(tmp_path):
    """Return a function that writes what `records` and `_scored` read of a run."""

    def make(seed, **changes):
        folder = tmp_path / f"run-{seed}" / "models" / front_page.NETWORK
        folder.mkdir(parents=True)
        (folder / "checkpoint.npz").write_bytes(b"")
        config = {"dataset": "camvid", "train_split": "train", "train_limit": 0, "seed": seed}
        record = {"seed": seed, "config": config | changes}
        (folder / "record.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return make


def test_the_front_page_takes_finished_runs_that_differ_in_the_seed(make_run):
    folders = [make_run(seed, data_dir=f"here/{seed}") for seed in (1, 2)]
    runs = [folder.parents[1] for folder in folders]
    assert [record["seed"] for record in front_page.records(runs)] == [1, 2]
    with pytest.raises(InputError, match="one seed"):
        front_page.records([runs[0], runs[0]])
    with pytest.raises(InputError, match="more than the seed"):
        front_page.records([runs[0], make_run(3, batch_size=2).parents[1]])
    with pytest.raises(InputError, match="run-4: was not trained on all"):
        front_page.records([make_run(4, train_split="train-street").parents[1]])
    later = (folders[0] / "record.json").stat().st_mtime + 10
    os.utime(folders[0] / "checkpoint.npz", (later, later))  # a training goes on
    with pytest.raises(InputError, match="run-1: holds no finished fcn-4s"):
        front_page.records(runs)


@pytest.mark.parametrize(
    ("content", "accepted"),
    [
        ('{"data": "0a", "images": 233}', True),
        ('{"data": "0b", "images": 233}', False),
        ('{"data": "0a", "images": 3}', False),
        ("[]", False),
        ('{"split"', False),
    ],
)
def test_only_figures_of_all_test_images_are_taken_over(make_run, content, accepted):
    folder = make_run(1)
    path, checkpoint = folder / "benchmark.json", folder / "checkpoint.npz"
    assert not front_page._scored(path, "0a", folder)
    path.write_text(content, encoding="utf-8")
    assert front_page._scored(path, "0a", folder) == accepted
    assert not front_page._scored(path, "0a", folder, folder)  # none of an average
    later = path.stat().st_mtime + 10
    os.utime(checkpoint, (later, later))
    assert not front_page._scored(path, "0a", folder)


def scored(*seeds):
    """Return rows as `front_page.score` does, 52 points for FCN-32s of seed 1."""
    rows = [
        {"seed": str(seed), "network": name, "mean IoU": (50 + 2 * place + 2 * seed) / 100}
        | {"minutes": 70.0 + seed}
        | dict.fromkeys(front_page.FIGURES[1:], 0.9)
        | {"sky": 0.9, "pole": 0.1 * seed}
        for seed in seeds
        for place, name in enumerate(front_page.READINGS)
    ]
    return pd.DataFrame(rows)


def test_the_front_page_by_hand():
    """Two seeds, 58 and 60 points for the plain network: above FCN-8 of others, below Tiramisu."""
    frame = scored(1, 2)
    lines = front_page.table(frame).splitlines()
    assert "| **FCN-4s** | **59.0 ± 1.4** | 90.0 | 90.0 | 90.0 |" in lines
    order = [line.split("|")[1].strip(" *") for line in lines]
    assert order.index("FCN-8") < order.index("FCN-4s") < order.index("FC-DenseNet103")
    assert (
        "| FCN-8* | 57.0 | 88.0 |  |  |" in lines
        and "| FC-DenseNet103 | 66.9 | 91.5 |  |  |" in lines
    )
    assert "| pole | 15.0 | 15.0 |" in front_page.classes(frame, ["sky", "pole"])


@pytest.fixture
def republish(tmp_path, monkeypatch):
    """Return a function that publishes seeds into an empty folder and returns what is there."""
    monkeypatch.setattr(front_page, "FOLDER", tmp_path)

    def publish(seeds, frame=None, **config):
        known = [RECORD | {"seed": s, "initial": {}, "config": config | {"seed": s}} for s in seeds]
        frame, about = front_page.merged(scored(*seeds) if frame is None else frame, known)
        frame.to_csv(tmp_path / "best.csv", index=False)
        (tmp_path / "best.json").write_text(json.dumps(about), encoding="utf-8")
        assert set(about["seeds"]) == set(" ".join(frame.seed).split())
        return frame

    return publish


def test_seeds_published_before_stay_while_the_settings_do(republish, tmp_path, capsys):
    """One seed takes up to 150 minutes, so three need not be scored, or lie on a disk, at once."""
    assert list(republish([1, 2], coarse_steps=10, data_dir="here").seed.unique()) == ["1", "2"]
    frame = republish(
        [3], coarse_steps=10, data_dir="there", channel_jitter=0.0
    )  # what it is anyway
    assert list(frame.seed.unique()) == ["1", "2", "3"]
    anew = scored(2).assign(**{"mean IoU": 0.7})
    frame = republish([2], anew, coarse_steps=10)
    assert len(frame) == 3 * len(front_page.READINGS) and not capsys.readouterr().err
    assert set(frame[frame.seed == "2"]["mean IoU"]) == {0.7}
    assert list(republish([1], coarse_steps=20).seed.unique()) == ["1"]
    assert "another recipe" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["best.csv", "best.json"])
def test_half_of_a_publication_is_none(republish, tmp_path, name):
    republish([1])
    (tmp_path / name).unlink()
    assert list(republish([2]).seed.unique()) == ["2"]


def test_other_readings_published_before_are_not_averaged_with(republish, monkeypatch):
    republish([1])
    monkeypatch.delitem(front_page.READINGS, "FCN-16s")
    assert list(republish([2]).seed.unique()) == ["2"]


def test_an_average_of_networks_is_published_until_one_of_them_is_another(republish):
    both = scored(1).tail(1).assign(seed="1 2", network="FCN-4s, 2 networks")
    frame = republish([1, 2], pd.concat([scored(1), both, scored(2)]))
    assert list(frame.seed.unique()) == ["1", "1 2", "2"]
    frame = republish([10, 3])
    assert list(frame.seed.unique()) == ["1", "2", "3", "10", "1 2"]
    assert "| **FCN-4s, 2 networks** | **64.0** |" in front_page.table(frame)
    assert "FCN-4s, 2 networks |\n" in front_page.classes(frame, ["sky"])
    other = pd.concat([scored(4), scored(5), both.assign(seed="4 5")])
    assert list(republish([4, 5], other).seed.unique())[-2:] == ["10", "4 5"]
    assert list(republish([4]).seed.unique()) == ["1", "2", "3", "4", "5", "10"]


def test_an_interval_over_images_stands_beside_the_spread_over_seeds():
    frame = scored(1, 2)
    assert "| **FCN-32s** | **53.0 ± 1.4** |" in front_page.table(frame)
    frame.loc[(frame.seed == "1") & (frame.network == "FCN-32s"), ["low", "high"]] = 0.49, 0.553
    assert "| **FCN-32s** | **53.0 ± 1.4 (49.0 to 55.3)** |" in front_page.table(frame)
    assert front_page.table(frame).count(" to ") == 1


def test_an_average_is_scored_with_the_others_checkpoints(make_run, monkeypatch):
    runs = [make_run(seed).parents[1] for seed in (1, 2)]
    known = [RECORD | {"seed": seed, "config": {}} for seed in (1, 2)]
    asked = []

    def benchmark(config, folder, augmentation):
        asked.append((config.data.eval_split, folder.parents[1].name, augmentation))
        said = {
            "data": "0a",
            "images": 233,
            "others": [relative(other) for other in augmentation.others],
        }
        said |= dict.fromkeys(front_page.FIGURES, 0.6) | {"iou": {"sky": 0.9}}
        said |= {"mean IoU, 95 % of test sets": [0.55, 0.64]}
        (folder / f"benchmark{augmentation.name}.json").write_text(
            json.dumps(said), encoding="utf-8"
        )

    monkeypatch.setattr(front_page.scoring, "benchmark", benchmark)
    images = SimpleNamespace(records=lambda split: split)
    monkeypatch.setattr(front_page, "prepare", lambda config: images)
    monkeypatch.setattr(front_page, "split_digest", lambda dataset, split: "0a")
    rows = [front_page.score_together(runs, known, runs[0]) for _ in range(2)]
    assert rows[0] == rows[1] and len(asked) == 1
    assert (rows[0]["seed"], rows[0]["minutes"]) == ("1 2", 142.0)
    split, first, reading = asked[0]
    assert (split, first, reading.others) == ("test", "run-1", (runs[1] / "models" / "fcn-4s",))
    assert reading.flip and len(reading.scales) == 6
    front_page.score_together([runs[0], make_run(3).parents[1]], known, runs[0])
    assert len(asked) == 2


def test_what_a_run_started_from_must_be_on_record(make_run, tmp_path):
    initial = tmp_path / "shapes.npz"
    run = make_run(1, init_checkpoint=str(initial)).parents[1]
    with pytest.raises(InputError, match=r"shapes\.json: no record of how .* was made"):
        front_page.records([run])
    record = RECORD | {"command": "fcnlib pretrain", "config": {}, "training_seconds": 600.0}
    initial.with_suffix(".json").write_text(json.dumps(record), encoding="utf-8")
    assert front_page.records([run])[0]["initial"] == record | {"initial": {}}
    later = {
        "command": "fcnlib train",
        "config": {"init_checkpoint": str(initial)},
        "training_seconds": 9,
    }
    (tmp_path / "streets.json").write_text(json.dumps(later), encoding="utf-8")
    found = front_page.records(
        [make_run(2, init_checkpoint=str(tmp_path / "streets.npz")).parents[1]]
    )
    assert found[0]["initial"]["initial"] == record | {"initial": {}}
    itself = later | {"config": {"init_checkpoint": str(tmp_path / "streets.npz")}}
    (tmp_path / "streets.json").write_text(json.dumps(itself), encoding="utf-8")
    with pytest.raises(InputError, match=r"streets\.json: says that it started from itself"):
        front_page.records([run.parent / "run-2"])


def test_an_average_is_a_line_of_the_page(tmp_path, monkeypatch):
    runs, written = [tmp_path / "run-1", tmp_path / "run-2"], {}
    average = scored(1).iloc[-1].to_dict() | {"seed": "1 2", "network": "FCN-4s, 2 networks"}
    config = {"depth_multiplier": 0.5, "coarse_steps": 900}
    known = [RECORD | {"seed": seed, "initial": {}, "config": config} for seed in (1, 2)]
    monkeypatch.setattr(front_page, "FOLDER", tmp_path)
    monkeypatch.setattr(front_page, "records", lambda runs: known[: len(runs)])
    monkeypatch.setattr(
        front_page, "score", lambda run, record, data: scored(record["seed"]).to_dict("records")
    )
    monkeypatch.setattr(front_page, "score_together", lambda *runs_records_data: average)
    monkeypatch.setattr(
        front_page, "load_fcn", lambda folder: (make_network(3, 32), {"classes": "abc"})
    )
    monkeypatch.setattr(front_page, "into_readme", lambda text, *where: written.update(text=text))
    with pytest.raises(InputError, match="give two or more"):
        front_page.publish(runs[:1], tmp_path, together=True)
    front_page.publish(runs, tmp_path)
    assert "2 networks" not in written["text"]
    front_page.publish(runs, tmp_path, together=True)
    assert "averages the probabilities of that many seeds" in written["text"]
    beside = written["text"].replace("(results/README.md", "(../README.md")
    assert beside in (tmp_path / "best.md").read_text("utf-8")
    assert "| **FCN-4s, 2 networks** | **64.0** |" in written["text"]


START = {"training_seconds": 600, "dataset": "shapes", "command": "fcnlib pretrain --out a.npz"}


def test_the_readme_says_where_the_numbers_are_from():
    seeds = {str(s): RECORD | {"commit": f"{s}23456789abcdef"} for s in (1, 2)}
    config = {"depth_multiplier": 0.5, "coarse_steps": 900}
    text = front_page.readme(scored(1, 2), {"config": config, "seeds": seeds}, 5.5)
    assert "standard deviation over 2 seeds" in text and "5.5 million" in text
    assert "was drawn at random" in text and "for 71 minutes" in text and "(900 steps" in text
    assert "commit 123456789a; a processor" in text and "commit 223456789a." in text
    for origin in seeds.values():
        origin |= {"dirty": True, "initial": START}
    text = front_page.readme(scored(1, 2), {"config": config, "seeds": seeds}, 5.5)
    assert "learned generated shapes for 10 minutes (`fcnlib pretrain`)" in text
    assert "commit 223456789a with changes." in text
    streets = {"training_seconds": 1080, "dataset": "streets"}
    streets |= {"command": "fcnlib train --resume --profile streets --out b", "initial": START}
    for origin, minutes in zip(seeds.values(), (71, 75), strict=True):
        origin |= {"initial": streets, "training_seconds": 60 * minutes}
    text = front_page.readme(scored(1, 2), {"config": config, "seeds": seeds}, 5.5)
    assert (
        "that learned generated shapes for 10 minutes (`fcnlib pretrain`) and generated streets "
        "for 18 minutes (`fcnlib train --profile streets`),"
    ) in text
    assert "for 71 to 75 minutes" in text and "several networks" not in text
