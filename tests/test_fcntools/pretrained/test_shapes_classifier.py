"""The shipped classifier: what it is, how good it is, and that the command makes one."""

from dataclasses import asdict

import numpy as np
import pytest
from conftest import TINY_SHAPES
from PIL import Image
from test_input_pipeline import assert_same, differ

from fcnlib import augmentation, checkpoints, config
from fcnlib.builders import load_fcn
from fcnlib.datasets import read_pair
from fcnlib.datasets.camvid import CAMVID
from fcnlib.errors import InputError
from fcnlib.input_pipeline import order
from fcnlib.labels import SHAPES, VOID
from fcnlib.runtime.compat import tf
from fcnlib.runtime.files import read_json
from fcntools.pretrained.shapes_classifier import (
    class_batches,
    class_files,
    load_classifier,
    pretrain,
)
from fcntools.synthetic import scenes

SHIPPED = config.ROOT / "data/pretrained/shapes-classifier.npz"


def test_the_shipped_checkpoint_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size <= 5_000_000
    record = read_json(SHIPPED.with_suffix(".json"))
    _, meta = checkpoints.load(SHIPPED)
    assert meta["classes"] == list(SHAPES.classes)
    assert record["accuracy"] == pytest.approx(meta["accuracy"])
    assert record["accuracy"] > 0.7  # a guess is right one time in nine
    assert record["commit"] and record["versions"]["tensorflow"]


def test_the_shipped_network_of_streets_knows_streets_and_says_where_it_comes_from(tmp_path):
    path = SHIPPED.with_name("streets-half.npz")
    assert path.stat().st_size <= 11_000_000
    record = read_json(path.with_suffix(".json"))
    assert record["config"]["dataset"] == "streets" and record["commit"]
    network, meta = load_fcn(path)
    assert meta["classes"] == list(CAMVID.classes)
    made = config.ScenesConfig(
        scenes_seed=7, scenes_train_images=1, scenes_val_images=4, scenes_image_size=257
    )
    dataset = scenes.ensure(tmp_path / "streets", made, name="streets")
    right, labelled = 0, 0
    for entry in dataset.records("val"):
        image, mask = read_pair(entry, CAMVID)
        scores = network(tf.constant(image[None] / 127.5 - 1, tf.float32))
        right += np.sum(np.argmax(scores[0], axis=-1) == mask)
        labelled += np.sum(mask != VOID)
    assert right / labelled > 0.9  # sky, the most frequent class, is a third


def test_both_paddings_share_the_weights():
    same, _ = load_classifier(SHIPPED)
    valid, _ = load_classifier(SHIPPED, "VALID")
    ours, theirs = same.named_variables(), valid.named_variables()
    assert list(ours) == list(theirs)
    images = tf.random.stateless_uniform([1, 107, 107, 3], [1, 1], -1, 1)
    assert same.score_map(images).shape == (1, 4, 4, 9)
    assert valid.score_map(images).shape == (1, 2, 2, 9)


@pytest.fixture(scope="module")
def loaded(tiny_shapes):
    """Settings for a training of two steps."""
    values = {"pretrain_steps": 2, "pretrain_batch_size": 4, "val_every": 0, "backbone": "vgg_16"}
    thin = {"depth_multiplier": 0.02, "min_depth": 4, "data_dir": str(tiny_shapes)}
    return config.load_profile("pretrain", {**values, **thin, **asdict(TINY_SHAPES)})


@pytest.fixture(scope="module")
def made(loaded, tmp_path_factory):
    """A folder with c.npz, what the settings give, and the record of it."""
    folder = tmp_path_factory.mktemp("made")
    return folder, pretrain(loaded, folder / "c.npz")


def test_the_command_makes_one(loaded, made):
    folder, record = made
    assert 0 <= record["accuracy"] <= 1
    classifier, meta = load_classifier(folder / "c.npz")
    assert meta["depth_multiplier"] == 0.02
    assert np.isfinite(classifier(tf.zeros([1, 97, 97, 3]))).all()
    wider = loaded.replace(depth_multiplier=0.03)
    pretrain(wider, folder / "wider.npz", resume=True)  # nothing of the other's to go on from
    assert load_classifier(folder / "wider.npz")[1]["depth_multiplier"] == 0.03
    names = {f"{name}{end}" for name in ("c", "wider") for end in (".npz", ".json", ".training")}
    assert {path.name for path in folder.iterdir()} == names


