"""The loop: it learns, freezes what it says, resumes bit for bit and stops at a NaN by name."""

import csv
import resource
import signal

import numpy as np
import pytest

from fcnlib import checkpoints
from fcnlib.backbone import stateless_dropout
from fcnlib.config import TrainConfig
from fcnlib.errors import InputError
from fcnlib.losses import pixel_cross_entropy
from fcnlib.runtime.compat import slim, tf
from fcnlib.slim import SlimModule
from fcnlib.training import CHECKPOINT, Stage, Trainer, learning_rate

STAGES = (Stage("head", 3, 1e-2, backbone=False, frozen=True), Stage("all", 4, 1e-3))


def network():
    """Two layers, one in each group, with dropout and batch norm: all the loop must handle."""

    def build(images, training, frozen, seed):
        with tf.compat.v1.variable_scope("InceptionV3"):
            norm = {"is_training": training and not frozen, "updates_collections": None}
            norm |= {"decay": 0.9}
            net = slim.conv2d(
                images, 8, 3, normalizer_fn=slim.batch_norm, normalizer_params=norm, scope="Conv"
            )
        if training:
            net = stateless_dropout(net, 0.2, seed)
        zeros = tf.zeros_initializer()
        with tf.compat.v1.variable_scope("FCN"):
            return slim.conv2d(
                net, 3, 1, activation_fn=None, weights_initializer=zeros, scope="score_32"
            )

    tf.random.set_seed(0)
    net = SlimModule(build)
    net._template(tf.zeros([1, 33, 33, 3]), False, False, (0, 0))
    return net


def batch(step):
    images = tf.random.stateless_uniform([2, 65, 65, 3], [step, 1], -1, 1)
    labels = tf.cast(images[..., 0] > 0, tf.uint8)
    return {"image": images, "label": labels, "index": tf.constant([0, 1])}


def batches(first, steps):
    return (batch(step) for step in range(first, first + steps))


def loss(net, batch, stage, step):
    logits = net._template(batch["image"], True, stage.frozen, (1, step))
    return pixel_cross_entropy(logits, batch["label"])


def spoilt(steps, by):
    """The loss, whose gradient is of no use in some steps."""

    def wrong(net, batch, stage, step):
        bad = tf.reduce_any(tf.equal(step, steps))

        @tf.custom_gradient
        def same(value):
            return value, lambda upstream: upstream * tf.where(bad, by, 1.0)

        return same(loss(net, batch, stage, step))

    return wrong


def trainer(net, folder, stages=STAGES, feed=batches, loss=loss, **more):
    config = TrainConfig(warmup_steps=1, **more)
    return Trainer(net, stages, feed, loss, config, folder, meta={"kind": "fcn"}, names=("a", "b"))


def log(folder):
    with open(folder / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def values(net):
    return {n: v.numpy() for n, v in net.named_variables().items()}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_it_overfits_one_batch(tmp_path, optimizer):
    net = network()
    rate = 3e-2 if optimizer == "adam" else 0.1
    same = lambda first, steps: (batch(0) for _ in range(steps))  # noqa: E731
    trainer(net, tmp_path, (Stage("all", 40, rate),), same, optimizer=optimizer).run("test")
    rows = log(tmp_path)
    assert float(rows[0]["loss"]) == pytest.approx(np.log(3), abs=1e-4)  # zero scores: a guess
    assert float(rows[-1]["loss"]) < 0.75 * float(rows[0]["loss"])


def test_the_first_stage_leaves_the_backbone_alone(tmp_path):
    net = network()
    before = values(net)
    trainer(net, tmp_path, STAGES[:1]).run("test")
    after = values(net)
    changed = {n for n in before if not np.array_equal(before[n], after[n])}
    assert changed == {"FCN/score_32/weights", "FCN/score_32/biases"}


@pytest.mark.parametrize(
    ("stop", "more"),
    [(2, {}), (3, {}), (5, {}), (5, {"ema_decay": 0.5})],
)
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, stop, more):
    whole = network()
    trainer(whole, tmp_path / "whole", **more).run("test")

    def interrupted(first, steps):
        for step in range(first, first + steps):
            if step == stop:
                signal.raise_signal(signal.SIGINT)
            yield batch(step)

    with pytest.raises(KeyboardInterrupt):
        trainer(network(), tmp_path / "cut", feed=interrupted, **more).run("test")
    resumed = network()
    again = trainer(resumed, tmp_path / "cut", **more)
    again.run("test", resume=True)
    assert again.step == 7
    for name, value in values(whole).items():
        np.testing.assert_array_equal(values(resumed)[name], value, err_msg=name)
    kept = ("step", "stage", "learning_rate", "loss")
    one, other = ([[row[k] for k in kept] for row in log(tmp_path / n)] for n in ("whole", "cut"))
    assert one == other


