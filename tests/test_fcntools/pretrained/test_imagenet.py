"""Released weights: every variable arrives under our name, or the file is refused by name."""

import dataclasses
import os
import pickle
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from released_files import AUX, draw, slim_shapes, vgg_shapes, write_keras, write_v1, write_v2

from fcnlib import checkpoints
from fcnlib.blocks import BACKBONES, Conv
from fcnlib.builders import build_fcn, start_from
from fcnlib.config import Config
from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcntools.pretrained import imagenet
from fcntools.pretrained.shapes_classifier import load_classifier

LOGITS = "InceptionV3/Logits/Conv2d_1c_1x1"
ODD = (  # what a list of regular names would get wrong
    "InceptionV3/Mixed_5c/Branch_1/Conv_1_0c_5x5/weights",
    "InceptionV3/Mixed_5c/Branch_1/Conv2d_0b_1x1/weights",
    "InceptionV3/Mixed_7b/Branch_1/Conv2d_0b_3x1/weights",
    "InceptionV3/Mixed_7c/Branch_1/Conv2d_0c_3x1/weights",
)


@pytest.fixture(scope="module")
def slim_arrays():
    return draw(slim_shapes())


@pytest.fixture(scope="module")
def keras_models():
    """Keras's InceptionV3 with random weights: (with top, without and for any size)."""
    random = np.random.default_rng(5)
    top = tf.keras.applications.InceptionV3(weights=None, classifier_activation=None)
    values = []
    for variable in top.weights:
        if variable.name == "moving_variance":
            values.append(random.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) == 1:
            values.append(random.normal(0, 0.2, variable.shape))
        else:  # 1.4 keeps the size of the features through 48 layers
            values.append(variable.numpy() * 1.4)
    top.set_weights(values)
    bare = tf.keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    bare.set_weights(values[:-2])
    return top, bare


@pytest.fixture(scope="module")
def keras_files(keras_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras")
    top, bare = (
        write_keras(folder / f"{name}.h5", model)
        for name, model in zip(("top", "notop"), keras_models, strict=True)
    )
    return top, bare


@pytest.mark.parametrize("write", [write_v1, write_v2])
def test_every_variable_of_a_slim_checkpoint_is_copied(slim_arrays, tmp_path, write):
    imported = imagenet.read(write(tmp_path / "inception_v3.ckpt", slim_arrays))
    assert len(slim_arrays) == 388
    assert set(ODD) < set(imported.arrays)
    assert len(imported.arrays) == 378 and not imported.account.missing
    for name, array in imported.arrays.items():
        np.testing.assert_array_equal(array, slim_arrays[name], err_msg=name)
    skipped = set(slim_arrays) - set(imported.arrays)
    assert set(imported.account.skipped) == skipped and all(AUX in name for name in skipped)
    assert str(imported) == "copied 378, missing 0, skipped 10"
    assert imported.meta["classes"][:2] == ["background", "1"]
    assert len(imported.meta["classes"]) == 1001


def test_the_parts_of_a_newer_checkpoint_stand_for_the_whole(slim_arrays, tmp_path):
    small = {n: a for n, a in slim_arrays.items() if "AuxLogits" in n}
    write_v2(tmp_path / "a.ckpt", small)
    for name in ("a.ckpt", "a.ckpt.index", "a.ckpt.data-00000-of-00001"):
        with pytest.raises(InputError, match="Conv2d_1a_3x3/weights is missing"):
            imagenet.read(tmp_path / name)


FAULTS = [  # (what is done to a tensor, what the error says beside its name)
    (lambda a: np.where(a == a.flat[3], np.nan, a).astype(a.dtype), "holds a NaN"),
    (lambda a: a[..., :-1], "has shape"),
    (lambda a: a.astype(np.float64), "float64"),
]


@pytest.mark.parametrize(("change", "words"), FAULTS)
def test_a_wrong_tensor_of_a_slim_checkpoint_is_named(slim_arrays, tmp_path, change, words):
    changed = slim_arrays | {ODD[0]: change(slim_arrays[ODD[0]])}
    with pytest.raises(InputError) as caught:
        imagenet.read(write_v2(tmp_path / "x.ckpt", changed))
    assert ODD[0] in str(caught.value) and words in str(caught.value)
    assert "x.ckpt" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [ODD[0], ODD[2], f"{LOGITS}/biases"])
def test_a_renamed_tensor_is_refused_under_both_names(slim_arrays, tmp_path, name):
    changed = {n if n != name else "InceptionV3/new/weights": a for n, a in slim_arrays.items()}
    with pytest.raises(InputError) as caught:
        imagenet.read(write_v2(tmp_path / "x.ckpt", changed))
    assert f"{name} is missing" in str(caught.value)
    assert "InceptionV3/new/weights is not in the network" in str(caught.value)


