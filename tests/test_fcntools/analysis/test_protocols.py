"""The benchmarks' rules by hand and by the official code's steps; test-time augmentation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_maker import write_network
from PIL import Image
from test_own_data import write_devkit

from fcnlib.builders import load_fcn
from fcnlib.config import Config
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError
from fcnlib.labels import make_labels, voc_palette
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import locked, write_json
from fcnlib.upsampling import upsample
from fcntools.analysis import protocols
from fcntools.analysis.diagnosis import boundary_f1
from fcntools.analysis.protocols import TestTimeAugmentation as Augmentation
from fcntools.inference.segmenter import Segmenter


def scores_of(name, pairs, results=None):
    scorer = protocols.BenchmarkScorer(name, results)
    for number, (truth, answer) in enumerate(pairs):
        scorer.add(f"image{number}", np.array(truth, np.uint8), np.array(answer, np.uint8))
    return scorer.scores()


# PASCAL VOC


def voc_devkit(pairs):
    """VOCevalseg's arithmetic, in its order: counts, then IoU of each class, then their mean."""
    counts = np.zeros((21, 21))
    for truth, answer in pairs:
        for t, a in zip(np.ravel(truth), np.ravel(answer), strict=True):
            if t < 255:
                counts[t, a] += 1
    gt, result, hit = counts.sum(axis=1), counts.sum(axis=0), counts.diagonal()
    with np.errstate(invalid="ignore"):
        return (hit / (gt + result - hit)).mean()


def test_voc_by_hand():
    """Background 3 of 4 (IoU 3/4), person 1 of 2, one more under void; the rest is absent."""
    truth, answer = [[0, 0, 0, 15, 255]], [[0, 0, 0, 0, 15]]
    found = scores_of("voc2012", [(truth, answer)])
    assert found["mean IoU of the classes present"] == pytest.approx((3 / 4 + 0) / 2)
    assert found["pixel accuracy"] == pytest.approx(3 / 4)
    assert np.isnan(found["mean IoU"]), "the devkit divides 0 by 0 for an absent class"


def test_voc_agrees_with_the_devkits_steps():
    rng = np.random.default_rng(0)
    truth = rng.choice([*range(21), 255], (3, 20, 30))
    answer = np.where(rng.random(truth.shape) < 0.6, truth % 255, rng.integers(0, 21, truth.shape))
    answer = answer.astype(np.uint8) % 21
    pairs = list(zip(truth, answer, strict=True))
    assert scores_of("voc2012", pairs)["mean IoU"] == pytest.approx(voc_devkit(pairs))


def test_voc_refuses_another_size_and_a_21():
    with pytest.raises(ValueError, match="shape"):
        scores_of("voc2012", [([[0, 0]], [[0]])])
    with pytest.raises(ValueError, match="21"):
        scores_of("voc2012", [([[0, 0]], [[0, 21]])])


def test_voc_results_are_what_the_server_takes(tmp_path):
    (tmp_path / "of_an_earlier_run.png").touch()
    (tmp_path / "notes.txt").write_text("mine")
    answer = np.array([[0, 1], [15, 20]], np.uint8)
    scores_of("voc2012", [(answer, answer)], tmp_path)
    with Image.open(tmp_path / "image0.png") as stored:
        assert stored.mode == "P" and stored.format == "PNG"
        np.testing.assert_array_equal(np.asarray(stored), answer)
        palette = stored.getpalette()
        assert palette[3:6] == [128, 0, 0] and palette[45:48] == [192, 128, 128]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image0.png", "notes.txt"]


def test_without_a_truth_an_answer_is_written_where_there_is_a_server(tmp_path):
    answer = np.zeros((2, 3), np.uint8)
    protocols.BenchmarkScorer("voc2012", tmp_path / "test").add("a", None, answer)
    assert [p.name for p in (tmp_path / "test").iterdir()] == ["a.png"]
    with pytest.raises(InputError, match="b: has no mask to score against"):
        protocols.BenchmarkScorer("camvid", tmp_path).add("b", None, answer)


# MIT Scene Parsing


def csail(pairs):
    """intersectionAndUnion.m and pixelAccuracy.m on files' values: 0 other, 1..150 classes."""
    inter, union, correct, labelled = np.zeros(150), np.zeros(150), 0, 0
    for truth, answer in pairs:
        answer = answer * (truth > 0)
        overlap = answer * (answer == truth)
        areas = [np.bincount(m.ravel(), minlength=151)[1:] for m in (overlap, answer, truth)]
        inter += areas[0]
        union += areas[1] + areas[2] - areas[0]
        correct += ((answer == truth) & (truth > 0)).sum()
        labelled += (truth > 0).sum()
    iou = inter / (np.finfo(float).eps + union)
    return correct / labelled, iou.mean()