def test_it_goes_on_with_the_same_settings_alone(loaded, made):
    path = made[0] / "c.npz"
    other = {"seed": 2, "pretrain_batch_size": 2, "pretrain_crop": 65, "label_smoothing": 0.0}
    other |= {"weight_decay": 0.5, "batch_norm_decay": 0.5}
    before = path.read_bytes()
    for key, value in other.items():
        with pytest.raises(InputError, match=rf"other settings or data \(settings\.{key}\)"):
            pretrain(loaded.replace(**{key: value}), path, resume=True)
    free = loaded.replace(checkpoint_seconds=7, strides=(32,))
    assert pretrain(free, path, resume=True)["training_seconds"] > 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["folder.npz", "net.json", "net"])
def test_what_is_no_checkpoint_to_write_is_refused_at_the_start(
    loaded, tmp_path, monkeypatch, name
):
    monkeypatch.setattr(
        "fcntools.pretrained.shapes_classifier.Trainer", lambda *_, **__: pytest.fail("trained")
    )
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match=rf"{name}: give --out the name of a file that ends in"):
        pretrain(loaded, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.npz"]


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    root = tmp_path_factory.mktemp("objects")
    rng = np.random.default_rng(5)
    for name in SHAPES.classes:
        (root / name).mkdir()
        for number in (3, 1, 4, 0, 2):  # a folder lists its files in no order
            pixels = rng.integers(0, 256, (41, 41, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:04d}.png")
    return root


def test_pictures_are_listed_by_class_index(objects):
    (paths, labels), classes = class_files(objects), SHAPES.classes
    assert classes[0] == "background"
    assert [p.parent.name for p in paths] == [classes[c] for c in labels]
    assert [p.name for p in paths[:5]] == [f"{n:04d}.png" for n in range(5)]
    assert list(paths) == [p for c in classes for p in sorted((objects / c).iterdir())]
    assert len(paths) == 45 and np.all(np.diff(labels) >= 0) and labels.dtype == np.int32


def test_generated_objects_are_listed(tiny_shapes):
    assert len(class_files(tiny_shapes / "objects" / "train")[0]) == 4 * SHAPES.num_classes


def test_a_class_without_pictures_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match=r"background: no pictures"):
            class_files(folder)


def objects_of(root, **settings):
    paths, labels = class_files(root)
    made = class_batches(paths, labels, settings.pop("crop", 33), 4, **settings)
    return [{k: v.numpy() for k, v in batch.items()} for batch in made]


def test_the_classifier_is_tested_on_central_crops_once_each(objects):
    paths, labels = class_files(objects)
    found = objects_of(objects)
    np.testing.assert_array_equal(np.concatenate([b["index"] for b in found]), np.arange(45))
    np.testing.assert_array_equal(np.concatenate([b["label"] for b in found]), labels)
    pixels = np.asarray(Image.open(paths[0]))[4:37, 4:37]
    np.testing.assert_allclose(found[0]["image"][0], pixels / 127.5 - 1, atol=1e-5)
    padded = objects_of(objects, crop=45)[0]["image"][0]
    np.testing.assert_allclose(
        padded[2:43, 2:43], np.asarray(Image.open(paths[0])) / 127.5 - 1, atol=1e-5
    )
    assert (padded[:2] == 0).all() and (padded[:, 43:] == 0).all()


def test_the_classifier_is_trained_on_resumable_varied_crops(objects):
    _, labels = class_files(objects)
    whole = objects_of(objects, seed=1, steps=range(10))
    assert_same(whole[4:], objects_of(objects, seed=1, steps=range(4, 10)))
    assert differ(whole, objects_of(objects, seed=2, steps=range(10)))
    indices = np.concatenate([b["index"] for b in whole])
    np.testing.assert_array_equal(indices, order(45, 1, 0, 40))
    np.testing.assert_array_equal(np.concatenate([b["label"] for b in whole]), labels[indices])
    images = np.concatenate([b["image"] for b in whole])
    assert images.shape == (40, 33, 33, 3) and images.dtype == np.float32
    assert np.isfinite(images).all() and np.abs(images).max() <= 1


def test_objects_come_in_all_eight_orientations():
    image = np.zeros((33, 33, 3), np.uint8)
    image[:16], image[16:, :16] = 255, 128  # no two orientations of this are alike
    seen = set()
    for position in range(80):
        pixels = augmentation.augment_object(image, 1, position, 33).numpy()[..., 0]
        corners = pixels[[8, 8, 24, 24], [8, 24, 8, 24]]
        seen.add(tuple(np.where(corners > 0.4, 2, np.where(corners > -0.5, 1, 0))))
    quarters = np.array([[2, 2], [1, 0]])
    turned = [np.rot90(q, k) for q in (quarters, quarters.T) for k in range(4)]
    assert len({tuple(q.ravel()) for q in turned}) == 8
    assert {tuple(q.ravel()) for q in turned} <= seen
