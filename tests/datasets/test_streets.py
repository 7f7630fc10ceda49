"""The generated streets: CamVid's layout and classes, made of the generator of scenes."""

from dataclasses import replace

import numpy as np
import pytest

from fcnlib.config import Config, ScenesConfig
from fcnlib.datasets import open_dataset, read_pair
from fcnlib.datasets.camvid import CAMVID
from fcnlib.datasets.scene_parsing import SCENE_PARSING
from fcnlib.errors import InputError
from fcnlib.labels import VOID
from fcntools.synthetic import prepare, scenes, streets
from fcntools.synthetic.scene_canvas import Canvas
from fcntools.synthetic.scene_outdoor import draw_street

TINY = ScenesConfig(scenes_train_images=12, scenes_val_images=3, scenes_image_size=97)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "streets"
    streets.ensure(root, TINY)
    return root


def test_the_layout_and_the_classes_are_camvids(tree):
    dataset = open_dataset("streets", tree)
    assert dataset.name == "streets" and dataset.labels is CAMVID
    assert dataset.counts() == {"train": 12, "val": 3}
    assert open_dataset("camvid", tree).counts() == dataset.counts()
    seen = set()
    for record in dataset.records("train"):
        image, mask = read_pair(record, CAMVID)
        assert image.shape == (97, 97, 3)
        seen |= set(np.unique(mask))
    names = [CAMVID.classes[value] for value in seen - {VOID}]
    assert {"Sky", "Building", "Road", "Pavement", "Tree", "Car"} <= set(names)


def test_a_mask_is_that_of_the_scene_in_other_words(tree):
    """Drawn again by hand: what is a streetlight there is a pole here, what is a flag is void."""
    canvas = Canvas(scenes.generator(TINY, ("train", 4)), 97)
    draw_street(canvas)
    _, mask = canvas.finish()
    record = open_dataset("streets", tree).records("train")[4]
    _, found = read_pair(record, CAMVID)
    words = np.array(["other", *SCENE_PARSING.classes])[mask]
    for theirs, ours in (("sky", "Sky"), ("sidewalk", "Pavement"), ("streetlight", "Pole")):
        assert np.all(found[words == theirs] == CAMVID.classes.index(ours))
    value = streets.values()
    assert value[SCENE_PARSING.classes.index("streetlight") + 1] == CAMVID.classes.index("Pole")
    assert value[SCENE_PARSING.classes.index("flag") + 1] == value[0] == 11
    assert np.all(found[words == "other"] == VOID)


def test_the_same_settings_give_the_same_pictures_and_others_are_refused(tree, tmp_path):
    config = Config().replace(
        dataset="streets",
        data_dir=str(tmp_path / "again"),
        scenes_train_images=12,
        scenes_val_images=3,
        scenes_image_size=97,
    )
    again = prepare(config)
    for one, other in zip(
        open_dataset("streets", tree).records("val"), again.records("val"), strict=True
    ):
        assert one.image_path.read_bytes() == other.image_path.read_bytes()
        assert one.label_path.read_bytes() == other.label_path.read_bytes()
    with pytest.raises(InputError, match="streets of other settings"):
        streets.ensure(tree, replace(TINY, scenes_seed=1))


def test_what_is_no_folder_of_streets_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"streets\.json is missing"):
        open_dataset("streets", tmp_path)
