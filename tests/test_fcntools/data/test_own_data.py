"""A stranger's folder goes through check, training and scoring by one YAML; so does a benchmark."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from model_maker import write_network
from PIL import Image

from fcnlib import metrics
from fcnlib.datasets.voc import VOC
from fcntools.cli import main

YAML = """name: garden
layout: voc
classes: {soil: 7, leaf: 1, stem: 2, fruit: 3}
palette: ["#604020", "#20c040", [90, 120, 60], "#d02030"]
void: 9
"""
SIZES = [(50, 70), (65, 65), (90, 40), (33, 120)]


def call(*words):
    run = CliRunner().invoke(main.main, [str(word) for word in words])
    assert run.exit_code == 0, run.output
    return run.output


def write_devkit(root: Path, values, sizes=SIZES):
    """Write a folder in VOC's layout, images of several sizes, two a split."""
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    names = [f"plot_{i}" for i in range(len(sizes))]
    for name, (height, width) in zip(names, sizes, strict=True):
        picture = rng.integers(0, 255, (height, width, 3), np.uint8)
        mask = np.kron(rng.choice(values, (4, 4)), np.ones((40, 40)))[:height, :width]
        Image.fromarray(picture).save(root / "JPEGImages" / f"{name}.jpg")
        Image.fromarray(mask.astype(np.uint8)).save(root / "SegmentationClass" / f"{name}.png")
    lists = {"train": names[: len(names) // 2], "val": names[len(names) // 2 :]}
    for split, listed in lists.items():
        path = root / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.write_text("\n".join(listed) + "\n")
    return lists


@pytest.mark.slow
def test_a_strangers_folder_needs_one_yaml_and_no_code(tmp_path):
    root = tmp_path / "garden"
    write_devkit(root, [7, 1, 2, 3, 9])
    (root / "dataset.yaml").write_text(YAML)
    report = call("data", "check", root)
    assert "garden" in report and "fruit" in report and report.rstrip().endswith("0 faults")

    settings = {
        "dataset": "folder",
        "data_dir": root,
        "strides": 32,
        "crop_size": 65,
        "init_checkpoint": "",
    }
    settings |= {"depth_multiplier": 0.1, "min_depth": 4, "batch_size": 2}
    settings |= {"head_steps": 1, "coarse_steps": 1}
    words = [w for key, value in settings.items() for w in ("--set", f"{key}={value}")]
    trained = call("train", "--profile", "smoke", "--out", tmp_path / "run", *words)
    assert "FCN-32s: " in trained
    folder = tmp_path / "run" / "models" / "fcn-32s"
    found = json.loads((folder / "metrics.json").read_text())
    assert found["classes"] == ["soil", "leaf", "stem", "fruit"] and found["images"] == 2
    masks = [np.array(Image.open(root / "SegmentationClass" / f"plot_{i}.png")) for i in (2, 3)]
    assert found["num_pixels"] == sum(int((mask != 9).sum()) for mask in masks)
    assert "mean iou" in call("evaluate", folder, "--set", "eval_limit=1").lower()

    call("predict", folder, root / "JPEGImages" / "plot_0.jpg", "--out", tmp_path / "answers")
    with Image.open(tmp_path / "answers" / "plot_0.png") as stored:
        colours = np.asarray(stored.convert("RGB")).reshape(-1, 3).tolist()
        pairs = zip(np.asarray(stored).ravel().tolist(), map(tuple, colours), strict=True)
        assert set(pairs) <= {
            (7, (96, 64, 32)),
            (1, (32, 192, 64)),
            (2, (90, 120, 60)),
            (3, (208, 32, 48)),
        }


def test_a_benchmark_scores_at_native_size_and_writes_the_servers_files(tmp_path):
    lists = write_devkit(tmp_path / "VOC2012", [0, 7, 15, 20, 255])
    folder = tmp_path / "models" / "fcn-32s"
    write_network(folder, VOC.classes, 32)
    config = {"dataset": "voc2012", "data_dir": str(tmp_path / "VOC2012"), "eval_batch_size": 1}
    (folder / "record.json").write_text(json.dumps({"config": config}))
    output = call("benchmark", tmp_path)
    results = folder / "results" / "VOC2012" / "Segmentation" / "comp6_val_cls"
    matrix = np.zeros((21, 21), np.int64)
    for name in lists["val"]:
        truth, answer = (
            np.array(Image.open(place / f"{name}.png"))
            for place in (tmp_path / "VOC2012" / "SegmentationClass", results)
        )
        assert truth.shape == answer.shape
        matrix += metrics.confusion_matrix(truth, answer, 21)
    figures = json.loads((folder / "benchmark.json").read_text())
    scores = metrics.scores(matrix)
    assert figures["mean IoU of the classes present"] == pytest.approx(scores.mean_iou)
    assert figures["mean IoU"] is None, "the devkit's mean over 21 classes needs all of them"
    assert f"{100 * scores.pixel_accuracy:.2f}" in output

    # the test images come without masks: their answers are for the server alone
    images, test = tmp_path / "VOC2012" / "JPEGImages", results.with_name("comp5_test_cls")
    Image.new("RGB", (40, 30)).save(images / "hidden.jpg")
    (tmp_path / "VOC2012/ImageSets/Segmentation/test.txt").write_text("hidden\n")
    call("benchmark", tmp_path, "--competition", "comp5", "--set", "eval_split=test")
    with Image.open(test / "hidden.png") as answer:
        assert answer.size == (40, 30) and answer.mode == "P"
    assert [path.name for path in test.iterdir()] == ["hidden.png"]