def test_a_slim_checkpoint_trained_further_gives_its_backbone(slim_arrays, tmp_path):
    """Ten classes, and what the optimizer keeps; but a gamma would change the answers."""
    head = {f"{LOGITS}/weights": np.ones([1, 1, 2048, 10], np.float32)}
    head[f"{LOGITS}/biases"] = np.ones(10, np.float32)
    slots = {f"{ODD[0]}/RMSProp": slim_arrays[ODD[0]], "global_step": np.array(7, np.int64)}
    found = imagenet.read(write_v2(tmp_path / "x.ckpt", slim_arrays | head | slots))
    assert len(found.arrays) == 376 and (found.meta["kind"], found.meta["classes"]) == (
        "backbone",
        [],
    )
    np.testing.assert_array_equal(found.arrays[ODD[0]], slim_arrays[ODD[0]])
    assert {*head, *slots} < set(found.account.skipped)
    gamma = ODD[0].replace("weights", "BatchNorm/gamma")
    with pytest.raises(InputError, match=f"{gamma} is not in the network"):
        imagenet.read(write_v2(tmp_path / "y.ckpt", slim_arrays | {gamma: np.ones(64, np.float32)}))


def test_both_forms_of_keras_are_copied_whole(keras_models, keras_files):
    top, bare = (imagenet.read(path) for path in keras_files)
    for model, found, copied in ((keras_models[0], top, 378), (keras_models[1], bare, 376)):
        assert len(found.arrays) == len(found.account.copied) == copied
        assert not found.account.missing and not found.account.skipped
        ours = sorted(float(np.sum(a, dtype=np.float64)) for a in found.arrays.values())
        theirs = sorted(float(np.sum(a, dtype=np.float64)) for a in model.get_weights())
        assert ours == theirs  # each of their arrays once
    assert (top.meta["kind"], bare.meta["kind"]) == ("classifier", "backbone")
    assert str(bare) == (
        "copied 376, missing 0, skipped 0; the backbone alone: it has no head of ImageNet's classes"
    )


def test_the_files_made_here_are_such_as_keras_reads(keras_models, keras_files):
    model = keras_models[1]
    before = model.get_weights()
    model.set_weights([np.zeros_like(array) for array in before])
    model.load_weights(keras_files[1])
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))


@pytest.fixture(scope="module")
def imported(keras_files, tmp_path_factory):
    """The Keras file with its classifier as a checkpoint of ours."""
    read, path = imagenet.read(keras_files[0]), tmp_path_factory.mktemp("ours") / "i.npz"
    checkpoints.save(path, read.arrays, read.meta)
    return path


def assert_close(found, expected):
    assert found.shape == expected.shape and expected.std() > 0.01
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=atol)


def test_the_imported_network_answers_as_keras_does(keras_models, keras_files, imported):
    """Logits at 299, and the map of logits at another size, from Keras's features without top."""
    top, bare = keras_models
    classifier, meta = load_classifier(imported, "VALID")
    assert len(meta["classes"]) == 1000
    images = tf.random.stateless_uniform([1, 299, 299, 3], [1, 2], -1, 1)
    assert_close(classifier(images).numpy(), top(images, training=False).numpy())

    # The same classifier on the other file's backbone.
    backbone = imagenet.read(keras_files[1]).arrays
    checkpoints.transplant(backbone, classifier.named_variables(), may_miss=(LOGITS,))
    images = tf.random.stateless_uniform([1, 139, 203, 3], [3, 4], -1, 1)
    kernel, bias = top.get_layer("predictions").get_weights()
    expected = bare(images, training=False).numpy() @ kernel + bias
    assert expected.shape == (1, 3, 5, 1000)
    assert_close(classifier.score_map(images).numpy(), expected)


def test_an_fcn_of_full_width_starts_from_it_at_any_size(imported):
    network = build_fcn(Config().replace(depth_multiplier=1.0, min_depth=16), 21, 8)
    transfer = start_from(network, imported)
    assert len(transfer.copied) == 376 and all("FCN/" in name for name in transfer.missing)
    assert set(transfer.skipped) == {f"{LOGITS}/weights", f"{LOGITS}/biases"}
    for size in ((65, 97), (50, 33)):
        assert network(tf.zeros([1, *size, 3])).shape == (1, *size, 21)


