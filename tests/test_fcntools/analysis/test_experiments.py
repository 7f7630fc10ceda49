"""What is tried on trained networks, by hand and on a tiny one."""

import numpy as np
import pytest
from PIL import Image

from fcnlib import checkpoints
from fcnlib.builders import build_fcn
from fcnlib.config import Config
from fcnlib.datasets import Dataset, Record, open_dataset
from fcnlib.labels import SHAPES
from fcnlib.metrics import confusion_matrix, scores
from fcnlib.runtime import files
from fcntools.analysis import experiments

SMALL = {"depth_multiplier": 0.1, "min_depth": 4, "eval_batch_size": 2}
CONFIG = Config().replace(**SMALL)


@pytest.fixture
def dataset(tiny_shapes):
    return open_dataset("shapes", tiny_shapes)


@pytest.fixture(scope="module")
def network():
    """An FCN-16s of nine classes that says something: its score layers are drawn, not zero."""
    fcn = build_fcn(CONFIG, 9, 16)
    rng = np.random.default_rng(0)
    for name, variable in fcn.named_variables().items():
        if name.startswith("FCN/score"):
            variable.assign(rng.normal(size=variable.shape))
    return fcn


def save(folder, fcn, stride=16):
    keys = ("depth_multiplier", "min_depth")
    meta = {"kind": "fcn", "stride": stride, "classes": list(range(9))}
    meta["settings"] = {k: getattr(CONFIG.network, k) for k in keys}
    arrays = {n: v.numpy() for n, v in fcn.named_variables().items()}
    checkpoints.save(folder / "checkpoint.npz", arrays, meta)


def test_the_guesser_of_the_majority():
    matrix = np.array([[2, 1], [4, 1]])
    assert experiments.majority_matrix(matrix).tolist() == [[0, 3], [0, 5]]
    row = experiments.percent_row("guess", scores(experiments.majority_matrix(matrix)))
    assert (row["network"], row["mean IoU (%)"]) == ("guess", 100 * (0 + 5 / 8) / 2)
    assert row["mean accuracy (%)"] == 50 and row["pixel accuracy (%)"] == 62.5


def test_a_shift_by_hand():
    truth = np.array([[0, 0, 1, 1]] * 2, np.uint8)
    exact, one, two, far = experiments.shifted_mean_iou([(truth, truth)], 2, [0, 1, 2, 9])
    assert exact == 1
    assert one == pytest.approx((2 / 3 + 1 / 2) / 2)  # 0 0 0 1: three columns of class 0
    assert two == far == pytest.approx((1 / 2 + 0) / 2)  # 0 0 0 0


def test_a_shift_goes_down_too_and_void_stays_out():
    truth = np.array([[0], [255], [1]], np.uint8)
    found = [(truth, np.array([[0], [1], [1]], np.uint8))]
    np.testing.assert_allclose(experiments.shifted_mean_iou(found, 2, [0, 1, 2]), [1, 1, 0.25])


def test_all_weights_one_is_the_network_itself(dataset, network, tmp_path):
    save(tmp_path, network)
    trials = {"whole": {32: 1.0}, "without": {16: 0.0}, "nothing": {32: 0.0, 16: 0.0}}
    found = experiments.weigh_skips(CONFIG, dataset, network, trials)
    own = list(experiments.answers(CONFIG, dataset, tmp_path))
    assert len(own) == len(found["whole"].names) == 5
    total = sum(confusion_matrix(truth, predicted, 9) for truth, predicted in own)
    np.testing.assert_array_equal(found["whole"].matrix, total)
    assert (found["without"].matrix != total).any()
    assert found["nothing"].matrix[:, 1:].sum() == 0  # all scores equal: the first class


def test_matrices_with_void_are_in_the_order_of_the_split(network, tmp_path):
    """Images of two widths come in batches of one width each, so 0, 2 and 4 arrive before 1."""
    save(tmp_path, network)
    truths, records = [], []
    for i in range(6):
        truths.append(np.full((33, 33 + 8 * (i % 2)), 255, np.uint8))
        truths[i][: i + 1] = i % 4  # so many rows are labelled
        image, mask = (tmp_path / f"{i}.{kind}.png" for kind in ("image", "mask"))
        Image.fromarray(np.zeros((*truths[i].shape, 3), np.uint8)).save(image)
        Image.fromarray(truths[i]).save(mask)
        records.append(Record(str(i), image, mask))
    dataset = Dataset("own", tmp_path, SHAPES, {"val": tuple(records)})
    found = experiments.void_matrices(CONFIG.replace(eval_batch_size=3), dataset, tmp_path)
    counts = [np.bincount(np.where(t == 255, 9, t).ravel(), minlength=10) for t in truths]
    np.testing.assert_array_equal(found.sum(axis=2), counts)


def test_a_study_is_read_where_there_is_one(tmp_path):
    assert experiments.study("shapes", tmp_path) == {}
    row = {"network": "FCN-32s", "mean_iou": 0.5}
    files.write_json(tmp_path / "shapes" / "summary.json", [row])
    assert experiments.study("shapes", tmp_path) == {"FCN-32s": row}


def test_every_row_has_a_source_a_protocol_and_plausible_numbers():
    frame = experiments.published()
    assert len(frame) >= 30
    for column in ("network", "data", "split", "protocol", "source", "mean_iou"):
        assert frame[column].notna().all(), column
    shares = frame[["mean_iou", "pixel_accuracy", "mean_accuracy", "frequency_weighted_iou"]]
    assert shares.min().min() > 10 and shares.max().max() < 100
    known = frame.dropna(subset=["pixel_accuracy"])
    assert (known["pixel_accuracy"] > known["mean_iou"]).all()
    assert not frame.duplicated(["source", "network"]).any()


@pytest.mark.parametrize(
    ("data", "split", "images", "rows"),
    [
        ("camvid", "test", 233, 15),
        ("camvid", "test", 50, 0),  # a part of it is another test
        ("camvid", "val", 233, 0),
        ("shapes", "val", 200, 0),
        ("PASCAL VOC 2011", "seg11valid", 736, 8),
    ],
)
def test_only_the_same_images_are_comparable(data, split, images, rows):
    assert len(experiments.comparable(data, split, images)) == rows
