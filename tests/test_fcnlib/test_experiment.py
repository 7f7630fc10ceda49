"""The stages together, on a handful of shapes: what is trained, started from, scored and kept."""

import csv
import dataclasses
import shutil
from dataclasses import asdict

import numpy as np
import pytest
from conftest import TINY_SHAPES
from PIL import Image

from fcnlib import builders, checkpoints, datasets, experiment, input_pipeline
from fcnlib.config import load_profile
from fcnlib.datasets import open_dataset, read_mask
from fcnlib.errors import InputError
from fcnlib.labels import SHAPES, make_labels
from fcnlib.runtime import files, run_record
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import locked
from fcntools import synthetic

# VGG has a seventh of Inception's layers to trace.
FAST = {"backbone": "vgg_16", "normalization": "batch_norm", "depth_multiplier": 0.02}
FAST |= {"strides": [32, 16], "min_depth": 4, "init_checkpoint": "", "crop_size": 65}


@pytest.fixture(scope="module")
def setting(tiny_shapes, tmp_path_factory):
    """A chain of two networks, trained for a few steps from scratch, and its control, untrained."""
    config = load_profile("smoke", {**FAST, "data_dir": str(tiny_shapes)})
    dataset = synthetic.prepare(config.replace(**asdict(TINY_SHAPES)))
    models = tmp_path_factory.mktemp("run") / "models"
    jobs = [*experiment.chain(config, models), experiment.longer_job(config, models)]
    reads, real = [], input_pipeline.read_pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            input_pipeline, "read_pair", lambda r, *a: reads.append(r.name) or real(r, *a)
        )
        stores = experiment.open_stores(config, dataset)
        for job in jobs[:2]:
            experiment.train_fcn(config, dataset, job, stores=stores)
    assert sorted(reads) == sorted(r.name for s in ("train", "val") for r in dataset.records(s))
    return config, dataset, jobs


def test_the_first_network_learns_in_two_stages_and_the_next_starts_from_it(setting):
    _, _, jobs = setting
    assert [job.name for job in jobs] == ["FCN-32s", "FCN-16s", "FCN-32s, same steps"]
    assert [s.name for s in jobs[0].stages] == ["head", "all"]
    assert not jobs[0].stages[0].backbone and jobs[0].stages[0].frozen
    assert jobs[1].start == jobs[2].start == jobs[0].folder / "checkpoint.npz"
    with open(jobs[0].folder / "log.csv") as file:
        assert {row["stage"] for row in csv.DictReader(file)} == {"head", "all"}
    assert (jobs[1].folder / "record.json").is_file()


def test_a_missing_start_is_named_with_where_to_read_how_to_make_it(setting, tmp_path):
    config, dataset, _ = setting
    config = config.replace(init_checkpoint=str(tmp_path / "shapes-half.npz"))
    with pytest.raises(InputError, match=r"shapes-half\.npz: no such .* data/README\.md"):
        experiment.train_fcn(config, dataset, experiment.chain(config, tmp_path)[0])


def test_a_start_gives_its_weights_and_leaves_new_layers_zero(setting):
    config, dataset, jobs = setting
    network = builders.build_fcn(config, dataset.labels.num_classes, 16)
    report = builders.start_from(network, jobs[0].start or jobs[0].folder / "checkpoint.npz")
    assert set(report.missing) == {
        *(f"FCN/score_16/{part}" for part in ("weights", "biases")),
        "FCN/upscore_16/weights",
    }
    assert not np.any(network.named_variables()["FCN/score_16/weights"])
    coarse, _ = builders.load_fcn(jobs[0].folder)
    images = tf.random.stateless_uniform([1, 65, 65, 3], [1, 1], -1, 1)
    sums = network.partial_sums(images)[32], coarse.fused(images)
    np.testing.assert_allclose(*sums, rtol=1e-4, atol=1e-5)


def test_what_is_done_is_not_done_again_and_other_settings_are_refused(setting):
    config, dataset, jobs = setting
    before = (jobs[0].folder / "checkpoint.npz").stat().st_mtime_ns
    experiment.train_fcn(config, dataset, jobs[0])
    assert (jobs[0].folder / "checkpoint.npz").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="settings"):
        experiment.train_fcn(config.replace(crop_size=97), dataset, jobs[0])
    with pytest.raises(InputError, match="settings"):
        experiment.train_fcn(config.replace(shapes_seed=7), dataset, jobs[0])