def test_scene_parsing_agrees_with_the_official_steps():
    rng = np.random.default_rng(1)
    truth = rng.choice([0, 1, 2, 3, 40, 150], (4, 16, 16))  # 145 classes are absent
    answer = np.where(
        rng.random(truth.shape) < 0.7, truth, rng.choice([1, 3, 99, 150], truth.shape)
    )
    answer = np.maximum(answer, 1)
    accuracy, mean = csail(zip(truth, answer, strict=True))
    ours = [(SCENE_PARSING.lut[t], a - 1) for t, a in zip(truth, answer, strict=True)]
    found = scores_of("scene-parsing", ours)
    assert found["pixel accuracy"] == pytest.approx(accuracy)
    assert found["mean IoU"] == pytest.approx(mean)
    assert found["score"] == pytest.approx((accuracy + mean) / 2)


def test_scene_parsing_gives_both_ways_with_absent_classes():
    """Two classes are there: IoU 1/2 and 2/3. Under "other" the answer does not count."""
    found = scores_of("scenes", [([[0, 0, 1, 1, 255]], [[0, 1, 1, 1, 7]])])
    assert found["mean IoU of the classes present"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert found["mean IoU"] == pytest.approx((1 / 2 + 2 / 3) / 150)
    assert found["pixel accuracy"] == pytest.approx(3 / 4)
    assert found["score of the classes present"] == pytest.approx((3 / 4 + 7 / 12) / 2)


# CamVid


def test_camvid_by_hand():
    truth, answer = [[0, 0, 0, 3, 255]], [[0, 0, 3, 3, 8]]
    found = scores_of("camvid", [(truth, answer)])
    assert found["global accuracy"] == pytest.approx(3 / 4)
    assert found["class accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["mean IoU"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def split_at(column, size=(40, 100)):
    mask = np.zeros(size, np.uint8)
    mask[:, column:] = 1
    return mask


@pytest.mark.parametrize(("moved", "score"), [(0, 1.0), (1, 1.0), (3, 0.0)])
def test_boundary_f1_of_a_border_that_moves(moved, score):
    """The diagonal of 40 x 100 is 107.7 pixels, 2 % of it 2.15: the border may be 2 pixels off."""
    assert boundary_f1(split_at(50), split_at(50 + moved), 2, 0.02) == score


def test_boundary_f1_by_brute_force():
    rng = np.random.default_rng(5)
    truth = np.kron(rng.integers(0, 4, (4, 5)), np.ones((6, 6))).astype(np.uint8)
    truth[:3] = 255
    answer = np.roll(truth, 2, axis=1) % 4
    reach = 0.05 * np.hypot(*truth.shape)

    def outline(mask, c):
        points = []
        for y, x in np.argwhere(mask == c):
            around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            inside = [p for p in around if 0 <= p[0] < mask.shape[0] and 0 <= p[1] < mask.shape[1]]
            if any(mask[p] not in (c, 255) for p in inside):
                points.append((y, x))
        return np.array(points, float).reshape(-1, 2)

    answer = np.where(truth == 255, 255, answer)
    scores = []
    for c in range(4):
        one, other = outline(truth, c), outline(answer, c)
        apart = np.hypot(*(one[:, None] - other[None]).transpose(2, 0, 1))
        recall, precision = (apart.min(axis=a) <= reach for a in (1, 0))
        r, p = recall.mean(), precision.mean()
        scores.append(2 * p * r / (p + r) if p + r else 0)
    assert boundary_f1(truth, answer % 255 % 4, 4, 0.05) == pytest.approx(np.mean(scores))
    assert 0.3 < np.mean(scores) < 1


def test_boundary_f1_leaves_void_and_the_frame_out():
    truth = split_at(50)
    truth[:, 48:52] = 255  # the border itself is not decided
    assert np.isnan(boundary_f1(truth, split_at(50), 2))
    assert np.isnan(boundary_f1(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8), 2))


BLOCK = np.zeros((20, 20), np.uint8)
BLOCK[5:9, 5:9] = 1  # an outline of 12 pixels within 16 of class 0


@pytest.mark.parametrize(
    ("truth", "answer", "score"),
    [
        (0 * BLOCK, BLOCK, 0.0),  # class 0 is there, its outline is not: 1 is invented
        (BLOCK, 0 * BLOCK, 0.0),
        (BLOCK, 2 * BLOCK, (1 + 0) / 2),  # 0 is outlined rightly, 1 is not found, 2 is not asked
        (2 * BLOCK, BLOCK + (BLOCK == 0), 0.0),
    ],
)
def test_boundary_f1_asks_for_the_classes_of_the_truth(truth, answer, score):
    assert boundary_f1(truth, answer, 3) == pytest.approx(score)


def test_a_class_that_is_only_predicted_costs_precision_beside_it():
    """Halves of 40 x 100 as in the truth, and far from their border a third class, 3 x 3 pixels."""
    truth, answer = split_at(50), split_at(50)
    answer[10:13, 10:13] = 2
    right, wrong = 40, 12  # pixels of class 0 beside class 1, and around the nine pixels of 2
    precision = right / (right + wrong)
    assert boundary_f1(truth, answer, 3) == pytest.approx((2 * precision / (precision + 1) + 1) / 2)


def test_the_boundary_f1_of_camvid_is_the_mean_over_images():
    pairs = [(split_at(50), split_at(50)), (split_at(50), split_at(60))]
    assert scores_of("camvid", pairs)["boundary F1"] == pytest.approx(0.5)


def test_what_is_no_benchmark_is_refused():
    with pytest.raises(
        InputError, match=r"no rules for 'shapes', only for voc2012.* use fcnlib evaluate"
    ):
        protocols.BenchmarkScorer("shapes")


# Test-time augmentation

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
    sums = upsample(whole.partial_sums(UNIT)[stride], stride, whole.half_pixel_centers)[:, :40, :50]
    assert cut.stride == stride
    np.testing.assert_allclose(cut(UNIT), sums, atol=1e-4)
    expected = sums.numpy().argmax(axis=-1)
    answers = Augmentation(stride).predictor(folder, LETTERS)(UNIT).numpy()
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
            Augmentation().predictor(folder, labels)


def test_mirrored_and_at_sizes_it_is_what_predict_writes(folder):
    augmentation = Augmentation(flip=True, scales=(0.75, 1.0))
    segmenter = Segmenter(load_fcn(folder)[0], flip=True, scales=(0.75, 1.0))
    answers = augmentation.predictor(folder, LETTERS)(UNIT).numpy()
    for answer, image in zip(answers, IMAGES, strict=True):
        assert np.array_equal(answer, segmenter.label(image))
    assert not np.array_equal(answers, Augmentation().predictor(folder, LETTERS)(UNIT).numpy())


def test_with_others_it_is_the_average_of_all(folder, tmp_path):
    write_network(tmp_path / "b", tuple("abcdefghi"), 16, seed=7)
    networks = [load_fcn(place)[0] for place in (folder, tmp_path / "b")]
    parts = [tf.nn.softmax(network(UNIT)).numpy() for network in networks]
    expected = np.mean(parts, axis=0).argmax(axis=-1)
    answers = Augmentation(others=(tmp_path / "b",)).predictor(folder, LETTERS)(UNIT).numpy()
    assert (answers == expected).mean() > 0.999
    assert all((part.argmax(axis=-1) != expected).mean() > 0.01 for part in parts)
    write_network(tmp_path / "c", tuple("abcdefghj"), 8)
    with pytest.raises(InputError, match=r"c: its classes are not those of .*fcn-8s"):
        Augmentation(others=(tmp_path / "c",)).predictor(folder, LETTERS)


@pytest.mark.parametrize(
    ("augmentation", "name"),
    [
        (Augmentation(), ""),
        (Augmentation(16), "-16s"),
        (Augmentation(flip=True, scales=(0.75, 1.0, 1.25)), "-flip-0.75-1-1.25"),
    ],
)
def test_every_augmentation_has_a_file_of_its_own(augmentation, name):
    assert augmentation.name == name
    names = {replace(augmentation, others=(Path(other),)).name for other in "ab"}
    assert len(names) == 2 and all(other.startswith(f"{name}-with-1-") for other in names)


def test_scores_of_other_ways_and_splits_lie_beside_the_plain_ones(tmp_path, capsys):
    write_devkit(tmp_path / "VOC2012", [0, 7, 15, 20, 255])
    place, root = tmp_path / "fcn-16s", str(tmp_path / "VOC2012")
    write_network(place, VOC.classes, 16)
    config = Config().replace(dataset="voc2012", data_dir=root, eval_batch_size=1)
    write_json(place / "record.json", {"config": config.to_dict()})
    ways = {"benchmark.json": Augmentation(), "benchmark-32s-flip.json": Augmentation(32, True)}
    found = {n: protocols.benchmark(config, place, augmentation=a) for n, a in ways.items()}
    kept = {name: json.loads((place / name).read_text()) for name in ways}
    for name, scores in found.items():
        assert kept[name]["pixel accuracy"] == scores["pixel accuracy"]
        assert set(kept[name]["iou"]) == set(VOC.classes)
        low, high = kept[name]["mean IoU, 95 % of test sets"]
        assert low <= scores["mean IoU of the classes present"] <= high
    assert found["benchmark.json"] != found["benchmark-32s-flip.json"]
    assert kept["benchmark-32s-flip.json"]["stride"] == 32
    assert kept["benchmark.json"]["trained_on"] == 0 and "no score" not in capsys.readouterr().err
    protocols.benchmark(config.replace(eval_split="train"), place)
    assert json.loads((place / "benchmark.json").read_text()) == kept["benchmark.json"]
    beside = json.loads((place / "benchmark-train.json").read_text())
    assert (beside["split"], beside["trained_on"]) == ("train", 2)
    assert "train: 2 of these 2 images are in train" in capsys.readouterr().err


def test_a_folder_that_another_writes_into_is_not_scored(folder, monkeypatch):
    monkeypatch.setattr("fcnlib.runtime.files._PATIENCE", 0)
    with locked(folder), pytest.raises(InputError, match="fcn-8s: another run is writing into it"):
        protocols.benchmark(Config(), folder)
