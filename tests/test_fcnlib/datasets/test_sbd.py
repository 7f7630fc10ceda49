"""SBD's layout and the splits made of it and VOC, on a tree of a few files."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from fcnlib.datasets import image_io, open_dataset, read_mask, read_pair
from fcnlib.datasets.voc import VOC
from fcnlib.errors import InputError

# Each name says which lists it is in: P pascal, B SBD; t train, v val.
PASCAL = {"train": ["Pt", "Pt_Bt", "Pt_Bv"], "val": ["Pv", "Pv_Bt", "Pv_Bv", "Pv_old"]}
OWN = {"train": ["Pt_Bt", "Pv_Bt", "Bt"], "val": ["Pt_Bv", "Pv_Bv", "Bv"]}
MASK = np.array([[0, 3, 20]], np.uint8)


def write_mat(path, mask):
    """Write a mask as SBD does: GTcls is a struct with the map and more in it."""
    more = {"Boundaries": np.zeros(20), "CategoriesPresent": [3, 20]}
    savemat(path, {"GTcls": {"Segmentation": mask, **more}}, do_compression=True)


@pytest.fixture
def tree(tmp_path):
    own = tmp_path / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (own / folder).mkdir(parents=True)
    for split, names in OWN.items():
        (own / f"{split}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            Image.new("RGB", (3, 1)).save(own / "img" / f"{name}.jpg")
            write_mat(own / "cls" / f"{name}.mat", MASK)
    devkit = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (devkit / folder).mkdir(parents=True)
    for split, names in PASCAL.items():
        (devkit / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            Image.new("RGB", (3, 1)).save(devkit / "JPEGImages" / f"{name}.jpg")
            Image.fromarray(MASK + 0).save(devkit / "SegmentationClass" / f"{name}.png")
    older = tmp_path / "VOCdevkit" / "VOC2011" / "ImageSets" / "Segmentation"
    older.mkdir(parents=True)
    (older / "val.txt").write_text("Pv_Bt\nPv_Bv\nPv_old\n")
    return tmp_path


def test_the_splits_are_those_of_the_rules(tree):
    dataset = open_dataset("sbd", tree)
    found = {split: [r.name for r in records] for split, records in dataset.splits.items()}
    every = {name for names in (*PASCAL.values(), *OWN.values()) for name in names}
    assert found["val"] == sorted(PASCAL["val"])
    assert found["val904"] == ["Pv", "Pv_Bv", "Pv_old"]  # not trained on in SBD
    assert found["val346"] == ["Pv", "Pv_old"]  # in none of SBD's lists
    assert found["seg11valid"] == ["Pv_Bv", "Pv_old"]
    for val, train in (("val", "trainaug"), ("val904", "train11127"), ("val346", "train11685")):
        assert set(found[train]) == every - set(found[val])


def test_no_training_split_holds_an_image_of_its_validation_split(tree):
    splits = open_dataset("sbd", tree).splits
    for val, train in (("val", "trainaug"), ("val904", "train11127"), ("val346", "train11685")):
        assert not {r.name for r in splits[val]} & {r.name for r in splits[train]}


def test_the_mask_of_voc_wins_and_those_of_sbd_are_read(tree):
    dataset = open_dataset("sbd", tree)
    files = {r.name: r.label_path.suffix for r in dataset.records("trainaug")}
    assert files["Pt_Bt"] == ".png" and files["Bt"] == files["Bv"] == ".mat"
    for record in dataset.records("trainaug"):
        np.testing.assert_array_equal(read_pair(record, dataset.labels)[1], MASK)


def test_without_voc_there_are_sbds_own_splits(tree):
    (tree / "VOCdevkit").rename(tree / "elsewhere")
    for root in (tree, tree / "benchmark_RELEASE", tree / "benchmark_RELEASE" / "dataset"):
        assert open_dataset("sbd", root).counts() == {"train": 3, "val": 3}


@pytest.mark.parametrize("damage", ["half", "text", "other", "shape"])
def test_a_damaged_mat_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "a.mat"
    write_mat(path, np.zeros((50, 50), np.uint8))
    if damage == "half":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "text":
        path.write_text("MATLAB?")
    elif damage == "other":
        savemat(path, {"GTinst": {"Segmentation": MASK}})
    else:
        write_mat(path, np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(InputError) as caught:
        read_mask(path, VOC)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_value_beyond_the_classes_is_named(tmp_path):
    write_mat(tmp_path / "a.mat", np.array([[0, 21]], np.uint8))
    with pytest.raises(InputError, match=r"value 21 at \(x=1, y=0\)"):
        read_mask(tmp_path / "a.mat", VOC)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["u1", "u2", "i4"])
def test_a_whole_mat_is_read_as_by_scipy_and_a_damaged_one_never_dies(tmp_path, kind, compressed):
    path, rng = tmp_path / "a.mat", np.random.default_rng(1)
    mask = rng.integers(0, 21, (7, 5)).astype(kind)
    edges = np.empty((2, 1), object)
    edges[:, 0] = [csc_array(np.eye(3)), csc_array(np.ones((2, 2)))]
    fields = {"Boundaries": edges, "Segmentation": mask, "CategoriesPresent": [1.0, 2.5]}
    savemat(path, {"other": np.ones((3, 3)), "GTcls": fields}, do_compression=compressed)
    theirs = loadmat(path)["GTcls"]["Segmentation"][0, 0]
    assert np.array_equal(read_mask(path, VOC), theirs)
    whole = path.read_bytes()
    for at in rng.integers(0, len(whole), 100):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ rng.integers(1, 256)]) + whole[at + 1 :])
        try:
            read_mask(path, VOC)
        except InputError as error:
            assert str(path) in str(error)


def test_a_small_mat_does_not_unpack_to_a_large_one(tmp_path, monkeypatch):
    write_mat(tmp_path / "a.mat", np.zeros((3000, 3000), np.uint8))
    monkeypatch.setattr(image_io, "_MOST_OF_A_MAT", 1 << 20)
    with pytest.raises(InputError, match="cut or damaged"):
        read_mask(tmp_path / "a.mat", VOC)
