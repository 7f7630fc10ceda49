"""A folded network answers as the network does, whatever it is made of and whatever computes it."""

import itertools

import numpy as np
import pytest

from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf
from fcntools.analysis.networks_2017 import Decoder2017, VariantFCN
from fcntools.inference.folding import FORMATS, Folded, export, folded
from fcntools.inference.segmenter import Segmenter

THIN = {"depth_multiplier": 0.1, "min_depth": 4}


def trained(num_classes=5, stride=8, **settings):
    """Return a network in which every variable matters, as none does at the start."""
    network = VariantFCN(num_classes, stride, **{**THIN, **settings})
    network(tf.zeros([1, 33, 33, 3]))
    rng = np.random.default_rng(1)
    for name, variable in network.named_variables().items():
        if name.endswith("moving_variance"):
            variable.assign(rng.uniform(0.5, 2, variable.shape))
        elif any(part in name for part in ("FCN/score", "BatchNorm", "biases")):
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return network


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(2).integers(0, 256, [2, 50, 70, 3]).astype(np.float32)


VARIANTS = {
    "32s": {"stride": 32},
    "4s": {"stride": 4},
    "raw": {"raw_inputs": True},
    "no norm": {"batch_norm": False},
    "void": {"void_class": True},
    "vgg": {"backbone": "vgg_16", "depth_multiplier": 0.02},
    "vgg fixed": {"backbone": "vgg_16", "depth_multiplier": 0.02, "learned": False},
}
VARIANTS |= {
    f"{fusion} {scales} learned={learned}": {
        "fusion": fusion,
        "skip_scales": scales,
        "learned": learned,
    }
    for fusion, scales, learned in itertools.product(
        ("score", "feature"), ((), (0.5, 0.25)), (True, False)
    )
}


CASES = [(name, "tensorflow") for name in VARIANTS]
CASES += [
    (name, "onnxruntime") for name in ("4s", "void", "vgg", "feature (0.5, 0.25) learned=True")
]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_every_kind_of_network_folds(name, engine, pixels):
    network = trained(**VARIANTS[name])
    images = tf.constant(pixels / 127.5 - 1)
    wanted = network.fused(images)
    found = Folded(network, engine).fused(images)
    scale = float(tf.reduce_max(tf.abs(wanted)))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found / scale, wanted / scale, atol=1e-5)


def test_openvino_answers_in_pixels_too(pixels):
    network, images = trained(), tf.constant(pixels / 127.5 - 1)
    wanted = network(images).numpy()
    found = Folded(network, "openvino")(images).numpy()
    assert found.shape == wanted.shape == (2, 50, 70, 5)
    # It computes in bfloat16 where the processor can.
    assert np.linalg.norm(found - wanted) < 0.05 * np.linalg.norm(wanted)


def test_branches_share_their_first_convolution_and_pools_see_few_channels():
    network, spec = trained(), [tf.TensorSpec([1, 33, 33, 3])]
    plain, folded = (
        tf.function(f, spec, autograph=False).get_concrete_function().graph.get_operations()
        for f in (network.fused, Folded(network).fused)
    )
    counts = [sum(op.type == "Conv2D" for op in ops) for ops in (plain, folded)]
    # Of the 11 blocks nine do three in one, Mixed_7a two, and Mixed_6a has one 1 x 1 start.
    assert counts[0] - counts[1] == 9 * 2 + 1
    pools = [op for op in folded if op.type == "AvgPool"]
    assert len(pools) == 9
    assert {pool.inputs[0].op.type for pool in pools} == {"BiasAdd"}, "behind the convolution"


def test_a_kernel_is_folded_by_hand():
    norm = "layer/BatchNorm/"
    arrays = {
        "layer/weights": np.full([1, 1, 1, 1], 3.0, np.float32),
        norm + "beta": np.float32([0.5]),
        norm + "moving_mean": np.float32([2.0]),
        norm + "moving_variance": np.float32([0.25 - 1e-3]),
    }
    kernel, bias = folded(arrays, "layer")
    # (3 x - 2) / 0.5 + 0.5 = 6 x - 3.5
    np.testing.assert_allclose([kernel.item(), bias.item()], [6.0, -3.5], rtol=1e-6)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_exported_network_agrees_on_images_of_several_sizes(kind, tmp_path):
    rng = np.random.default_rng(3)
    images = [rng.integers(0, 256, [h, w, 3], np.uint8) for h, w in ((33, 65), (40, 50))]
    network, target = trained(), tmp_path / "sub" / f"net.{kind}"
    if kind in ("saved_model", "openvino"):
        target.mkdir(parents=True)  # which is empty
    found = export(network, kind, target, images)
    assert found.images == 2 and found.agreement > 0.999 and 0 <= found.error < 1e-5
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    export(network, kind, target, images[:1])  # replaces what is there
    if target.is_dir():  # which is never more than that
        (target / "mine.txt").write_text("years of work")
        with pytest.raises(InputError, match=f"net.{kind}: holds mine.txt, which no export to"):
            export(network, kind, target, images[:1])
        assert (target / "mine.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_replaces_nothing_but_an_export(kind, tmp_path):
    images, folder = [np.zeros([33, 33, 3], np.uint8)], tmp_path / "thesis"
    (folder / "chapters").mkdir(parents=True)
    (folder / "chapters" / "1.tex").write_text("years of work")
    (tmp_path / "notes").write_text("of mine")
    other = tmp_path / "other"  # a model, but none of ours
    if kind == "saved_model":
        tf.saved_model.save(tf.Module(), str(other))
    else:
        other.mkdir()
        (other / "model.xml").write_text("<net/>")
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    for target in (folder, tmp_path / "notes", other):
        with pytest.raises(InputError, match=f"{target.name}: .* no export to {kind} made"):
            export(None, kind, target, images)
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


def test_the_network_of_2017_is_refused_by_name(tmp_path):
    network = Decoder2017(3, 8, **THIN, batch_norm=False)
    network(tf.zeros([1, 33, 33, 3]))
    for use in (lambda: export(network, "tflite", tmp_path / "n", []), lambda: Segmenter(network)):
        with pytest.raises(InputError, match="a network of fusion 2017 can only be scored"):
            use()
    assert not list(tmp_path.iterdir())


def test_a_wrong_export_is_seen(tmp_path, monkeypatch):
    import fcntools.inference.folding

    monkeypatch.setattr(fcntools.inference.folding, "BATCH_NORM_EPSILON", 0.5)
    images = [np.full([33, 33, 3], 90, np.uint8)]
    assert export(trained(), "onnx", tmp_path / "net.onnx", images).error > 1e-3


def test_unknown_names_and_missing_packages_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no engine 'gpu'; there are tensorflow"):
        Folded(trained(), "gpu")
    with pytest.raises(InputError, match="no format 'pdf'; there are saved_model"):
        export(trained(), "pdf", tmp_path / "x", [])
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(InputError, match="pip install onnxruntime"):
        Folded(trained(), "onnxruntime")


def test_nothing_is_left_where_the_target_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        export(trained(), "onnx", tmp_path / "file" / "net.onnx", [])
    assert (tmp_path / "file").read_text() == "in the way"
