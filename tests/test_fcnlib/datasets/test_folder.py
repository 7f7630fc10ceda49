"""Any folder with a dataset.yaml: what it can say, and what is refused."""

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fcnlib.datasets import open_dataset, read_pair
from fcnlib.errors import InputError
from fcnlib.labels import VOID
from fcntools.cli import main

INDICES = np.array([[0, 1, 2, 255]], np.uint8)


@pytest.fixture
def tree(tmp_path):
    """Two splits, one in lists and one in folders: the same four pairs."""
    for split, names in {"train": ["a", "b"], "val": ["c"]}.items():
        (tmp_path / f"{split}.txt").write_text("\n".join(names))
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for name in names:
            for folder in ("images", f"images/{split}"):
                Image.new("RGB", (4, 1)).save(tmp_path / folder / f"{name}.png")
            for folder in ("masks", f"masks/{split}"):
                Image.fromarray(INDICES).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def describe(tree, text):
    (tree / "dataset.yaml").write_text(text)
    return open_dataset("folder", tree)


CLASSES = "classes: [soil, leaf, stem]\n"


@pytest.mark.parametrize(
    "more",
    [
        "",
        "splits: [train, val]\n",
        "splits: {train: train.txt, val: val.txt}\n",
        "images: images/{split}\nmasks: masks/{split}\n",
        "images: images\\{split}\nmasks: masks\\{split}\n",
    ],
)
def test_lists_and_folders_give_the_same_pairs(tree, more):
    dataset = describe(tree, CLASSES + more)
    assert dataset.labels.classes == ("soil", "leaf", "stem")
    assert dataset.counts() == {"train": 2, "val": 1}
    for record in dataset.records("train"):
        np.testing.assert_array_equal(read_pair(record, dataset.labels)[1], INDICES)


def test_the_file_may_lie_elsewhere(tree, tmp_path_factory):
    path = tmp_path_factory.mktemp("other") / "plants.yaml"
    path.write_text(CLASSES + f"root: {tree}\nname: plants\n")
    dataset = open_dataset("folder", path)
    assert dataset.name == dataset.labels.name == "plants" and dataset.counts()["train"] == 2


