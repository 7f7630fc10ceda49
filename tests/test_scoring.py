"""A network cut off at a coarser stride, mirrored, at other sizes: the same by other ways."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_maker import write_network
from test_own_data import write_devkit

from fcnlib.builders import load_fcn
from fcnlib.config import Config
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import make_labels, voc_palette
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import locked, write_json
from fcntools.analysis import scoring
from fcntools.analysis.scoring import Reading
from fcntools.inference.segmenter import Segmenter

LETTERS = make_labels("letters", tuple("abcdefghi"), voc_palette(9))
IMAGES = np.random.default_rng(3).integers(0, 256, [2, 40, 50, 3], np.uint8)
UNIT = tf.constant(IMAGES.astype(np.float32) / 127.5 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("net") / "fcn-8s"
    write_network(place, tuple("abcdefghi"), 8, seed=6)
    return place


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_a_network_cut_off_is_its_own_sum_on_the_way(folder, stride):
    whole, _ = load_fcn(folder)
    cut, _ = load_fcn(folder, stride=stride)
    sums = whole.to_pixels(whole.sums(UNIT)[stride], 40, 50, stride)
    assert cut.stride == stride
    np.testing.assert_allclose(cut(UNIT), sums, atol=1e-4)
    expected = sums.numpy().argmax(axis=-1)
    answers = Reading(stride).predictor(folder, LETTERS)(UNIT).numpy()
    assert (answers == expected).mean() > 0.999  # an engine rounds elsewhere
    assert stride == 8 or not np.array_equal(answers, whole(UNIT).numpy().argmax(axis=-1))


def test_what_it_cannot_be_cut_to_is_refused(folder, tmp_path):
    for stride in (4, 12, 64):
        with pytest.raises(InputError, match=f"FCN-8s has no sum of score maps at {stride}"):
            load_fcn(folder, stride=stride)


def test_a_network_of_other_classes_is_refused(folder):
    for names in ("abcdefgih", "abcdefgh"):  # the same in another order, and fewer
        labels = make_labels("letters", tuple(names), voc_palette(len(names)))
        with pytest.raises(InputError, match=r"classes a, b, c.* labelled with a, b, c"):
            Reading().predictor(folder, labels)


def test_mirrored_and_at_sizes_it_is_what_predict_writes(folder):
    reading = Reading(flip=True, scales=(0.75, 1.0))
    segmenter = Segmenter(load_fcn(folder)[0], flip=True, scales=(0.75, 1.0))
    answers = reading.predictor(folder, LETTERS)(UNIT).numpy()
    for answer, image in zip(answers, IMAGES, strict=True):
        assert np.array_equal(answer, segmenter.label(image))
    assert not np.array_equal(answers, Reading().predictor(folder, LETTERS)(UNIT).numpy())


def test_with_others_it_is_the_average_of_all(folder, tmp_path):
    write_network(tmp_path / "b", tuple("abcdefghi"), 16, seed=7)
    networks = [load_fcn(place)[0] for place in (folder, tmp_path / "b")]
    parts = [tf.nn.softmax(network(UNIT)).numpy() for network in networks]
    expected = np.mean(parts, axis=0).argmax(axis=-1)
    answers = Reading(others=(tmp_path / "b",)).predictor(folder, LETTERS)(UNIT).numpy()
    assert (answers == expected).mean() > 0.999
    assert all((part.argmax(axis=-1) != expected).mean() > 0.01 for part in parts)
    write_network(tmp_path / "c", tuple("abcdefghj"), 8)
    with pytest.raises(InputError, match=r"c: its classes are not those of .*fcn-8s"):
        Reading(others=(tmp_path / "c",)).predictor(folder, LETTERS)


@pytest.mark.parametrize(
    ("reading", "name"),
    [
        (Reading(), ""),
        (Reading(16), "-16s"),
        (Reading(flip=True, scales=(0.75, 1.0, 1.25)), "-flip-0.75-1-1.25"),
    ],
)
def test_every_reading_has_a_file_of_its_own(reading, name):
    assert reading.name == name
    names = {replace(reading, others=(Path(other),)).name for other in "ab"}
    assert len(names) == 2 and all(other.startswith(f"{name}-with-1-") for other in names)


def test_the_figures_of_a_reading_lie_beside_the_plain_ones(tmp_path):
    write_devkit(tmp_path / "VOC2012", [0, 7, 15, 20, 255])
    place = tmp_path / "fcn-16s"
    write_network(place, VOC.classes, 16)
    root = str(tmp_path / "VOC2012")
    config = Config().replace(dataset="voc2012", data_dir=root, eval_batch_size=1)
    ways = {"benchmark.json": Reading(), "benchmark-32s-flip.json": Reading(32, flip=True)}
    found = {name: scoring.benchmark(config, place, reading=way) for name, way in ways.items()}
    for name, figures in found.items():
        kept = json.loads((place / name).read_text())
        assert kept["pixel accuracy"] == figures["pixel accuracy"]
        assert set(kept["iou"]) == set(VOC.classes)
    assert found["benchmark.json"] != found["benchmark-32s-flip.json"]
    assert json.loads((place / "benchmark-32s-flip.json").read_text())["stride"] == 32


def test_another_splits_figures_lie_beside_and_say_what_was_trained_on(tmp_path, capsys):
    write_devkit(tmp_path / "VOC2012", [0, 7, 15, 20, 255])
    place = tmp_path / "fcn-16s"
    write_network(place, VOC.classes, 16)
    config = Config().replace(dataset="voc2012", data_dir=str(tmp_path / "VOC2012"))
    write_json(place / "record.json", {"config": config.to_dict()})
    scoring.benchmark(config, place)
    own = (place / "benchmark.json").read_text()
    assert json.loads(own)["trained_on"] == 0 and "no score" not in capsys.readouterr().err
    scoring.benchmark(config.replace(eval_split="train"), place)
    assert (place / "benchmark.json").read_text() == own
    beside = json.loads((place / "benchmark-train.json").read_text())
    assert (beside["split"], beside["trained_on"]) == ("train", 2)
    assert "train: 2 of these 2 images are in train" in capsys.readouterr().err


def test_a_folder_that_another_writes_into_is_not_scored(folder, monkeypatch):
    monkeypatch.setattr("fcnlib.runtime.files._PATIENCE", 0)
    with locked(folder), pytest.raises(InputError, match="fcn-8s: another run is writing into it"):
        scoring.benchmark(Config(), folder)