@pytest.fixture(scope="module")
def networks(keras_models):
    """The backbone within others, as people train it: flat and nested, with their own layers."""
    layers, (top, bare) = tf.keras.layers, keras_models
    head = [layers.GlobalAveragePooling2D(), layers.Dropout(0.2)]
    ten = bare.output
    for layer in (*head, layers.Dense(10, name="predictions")):
        ten = layer(ten)
    before = [layers.RandomFlip(), layers.RandomRotation(0.1), layers.Conv2D(3, 1)]
    nested = tf.keras.Sequential([layers.Input([99, 99, 3]), *before, bare, *head, layers.Dense(5)])
    nested.compile("sgd", "mse")
    return {"top": top, "ten": tf.keras.Model(bare.input, ten), "nested": nested}


@pytest.mark.parametrize("form", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("kind", ["top", "ten", "nested"])
def test_what_keras_3_saves_is_read(networks, keras_files, tmp_path, kind, form):
    """In .weights.h5 and .keras the layers are numbered in another order than they were made in."""
    path = tmp_path / f"x{form}"
    (networks[kind].save_weights if "weights" in form else networks[kind].save)(path)
    found, expected = imagenet.read(path), imagenet.read(keras_files[kind != "top"])
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert found.meta == expected.meta | {"source": path.name}
    skipped = {name.rpartition("/")[2] for name in found.account.skipped}
    assert not skipped if kind == "top" else {"kernel", "bias"} <= skipped


def test_a_file_of_an_older_keras_is_refused_with_what_to_save(networks, tmp_path):
    networks["ten"].save_weights(tmp_path / "x.weights.h5")
    with h5py.File(tmp_path / "x.weights.h5", "r+") as file:
        for layer in file["layers"].values():
            layer["vars"].attrs.pop("name")  # which Keras 3.6 was the first to write
    with pytest.raises(InputError, match=r"x\.weights\.h5: .* before 3\.6, .*model\.save"):
        imagenet.read(tmp_path / "x.weights.h5")


@pytest.mark.parametrize("form", [".weights.h5", ".keras", ".h5"])
def test_another_network_of_keras_is_told_by_its_layers(tmp_path, form):
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input([9, 9, 3]), layers.Conv2D(4, 3, name="block1_conv1")])
    path = tmp_path / f"x{form}"
    (model.save_weights if "weights" in form else model.save)(path)
    with pytest.raises(InputError, match=r"no InceptionV3 .* but the layers block1_conv1 "):
        imagenet.read(path)


@pytest.fixture
def h5(keras_files, tmp_path):
    """A copy of the file with top to spoil, open."""
    shutil.copy(keras_files[0], tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5", "r+") as file:
        yield file


def refusal(file):
    path = file.filename
    file.close()
    with pytest.raises(InputError) as caught:
        imagenet.read(Path(path))
    assert "x.h5" in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("change", "words"), FAULTS)
@pytest.mark.parametrize("tensor", ["conv2d_17/kernel", "batch_normalization_94/beta"])
def test_a_wrong_tensor_of_a_keras_file_is_named(h5, tensor, change, words):
    place = "{0}/{0}/{1}:0".format(*tensor.split("/"))
    value = change(h5[place][()])
    del h5[place]
    h5[place] = value
    said = refusal(h5)
    assert tensor in said and words in said


@pytest.mark.parametrize("layer", ["conv2d_2", "conv2d_94"])
def test_a_renamed_layer_of_a_keras_file_is_named(h5, layer):
    h5.move(f"{layer}/{layer}", f"{layer}/other")
    said = refusal(h5)
    assert f"{layer}/kernel is missing" in said and "other/kernel is not in the network" in said


@pytest.mark.parametrize("first", [0, 1, 95])
def test_keras_counts_its_layers_from_wherever_it_stands(h5, keras_files, first):
    """And a network's own layers may come before and after."""
    for kind in ("conv2d", "batch_normalization"):
        h5.create_group("all")
        for n in range(1, 95):
            h5.move(f"{kind}_{n}/{kind}_{n}", f"all/{kind}_{first + n - 1}".removesuffix("_0"))
        h5.move("all", f"{kind}_all")
    for n in {max(first - 1, 0), first + 94} - {first}:
        h5[f"conv2d_{n}/kernel"] = np.ones((3, 3, 3, 32), np.float32)
    path = Path(h5.filename)
    h5.close()
    found, expected = imagenet.read(path), imagenet.read(keras_files[0])
    assert all(np.array_equal(found.arrays[n], array) for n, array in expected.arrays.items())


def test_a_renamed_tensor_of_a_keras_file_is_named(h5):
    h5.move("conv2d_17/conv2d_17/kernel:0", "conv2d_17/conv2d_17/gamma:0")
    said = refusal(h5)
    assert "conv2d_17/kernel is missing" in said
    assert "conv2d_17/gamma is not in the network" in said