def test_averages_are_what_is_scored_and_kept(tmp_path):
    def run(folder, **more):
        net, seen, config = network(), [], TrainConfig(warmup_steps=1, val_every=1, **more)
        look = lambda: seen.append(values(net)) or 0.0  # noqa: E731
        options = {"meta": {}, "evaluate": look}
        Trainer(net, STAGES[1:], batches, loss, config, folder, **options).run("test")
        return seen, checkpoints.load(folder / CHECKPOINT)[0]

    (plain, _), (averaged, kept) = run(tmp_path / "a"), run(tmp_path / "b", ema_decay=0.5)
    name = "FCN/score_32/weights"
    expected = np.zeros_like(plain[0][name])  # score layers start at zero
    for step, (raw, found) in enumerate(zip(plain, averaged, strict=True), 1):
        expected += (1 - min(0.5, (1 + step) / (10 + step))) * (raw[name] - expected)
        np.testing.assert_allclose(found[name], expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_array_equal(kept[name], averaged[-1][name])


def test_a_finished_run_is_not_run_again(tmp_path):
    trainer(network(), tmp_path).run("test")
    again = trainer(network(), tmp_path, feed=lambda first, steps: pytest.fail("read a batch"))
    again.run("test", resume=True)
    assert again.step == 7


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    trainer(network(), tmp_path).run("test")
    with pytest.raises(InputError, match="stages"):
        trainer(network(), tmp_path, STAGES[:1]).run("test", resume=True)
    other = trainer(network(), tmp_path)
    other.meta = {"kind": "fcn", "settings": {"seed": 2}, "labels": {"classes": ["a"]}}
    arrays, meta = checkpoints.load(tmp_path / CHECKPOINT)
    known = {"settings": {"seed": 1, "gone": 0}, "labels": {"classes": ["b"]}}
    checkpoints.save(tmp_path / CHECKPOINT, arrays, meta | known)
    with pytest.raises(
        InputError, match=r"other settings or data \(settings\.seed, labels\.classes\)"
    ):
        other.run("test", resume=True)


def test_a_nan_stops_with_step_and_files(tmp_path):
    def poisoned(first, steps):
        for step in range(first, first + steps):
            good = batch(step)
            yield good if step < 2 else {**good, "image": good["image"] * np.nan}

    net = network()
    with pytest.raises(InputError, match=r"step 2, images a, b"):
        trainer(net, tmp_path, (Stage("all", 5, 1e-3),), poisoned).run("test")


@pytest.mark.parametrize("last", [True, False])
def test_a_nan_is_not_saved_and_what_was_saved_before_is_whole(tmp_path, last):
    """Neither as a finished network nor as one to go on from."""
    steps = 7 if last else 50
    stages = (Stage("all", steps, 1e-3),)
    with pytest.raises(InputError, match=r"npz: \S+ holds a NaN .* learning rate"):
        made = trainer(network(), tmp_path, stages, loss=spoilt([6], np.nan), checkpoint_seconds=0)
        made.run("test")
    arrays, meta = checkpoints.load(tmp_path / CHECKPOINT)
    assert meta["step"] == 6 and not meta["finished"]
    assert all(np.isfinite(array).all() for array in arrays.values())


def test_the_checkpoint_says_what_it_is(tmp_path):
    trainer(network(), tmp_path).run("test")
    arrays, meta = checkpoints.load(tmp_path / "checkpoint.npz")
    assert meta["kind"] == "fcn" and meta["step"] == 7 and meta["finished"]
    assert not any(name.startswith("optimizer/") for name in arrays)


def test_schedules_by_hand():
    stage = Stage("all", 100, 2.0)
    at = lambda step, **k: learning_rate(stage, step, TrainConfig(**k))  # noqa: E731
    assert at(50, schedule="cosine", warmup_steps=0) == pytest.approx(1.0)
    assert at(50, schedule="poly", warmup_steps=0) == pytest.approx(2 * 0.5**0.9)
    assert at(99, schedule="constant", warmup_steps=10) == 2.0
    assert at(0, schedule="constant", warmup_steps=10) == pytest.approx(0.2)


def cut_short(folder, stop=5):
    """Train until Ctrl-C at a step, every step saved."""

    def feed(first, steps):
        for step in range(first, first + steps):
            if step == stop:
                signal.raise_signal(signal.SIGINT)
            yield batch(step)

    with pytest.raises(KeyboardInterrupt):
        trainer(network(), folder, feed=feed, checkpoint_seconds=0).run("test")
    return folder / CHECKPOINT


def finish(folder):
    net = network()
    trainer(net, folder).run("test", resume=True)
    return values(net)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return finish(tmp_path_factory.mktemp("whole"))


def test_ctrl_c_ends_the_step_and_saves_it_whenever_it_comes(tmp_path, undisturbed):
    path = cut_short(tmp_path)
    assert checkpoints.load(path)[1]["step"] == 6  # the one that was under way is counted
    for name, value in finish(tmp_path).items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(tmp_path, undisturbed):
    path = cut_short(tmp_path, 4)
    before, limit = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        with pytest.raises(InputError, match=r"cannot be written \(File too large\)"):
            trainer(network(), tmp_path, checkpoint_seconds=0).run("test", resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.partial"))
    for name, value in finish(tmp_path).items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)