def test_a_tilde_is_the_home(tree, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HOME", str(tree))
    far = tmp_path_factory.mktemp("far")
    for number, more in enumerate(("root: '~'\n", "root: /no\nimages: ~/images\nmasks: ~/masks\n")):
        listed = "splits: {train: ~/train.txt}\n" if number else ""
        (far / "a.yaml").write_text(CLASSES + more + listed)
        assert open_dataset("folder", far / "a.yaml").counts()["train"] == 2
    (tree / "dataset.yaml").write_text(CLASSES)
    assert open_dataset("folder", "~").counts()["train"] == 2


def test_values_and_void_are_what_the_file_says(tree):
    dataset = describe(tree, "classes: {leaf: 255, soil: 0}\nvoid: [1, 2]\n")
    mask = read_pair(dataset.records("val")[0], dataset.labels)[1]
    assert mask.tolist() == [[1, VOID, VOID, 0]]


FORMS = [  # the same classes as their values 0, 2 and 1
    "classes: {soil: 0, stem: 2, leaf: 1}",
    "classes: {0: soil, 2: stem, 1: leaf}",
    'classes: {"0": soil, "2": stem, "1": leaf}',
    "nc: 3\nnames:\n  0: soil\n  2: stem\n  1: leaf",  # Ultralytics
]


@pytest.mark.parametrize("text", FORMS)
def test_the_common_forms_of_a_class_list(tree, text):
    dataset = describe(tree, text)
    assert dataset.labels.classes == ("soil", "stem", "leaf")
    mask = read_pair(dataset.records("val")[0], dataset.labels)[1]
    assert mask.tolist() == [[0, 2, 1, VOID]]


def test_names_that_look_like_something_else(tree):
    assert describe(tree, "names: [soil, leaf]\nnc: 2").labels.classes == ("soil", "leaf")
    assert describe(tree, 'classes: ["1", facade]').labels.classes == ("1", "facade")
    assert describe(tree, "classes: {0: facade, 1: decade}").labels.classes == ("facade", "decade")
    assert describe(tree, 'classes: {"1": 0, "0": 5}').labels.values.tolist() == [0, 5]
    coloured = describe(tree, 'classes: {"1": "#000001", "0": [0, 1, 0]}')
    assert coloured.labels.classes == ("1", "0") and coloured.labels.colours == {1: 0, 256: 1}


def test_the_file_may_end_in_yml(tree):
    (tree / "dataset.yml").write_text(CLASSES)
    run = CliRunner().invoke(main.main, ["data", "check", str(tree)])
    assert "train 2, val 1" in run.output, run.output
    (tree / "dataset.yaml").write_text("classes: [soil, leaf, stem, thorn]\n")
    assert open_dataset("folder", tree).labels.num_classes == 4, "the documented name counts"


def test_255_classes_fit_beside_void(tree):
    most = [f"c{i}" for i in range(255)]
    assert describe(tree, f"classes: {most}").labels.num_classes == 255


def test_without_void_every_other_value_is_refused(tree):
    dataset = describe(tree, CLASSES + "void: []\n")
    with pytest.raises(InputError, match=r"value 255 .* not void"):
        read_pair(dataset.records("val")[0], dataset.labels)


@pytest.mark.parametrize("void", ['"#0000ff"', "[0, 0, 255]", "[[0, 0, 255]]"])
def test_masks_in_colours(tree, void):
    colours = np.array([[(0, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 0)]], np.uint8)
    Image.fromarray(colours).save(tree / "masks" / "c.png")
    dataset = describe(tree, f'classes: {{soil: [0, 0, 0], leaf: "#00ff00"}}\nvoid: {void}\n')
    assert read_pair(dataset.records("val")[0], dataset.labels)[1].tolist() == [[0, 1, VOID, 1]]
    assert dataset.labels.palette.tolist() == [[0, 0, 0], [0, 255, 0]]


def test_a_palette_for_show(tree):
    dataset = describe(tree, CLASSES + 'palette: [[1, 2, 3], "#0a0b0c", [7, 8, 9]]\n')
    assert dataset.labels.palette.tolist() == [[1, 2, 3], [10, 11, 12], [7, 8, 9]]


def test_a_devkit_with_other_classes(tree):
    (tree / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tree / "train.txt").rename(tree / "ImageSets" / "Segmentation" / "train.txt")
    (tree / "images").rename(tree / "JPEGImages")
    (tree / "masks").rename(tree / "SegmentationClass")
    dataset = describe(tree, CLASSES + "layout: voc\n")
    assert dataset.counts() == {"train": 2} and dataset.labels.num_classes == 3


BAD = [
    ("has no `classes`", "name: x"),
    ("has no `classes`", ""),
    ("has no `classes`", "- a"),
    ("while parsing a flow sequence", "classes: [a"),
    ("no key 'clases'", "classes: [a]\nclases: [b]"),
    ("layout = 'coco'", "classes: [a]\nlayout: coco"),
    ("False is no name", "classes: [yes, no, other]".replace("yes, ", "")),
    ("write a list of names", "classes: soil"),
    ("is no name", "classes: [[soil]]"),
    ("5 is no colour", "classes: [a, b]\npalette: 5"),
    ("classes: 0 is no name; write a word", "classes: [0, 1, 2]"),
    ("classes: [0, 0, 0] is no name; write a word", "classes: {0: [0, 0, 0], 1: [0, 0, 1]}"),
    ("classes: {'name': 'soil'} is no name", "classes: [{name: soil}]"),
    ("256 classes; there may be 255", f"classes: {[f'c{i}' for i in range(256)]}"),
    ("no key 'names'", "classes: [a]\nnames: [a]"),
    ("no key 'train'", "names: [a]\nnc: 1\ntrain: ../train/images"),
    ("each once, and 0..255", "classes: {300: a, 1: b}"),
    ("2 different names of 3", "classes: [a, b, a]"),
    ("each once, and 0..255", "classes: {a: 0, b: 0}"),
    ("each once, and 0..255", "classes: {a: 0, b: 300}"),
    ("each once, and 0..255", "classes: [a, b]\nvoid: 1"),
    ("3 is no colour", "classes: {a: 3000000000, b: '#000000'}".replace("3000000000", "-3")),
    ("is no colour", "classes: {a: [0, 0], b: '#000000'}"),
    ("[0, 0, 256] is no colour", "classes: {a: [0, 0, 256], b: '#000000'}"),
    ("[256, 0, 0] is no colour", "classes: {a: [256, 0, 0], b: '#000000'}"),
    ("[1, 2, 3, 255] is no colour", "classes: {a: [1, 2, 3, 255], b: '#000000'}"),
    ("'+1_0_0' is no colour", "classes: {a: '+1_0_0', b: '#000000'}"),
    ("is no colour", "classes: {a: red, b: '#000000'}"),
    ("share a colour", "classes: {a: '#000000', b: [0, 0, 0]}"),
    ("share a colour", "classes: {a: '#000000'}\nvoid: [0, 0, 0]"),
    ("palette has 1 colours for 2", "classes: [a, b]\npalette: [[0, 0, 0]]"),
    ("splits = 'train'", "classes: [a]\nsplits: train"),
    ("splits: train = 0.8 is no path", "classes: [a]\nsplits: {train: 0.8}"),
]


@pytest.mark.parametrize(("said", "text"), BAD)
def test_what_cannot_be_meant_is_refused(tree, said, text):
    with pytest.raises(InputError) as caught:
        describe(tree, text)
    message = str(caught.value)
    assert said in message and "dataset.yaml" in message and "\n" not in message


def test_nothing_in_the_file_is_executed(tree):
    with pytest.raises(InputError, match="could not determine a constructor"):
        describe(tree, "classes: !!python/object/apply:os.system ['touch pwned']")


def test_a_mask_without_an_image_is_named(tree):
    (tree / "images" / "val" / "c.png").unlink()
    with pytest.raises(InputError, match=r"masks/val/c\.png: has no image"):
        describe(tree, CLASSES + "images: images/{split}\nmasks: masks/{split}\n")