def spoil(file, kind):
    place = "conv2d_17/conv2d_17/kernel:0"
    shape = file[place].shape
    if kind == "object":
        del file[place]
        file[place] = np.array([b"cos\nsystem\n"], object)
    elif kind == "twice":
        file["other/conv2d_17/kernel:0"] = file[place][()]
    elif kind == "two":
        for n in range(1, 95):
            file[f"other/conv2d_{n + 200}/kernel"] = file[f"conv2d_{n}/conv2d_{n}/kernel:0"][()]
    elif kind == "gamma":
        file["x/batch_normalization_17/gamma"] = np.ones(3, np.float32)
    elif kind == "huge":  # declared in a few bytes, 4 TB to read
        del file[place]
        file.create_dataset(place, (2**40,), np.float32, chunks=(2**20,))
    else:
        del file[place]
    if kind == "linked":
        file[place] = h5py.ExternalLink("top.h5", place)
    elif kind == "external":
        file.create_dataset(place, shape, np.float32, external=[("/etc/hostname", 0, 2**30)])
    elif kind == "virtual":
        layout = h5py.VirtualLayout(shape, np.float32)
        layout[...] = h5py.VirtualSource("top.h5", place, shape, np.float32)
        file.create_virtual_dataset(place, layout)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("object", "kernel is of type object"),
        ("two", "holds two InceptionV3"),
        ("gamma", "batch_normalization_17/gamma is not in the network"),
        ("twice", "kernel is there twice"),
        ("huge", "kernel has shape [1099511627776]"),
        ("linked", "kernel is missing"),
        ("external", "kernel is there twice or lies in another file"),
        ("virtual", "kernel is there twice or lies in another file"),
    ],
)
def test_the_tricks_of_h5_are_refused(h5, kind, words):
    spoil(h5, kind)
    assert words in refusal(h5)


class _Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("kind", ["empty", "text", "pickle", "v1", "v2", "h5", "npz", "folder"])
def test_what_is_no_weights_is_one_clear_error(
    kind, tmp_path, monkeypatch, slim_arrays, keras_files
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.ckpt"
    content = {"empty": b"", "text": b"<html>404</html>", "pickle": pickle.dumps(_Bomb())}
    if kind in content:
        path.write_bytes(content[kind])
    elif kind == "v1":
        write_v1(path, {n: a for n, a in slim_arrays.items() if a.size < 1000})
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif kind == "v2":
        write_v2(path, slim_arrays)
        os.truncate(f"{path}.data-00000-of-00001", 10**6)
    elif kind == "h5":
        shutil.copy(keras_files[1], path)
        os.truncate(path, path.stat().st_size * 2 // 3)
    elif kind == "npz":
        np.savez(path.with_suffix(""), a=np.zeros(2))
        path = path.with_suffix(".npz")
    else:
        path.mkdir()
    with pytest.raises(InputError) as caught:
        imagenet.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()
    with pytest.raises(InputError, match="no such file"):
        imagenet.read(tmp_path / "nothing.ckpt")


def test_another_networks_checkpoint_is_told_apart(tmp_path):
    write_v1(tmp_path / "r.ckpt", {"resnet_v1_50/conv1/weights": np.zeros([2], np.float32)})
    with pytest.raises(InputError, match=r"InceptionV3/\.\.\. or vgg_16/"):
        imagenet.read(tmp_path / "r.ckpt")


def test_vgg16_has_the_names_and_shapes_of_slim():
    wanted = imagenet.expected_shapes("vgg_16", 1000)
    assert wanted | {"vgg_16/mean_rgb": (3,)} == vgg_shapes()


def test_vgg16_is_imported(tmp_path, monkeypatch):
    made = BACKBONES["vgg_16"]
    table = tuple(
        dataclasses.replace(layer, depth=layer.depth // 32) if isinstance(layer, Conv) else layer
        for layer in made.table
    )
    monkeypatch.setitem(BACKBONES, "vgg_16", dataclasses.replace(made, table=table))
    monkeypatch.setattr(imagenet, "expected_shapes", imagenet.expected_shapes.__wrapped__)
    arrays = draw(imagenet.expected_shapes("vgg_16", 1000))
    more = {"vgg_16/mean_rgb": np.zeros(3, np.float32), "global_step": np.array(7, np.int64)}
    imported = imagenet.read(write_v1(tmp_path / "vgg_16.ckpt", arrays | more))
    assert (imported.backbone, imported.meta["backbone"]) == ("vgg_16", "vgg_16")
    assert set(imported.account.skipped) == set(more) and len(imported.arrays) == 32
    assert "123.68" in imported.meta["inputs"] and len(imported.meta["classes"]) == 1000
    for name, array in arrays.items():
        np.testing.assert_array_equal(imported.arrays[name], array, err_msg=name)