def test_evaluation_counts_every_labelled_pixel_once_and_is_kept(setting, monkeypatch):
    config, dataset, jobs = setting
    found = experiment.evaluate_fcn(config, dataset, jobs[0].folder)
    masks = [read_mask(r.label_path, dataset.labels) for r in dataset.records("val")]
    assert found.matrix.sum() == sum(int((m != 255).sum()) for m in masks)
    counts = np.bincount(np.concatenate([m.ravel() for m in masks]), minlength=256)
    np.testing.assert_array_equal(found.matrix.sum(axis=1), counts[: dataset.labels.num_classes])
    monkeypatch.setattr(experiment, "load_fcn", lambda path: pytest.fail("scored again"))
    again = experiment.evaluate_fcn(config, dataset, jobs[0].folder)
    assert (jobs[0].folder / "metrics.json").is_file()
    np.testing.assert_array_equal(again.matrices, found.matrices)


def test_a_checkpoint_of_something_else_is_refused_by_name(tmp_path):
    checkpoints.save(tmp_path / "other.npz", {}, {"kind": "classifier"})
    with pytest.raises(InputError, match=r"other\.npz.*classifier"):
        builders.load_fcn(tmp_path / "other.npz")


def test_a_data_set_that_is_not_there_is_refused_by_folder(tmp_path):
    config = load_profile("camvid", {"data_dir": str(tmp_path / "nowhere")})
    with pytest.raises(InputError, match="nowhere"):
        synthetic.prepare(config)


