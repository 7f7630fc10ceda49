"""`fcnlib predict` as a user calls it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from model_maker import write_network
from PIL import Image

from fcnlib.errors import InputError
from fcnlib.labels import SHAPES
from fcnlib.runtime.files import read_json
from fcntools.cli import options
from fcntools.cli.main import main


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "fcn-8s"
    write_network(folder, SHAPES.classes, 8)
    return folder


@pytest.fixture
def images(tmp_path):
    """A folder with a good image, a grey one and a truncated one."""
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "colour.png")
    Image.fromarray(pixels[..., 0]).save(folder / "grey.png")
    (folder / "half.png").write_bytes((folder / "colour.png").read_bytes()[:2000])
    return folder


def predict(*words):
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def test_a_corrupt_file_is_reported_and_the_rest_goes_on(network, images, tmp_path):
    before = {p.name: p.read_bytes() for p in images.iterdir()}
    result = predict(network, images, "--out", tmp_path / "out", "--flip", "--scales", "0.5,1")
    assert result.exit_code == 1
    assert "half.png: not a readable image" in result.output
    assert "2 of 3 images labelled" in result.output
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "legend.png",
        *(name + end for name in ("colour", "grey") for end in (".png", "_overlay.jpg", ".json")),
    }
    with Image.open(tmp_path / "out" / "grey.png") as stored:
        assert stored.size == (70, 50)
    said = json.loads((tmp_path / "out" / "colour.json").read_text("utf-8"))
    assert sum(said["shares"].values()) == pytest.approx(1)
    assert said["scales"] == [0.5, 1.0]
    assert {p.name: p.read_bytes() for p in images.iterdir()} == before


def test_two_networks_answer_together(network, images, tmp_path):
    other = tmp_path / "fcn-32s"
    write_network(other, SHAPES.classes, 32, seed=2)
    words = [network, images / "colour.png", "--out", tmp_path / "both", "--with", other]
    assert predict(*words).exit_code == 0
    assert read_json(tmp_path / "both" / "colour.json")["others"] == ["../fcn-32s"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--scales", "one"], "--scales one: give numbers from 0.1 to 4, such as 0.75,1,1.25"),
        (["--scales", "1,25"], "--scales 1,25: give numbers"),
        (["--scales", "nan"], "--scales nan: give numbers"),
        (["--tile", "0"], "must be positive"),
    ],
)
def test_a_mistake_is_one_line(network, images, tmp_path, words, fault):
    result = predict(network, images, "--out", tmp_path / "out", *words)
    assert result.exit_code == 2
    assert fault in result.output
    assert len(result.output.splitlines()) == 1


def test_a_run_answers_by_its_finest_network_and_says_so(network, tmp_path, capsys):
    models = tmp_path / "run" / "models"
    for name in ("fcn-32s", "fcn-32s-longer", "fcn-8s"):
        shutil.copytree(network, models / name)
    assert options.network(models / "fcn-8s" / "checkpoint.npz").is_file()
    assert capsys.readouterr().err == ""
    assert options.network(models.parent) == models / "fcn-8s"
    said = f"{models.parent}: taking its finest network, fcn-8s\n"
    assert capsys.readouterr().err == said
    shutil.move(models / "fcn-8s", models / "second")
    shutil.move(models / "fcn-32s", models / "first")
    with pytest.raises(InputError, match="networks fcn-32s-longer, first, second; name the folder"):
        options.network(models.parent)


def test_a_name_that_no_answer_could_have_does_not_end_the_batch(network, images, tmp_path):
    names = ["x" * 240 + ".png", os.fsdecode(b"caf\xe9.png")]
    for name in names:
        shutil.copy(images / "colour.png", images / name)
    result = predict(network, images, "--out", tmp_path / "out")
    assert result.exit_code == 1 and "4 of 5 images labelled" in result.output
    found = {Path(read_json(file)["file"]).name for file in (tmp_path / "out").glob("*.json")}
    assert found == {"colour.png", "grey.png", *names}


def test_an_image_is_not_overwritten(network, images):
    result = predict(network, images, "--out", images)
    assert result.exit_code == 2
    assert "would overwrite" in result.output


def test_other_engines_and_tiles_answer_the_same_and_an_export_says_so(network, images, tmp_path):
    image, answers = images / "colour.png", []
    for name, more in (
        ("whole", []),
        ("tiles", ["--tile", 32]),
        ("onnx", ["--engine", "onnxruntime"]),
    ):
        assert predict(network, image, "--out", tmp_path / name, *more).exit_code == 0
        answers.append(np.asarray(Image.open(tmp_path / name / "colour.png")))
    assert np.mean(answers[0] == answers[1]) > 0.999
    assert np.mean(answers[0] == answers[2]) > 0.999
    wrong = predict(network, image, "--out", tmp_path / "gpu", "--engine", "gpu")
    assert wrong.exit_code == 2 and "no engine 'gpu'; there are tensorflow" in wrong.output
    run = tmp_path / "run"
    shutil.copytree(network, run / "models" / "fcn-8s")
    exported = CliRunner().invoke(main, ["export", str(run)])
    assert exported.exit_code == 0 and "100.000 % of the pixels of 4 images" in exported.output
    assert (run / "models" / "fcn-8s" / "fcn-8s.onnx").stat().st_size > 1000


def test_masks_of_the_user_are_not_overwritten(network, images, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "grey.png").write_text("drawn by hand")
    result = predict(network, images, "--out", masks)
    assert result.exit_code == 2 and "grey.png: is there, and no earlier answer" in result.output
    assert [p.read_text() for p in masks.iterdir()] == ["drawn by hand"]
