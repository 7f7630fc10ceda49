"""The generated scenes and streets: reproducible, in the layouts of their benchmarks."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fcnlib.config import Config, ScenesConfig
from fcnlib.datasets import open_dataset, read_mask, read_pair
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.errors import InputError
from fcnlib.labels import VOID
from fcntools.synthetic import prepare, scenes
from fcntools.synthetic.scene_canvas import NUMBERS, Canvas
from fcntools.synthetic.scene_outdoor import draw_street

TINY = ScenesConfig(scenes_train_images=40, scenes_val_images=6, scenes_image_size=65)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "scenes"
    scenes.ensure(root, TINY)
    return root


def digests(root):
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_same_seed_gives_the_same_bytes(tree, tmp_path):
    scenes.ensure(tmp_path / "again", TINY)
    assert digests(tmp_path / "again") == digests(tree)


def test_another_seed_gives_other_pictures(tree, tmp_path):
    few = replace(TINY, scenes_seed=1, scenes_train_images=2, scenes_val_images=1)
    scenes.ensure(tmp_path / "other", few)
    ours, theirs = digests(tree), digests(tmp_path / "other")
    pictures = [name for name in theirs if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 6 and not any(ours[name] == theirs[name] for name in pictures)


def test_the_layout_is_the_benchmarks(tree):
    dataset = open_dataset("scenes", tree)
    assert dataset.labels is SCENE_PARSING and dataset.counts() == {"train": 40, "val": 6}
    first = dataset.records("train")[0]
    assert first.image_path == tree / "images" / "training" / "ADE_train_00000001.jpg"
    assert first.label_path == tree / "annotations" / "training" / "ADE_train_00000001.png"
    with Image.open(first.label_path) as stored:
        assert stored.mode == "L"
    image, mask = read_pair(first, dataset.labels)
    assert image.shape == (65, 65, 3) and mask.shape == (65, 65)
    # whoever knows the benchmark's own tree can open it under that name as well
    assert open_dataset("scene-parsing", tree).counts() == dataset.counts()


def test_the_text_files_say_what_the_masks_hold(tree):
    header, *lines = (tree / "objectInfo150.txt").read_text().splitlines()
    assert header.split("\t") == ["Idx", "Ratio", "Train", "Val", "Name"] and len(lines) == 150
    dataset = open_dataset("scenes", tree)
    masks = [
        read_mask(r.label_path, dataset.labels) + np.uint8(1) for r in dataset.records("train")
    ]
    labelled = sum(np.count_nonzero(mask) for mask in masks)
    for name in ("sky", "car", "flag"):
        number = NUMBERS[name]
        row = lines[number - 1].split("\t")
        assert row[0] == str(number) and row[4].split(",")[0] == name
        assert int(row[2]) == sum((mask == number).any() for mask in masks)
        assert float(row[1]) == pytest.approx(
            sum((mask == number).sum() for mask in masks) / labelled, abs=6e-5
        )
    assert lines[20].endswith("\tcar, auto, automobile, machine, motorcar")
    views = (tree / "sceneCategories.txt").read_text().splitlines()
    assert len(views) == 46 and {line.split()[1] for line in views} == set(scenes.VIEWS)


def test_the_classes_are_many_and_unequal(tree):
    dataset = open_dataset("scenes", tree)
    counts = np.zeros(256, np.int64)
    for record in dataset.records("train"):
        counts += np.bincount(read_pair(record, dataset.labels)[1].ravel(), minlength=256)
    shares = np.sort(counts[:150])[::-1] / counts[:150].sum()
    assert (counts[:150] > 0).sum() >= 40
    assert counts[VOID] > 0, "there is something that nobody is asked about"
    assert shares[0] < 0.4 and shares[:10].sum() > 0.7 and shares[30] < 0.005


@pytest.mark.parametrize("view", sorted(scenes.VIEWS))
def test_every_view_draws_what_its_mask_says(view):
    found = set()
    for seed in range(12):
        canvas = Canvas(np.random.default_rng(seed), 65)
        scenes.VIEWS[view](canvas)
        picture, mask = canvas.finish()
        assert picture.shape == (65, 65, 3) and mask.shape == (65, 65) and mask.max() <= 150
        found |= set(np.unique(mask))
        by_class = [picture[mask == c].mean() for c in np.unique(mask) if (mask == c).sum() > 50]
        assert np.ptp(by_class) > 15, "classes of a view differ in brightness"
    least = {"street": "road", "landscape": "grass", "room": "floor"}[view]
    assert NUMBERS[least] in found and len(found) >= 15


def test_a_form_covers_the_same_pixels_in_picture_and_mask():
    canvas = Canvas(np.random.default_rng(0), 64)
    canvas.box("sky", (0, 0, 1, 1), (0, 0, 0))
    canvas.box("car", (0.25, 0.5, 0.75, 1), (255, 255, 255))
    picture, mask = canvas.finish()
    np.testing.assert_array_equal(mask == NUMBERS["car"], picture.mean(axis=2) > 127)
    assert (mask == NUMBERS["car"])[32:64, 16:48].mean() > 0.99


def test_they_are_made_where_they_are_missing_and_kept_where_they_are(tmp_path):
    few = {"scenes_train_images": 2, "scenes_val_images": 1, "scenes_image_size": 65}
    config = Config().replace(dataset="scenes", data_dir=str(tmp_path / "scenes"), **few)
    assert prepare(config).counts() == {"train": 2, "val": 1}
    before = digests(tmp_path / "scenes")
    with pytest.raises(InputError, match=r"scenes_train_images is 2, asked for 3"):
        prepare(config.replace(scenes_train_images=3))
    with pytest.raises(InputError, match=r"scenes_image_size = 10: it must be at least 65"):
        prepare(config.replace(scenes_image_size=10))
    assert digests(tmp_path / "scenes") == before


# streets

STREETS = ScenesConfig(scenes_train_images=12, scenes_val_images=3, scenes_image_size=97)


@pytest.fixture(scope="module")
def street_tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "streets"
    scenes.ensure(root, STREETS, name="streets")
    return root


def test_the_layout_and_the_classes_are_camvids(street_tree):
    dataset = open_dataset("streets", street_tree)
    assert dataset.name == "streets" and dataset.labels is CAMVID
    assert dataset.counts() == {"train": 12, "val": 3}
    assert open_dataset("camvid", street_tree).counts() == dataset.counts()
    seen = set()
    for record in dataset.records("train"):
        image, mask = read_pair(record, CAMVID)
        assert image.shape == (97, 97, 3)
        seen |= set(np.unique(mask))
    names = [CAMVID.classes[value] for value in seen - {VOID}]
    assert {"Sky", "Building", "Road", "Pavement", "Tree", "Car"} <= set(names)


def test_a_mask_is_that_of_the_scene_in_other_words(street_tree):
    """Drawn again by hand: what is a streetlight there is a pole here, what is a flag is void."""
    canvas = Canvas(scenes.generator(STREETS, ("train", 4)), 97)
    draw_street(canvas)
    _, mask = canvas.finish()
    record = open_dataset("streets", street_tree).records("train")[4]
    _, found = read_pair(record, CAMVID)
    words = np.array(["other", *SCENE_PARSING.classes])[mask]
    for theirs, ours in (("sky", "Sky"), ("sidewalk", "Pavement"), ("streetlight", "Pole")):
        assert np.all(found[words == theirs] == CAMVID.classes.index(ours))
    value = scenes.CAMVID_VALUES
    assert value[SCENE_PARSING.classes.index("streetlight") + 1] == CAMVID.classes.index("Pole")
    assert value[SCENE_PARSING.classes.index("flag") + 1] == value[0] == 11
    assert np.all(found[words == "other"] == VOID)


def test_the_same_settings_give_the_same_pictures_and_others_are_refused(street_tree, tmp_path):
    config = Config().replace(
        dataset="streets",
        data_dir=str(tmp_path / "again"),
        scenes_train_images=12,
        scenes_val_images=3,
        scenes_image_size=97,
    )
    again = prepare(config)
    for one, other in zip(
        open_dataset("streets", street_tree).records("val"), again.records("val"), strict=True
    ):
        assert one.image_path.read_bytes() == other.image_path.read_bytes()
        assert one.label_path.read_bytes() == other.label_path.read_bytes()
    with pytest.raises(InputError, match="streets of other settings"):
        scenes.ensure(street_tree, replace(STREETS, scenes_seed=1), name="streets")


def test_what_is_no_folder_of_streets_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"streets\.json is missing"):
        open_dataset("streets", tmp_path)