@pytest.mark.parametrize("when", ["training", "scoring"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_a_bad_mask_of_any_split_in_use_stops_the_work_before_it_begins(
    tmp_path, tiny_shapes, setting, monkeypatch, split, when
):
    """The broken file is the last of a split that is looked at, or scored, after training only."""
    config, _, jobs = setting
    root = tmp_path / "shapes"
    shutil.copytree(tiny_shapes, root)
    lists = root / "ImageSets" / "Segmentation"
    *names, last = sorted((lists / "val.txt").read_text().split())
    (lists / "test.txt").write_text(last)
    (lists / "val.txt").write_text("\n".join([*names, *([last] if split == "val" else [])]))
    Image.fromarray(np.full((65, 65), 77, np.uint8)).save(root / f"SegmentationClass/{last}.png")
    dataset = datasets.voc.open_voc(root, SHAPES)
    config = config.replace(eval_split=split)
    seen = []
    monkeypatch.setattr(experiment, "predictor", lambda _: lambda images: seen.append(images))
    monkeypatch.setattr(experiment.Trainer, "_require_number", lambda *_: seen.append("a step"))
    with pytest.raises(InputError, match=rf"{last}\.png: value 77 at \(x=0, y=0\)"):
        if when == "training":
            job = dataclasses.replace(jobs[0], folder=tmp_path / "run")
            experiment.train_fcn(config, dataset, job)
        else:
            experiment.evaluate_fcn(config, dataset, jobs[0].folder)
    assert seen == []


def test_an_image_that_is_trained_on_cannot_be_scored(tmp_path, tiny_shapes, setting):
    config, dataset, jobs = setting
    job = dataclasses.replace(jobs[0], folder=tmp_path / "run")
    with pytest.raises(InputError, match="5 images of trainval are in val too"):
        experiment.train_fcn(config.replace(train_split="trainval"), dataset, job)
    record = dataset.records("train")[3]
    (tmp_path / "other.jpg").symlink_to(record.image_path)
    linked = dataclasses.replace(record, name="other", image_path=tmp_path / "other.jpg")
    splits = {**dataset.splits, "test": (linked,)}
    with pytest.raises(
        InputError, match=f"1 images of train are in test too, such as {record.name}"
    ):
        experiment.train_fcn(
            config.replace(eval_split="test"), dataclasses.replace(dataset, splits=splits), job
        )
    assert not (tmp_path / "run").exists()


def repaint(data, split, value):
    """Give every pixel of a split's masks this class."""
    for record in data.records(split):
        Image.fromarray(np.full((65, 65), value, np.uint8)).save(record.label_path)


@pytest.fixture
def copy(setting, tiny_shapes, tmp_path):
    """The trained FCN-32s and its data, to be changed: configuration, data set, job."""
    config, _, jobs = setting
    shutil.copytree(tiny_shapes, tmp_path / "data")
    shutil.copytree(jobs[0].folder, tmp_path / "models" / "fcn-32s")
    config = config.replace(data_dir=str(tmp_path / "data"))
    record = tmp_path / "models" / "fcn-32s" / "record.json"
    about = files.read_json(record)
    about["config"]["data_dir"] = run_record.relative(tmp_path / "data")
    files.write_json(record, about)
    dataset = synthetic.prepare(config.replace(**asdict(TINY_SHAPES)))
    return config, dataset, dataclasses.replace(jobs[0], folder=tmp_path / "models" / "fcn-32s")


def test_a_score_follows_masks_that_change_under_the_same_names(copy):
    config, dataset, job = copy
    experiment.evaluate_fcn(config, dataset, job.folder)
    repaint(dataset, "val", 1)
    found = experiment.evaluate_fcn(config, dataset, job.folder)
    assert found.matrix.sum(axis=1).tolist() == [0, 5 * 65 * 65, *[0] * 7]
    kept = files.read_json(job.folder / "metrics.json")
    assert kept["pixel_accuracy"] == found.scores.pixel_accuracy


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_finished_training_whose_data_changed_is_refused_naming_the_split(copy, split):
    config, dataset, job = copy
    experiment.train_fcn(config, dataset, job)  # done: elsewhere, but the same images
    repaint(dataset, split, 1)
    with pytest.raises(InputError, match=f"data of {split}"):
        experiment.train_fcn(config, dataset, job)


def test_another_split_is_scored_beside_and_named_as_trained_on(copy, capsys):
    config, dataset, job = copy
    experiment.evaluate_fcn(config, dataset, job.folder)
    own = (job.folder / "metrics.json").read_bytes()
    capsys.readouterr()
    experiment.evaluate_fcn(config.replace(eval_split="train"), dataset, job.folder)
    experiment.evaluate_fcn(config.replace(eval_split="train", eval_limit=3), dataset, job.folder)
    assert (job.folder / "metrics.json").read_bytes() == own
    beside = files.read_json(job.folder / "metrics-train.json")
    assert (beside["images"], beside["trained_on"]) == (12, 12)
    assert files.read_json(job.folder / "metrics-train-first-3.json")["images"] == 3
    assert "train: 12 of these 12 images are in train" in capsys.readouterr().err


def test_other_data_are_scored_beside_though_files_are_called_alike(copy, tmp_path):
    config, dataset, job = copy
    experiment.evaluate_fcn(config, dataset, job.folder)
    own = (job.folder / "metrics.json").read_bytes()
    shutil.copytree(dataset.root, tmp_path / "fog")
    fog = open_dataset("shapes", tmp_path / "fog")
    repaint(fog, "val", 2)
    there = config.replace(data_dir=str(tmp_path / "fog"))
    found = experiment.evaluate_fcn(there, fog, job.folder)
    assert found.matrix.sum(axis=1)[2] == 5 * 65 * 65
    assert (job.folder / "metrics.json").read_bytes() == own
    (beside,) = job.folder.glob("metrics-val-*.json")
    assert files.read_json(beside)["data"].startswith(beside.stem[-8:])


@pytest.mark.parametrize("order", [(1, 0, *range(2, 9)), tuple(range(8))])
def test_a_network_of_other_classes_is_refused_by_both_lists(copy, order):
    config, dataset, job = copy
    names = tuple(SHAPES.classes[i] for i in order)
    labels = make_labels("shapes", names, SHAPES.palette[: len(names)])
    other = dataclasses.replace(dataset, labels=labels)
    theirs, ours = ", ".join(SHAPES.classes), ", ".join(names)
    with pytest.raises(InputError, match=f"classes {theirs}; .* labelled with {ours};"):
        experiment.evaluate_fcn(config, other, job.folder)


def test_a_head_is_copied_for_equal_classes_only(setting, capsys):
    config, dataset, jobs = setting
    start = jobs[0].folder / "checkpoint.npz"
    head = "FCN/score_32/weights"
    labels = make_labels("shapes", SHAPES.classes[::-1], SHAPES.palette)
    network = builders.build_fcn(config, 9, 32)
    report = builders.start_from(network, start, labels)
    assert head in report.missing and not np.any(network.named_variables()[head])
    assert "only its backbone is taken" in capsys.readouterr().err
    arrays, _ = checkpoints.load(start)
    kernel = "vgg_16/conv1/conv1_1/weights"
    np.testing.assert_array_equal(network.named_variables()[kernel], arrays[kernel])
    report = builders.start_from(network, start, dataset.labels)
    assert head not in report.missing
    np.testing.assert_array_equal(network.named_variables()[head], arrays[head])
    assert capsys.readouterr().err == ""


def test_a_picture_under_two_names_cannot_be_trained_on_and_scored(copy, tmp_path):
    config, dataset, job = copy
    one, other = dataset.records("train")[0], dataset.records("val")[2]
    shutil.copy(one.image_path, other.image_path)
    said = f"1 images of train are in val too, such as {one.name}, which is {other.name} there"
    with pytest.raises(InputError, match=said):
        experiment.train_fcn(config, dataset, dataclasses.replace(job, folder=tmp_path / "new"))


@pytest.mark.parametrize(
    ("split", "value", "said"),
    [
        ("train", 255, "train: no pixel of its 12 masks is labelled"),
        ("val", 255, "val: no pixel of its 5 masks is labelled"),
        ("train", 4, "train: every labelled pixel is of class {}"),
    ],
)
def test_nothing_to_learn_or_to_score_is_refused_before_the_first_step(
    copy, tmp_path, split, value, said
):
    config, dataset, job = copy
    repaint(dataset, split, value)
    said = said.format(*dataset.labels.classes[value : value + 1])
    job = dataclasses.replace(job, folder=tmp_path / "new")
    with pytest.raises(InputError, match=said):
        experiment.train_fcn(config, dataset, job)
    assert not (job.folder / "checkpoint.npz").exists()


def test_a_split_without_a_label_has_no_score(copy):
    config, dataset, job = copy
    repaint(dataset, "val", 255)
    with pytest.raises(InputError, match="val: no pixel of its 5 masks is labelled"):
        experiment.evaluate_fcn(config, dataset, job.folder)


def test_nobody_trains_or_scores_in_a_folder_that_another_writes_into(
    setting, tmp_path, monkeypatch
):
    config, dataset, jobs = setting
    monkeypatch.setattr("fcnlib.runtime.files._PATIENCE", 0)
    folder = tmp_path / "out" / "models" / "net"
    shutil.copytree(jobs[0].folder, folder)
    (folder / "evaluation.npz").unlink(missing_ok=True)
    job = dataclasses.replace(jobs[0], folder=folder)
    with locked(tmp_path / "out"):
        # What another process holds is not in this one's list of its own.
        monkeypatch.setattr("fcnlib.runtime.files._locked", set())
        for write in (
            lambda: experiment.train_fcn(config, dataset, job),
            lambda: experiment.evaluate_fcn(config, dataset, folder),
        ):
            with pytest.raises(InputError, match="out: another run is writing into it; wait"):
                write()
        monkeypatch.undo()
    scored = experiment.evaluate_fcn(config, dataset, folder)
    with locked(folder):  # what is done may be read
        again = experiment.evaluate_fcn(config, dataset, folder)
    np.testing.assert_array_equal(scored.matrices, again.matrices)


def test_masks_of_two_splits_with_other_palettes_are_refused(setting, tiny_shapes, tmp_path):
    shutil.copytree(tiny_shapes, tmp_path / "shapes")
    for path in (tmp_path / "shapes" / "SegmentationClass").glob("val_*.png"):
        mask = Image.open(path)
        mask.putpalette([0, 0, 0, *SHAPES.png_palette()[:3:-1]])
        mask.save(path)
    config = setting[0].replace(data_dir=str(tmp_path / "shapes"))
    dataset = datasets.open_dataset("shapes", tmp_path / "shapes")
    with pytest.raises(InputError, match=r"index \d is #\w* in its palette") as caught:
        experiment.train_fcn(config, dataset, experiment.chain(config, tmp_path)[0])
    assert "val_0000" in str(caught.value) and "train_0000" in str(caught.value)
