"""Long runs and large images in little: memory and open files stay where they are."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ledger import SOAK, note, share
from model_maker import write_network
from PIL import Image

from fcnlib import experiment
from fcnlib.config import ROOT, Config
from fcnlib.datasets import open_dataset

GROWTH = 40 << 20  # bytes: what TensorFlow's allocator wavers by
SMALLEST = Config().replace(
    backbone="vgg_16",
    depth_multiplier=0.01,
    min_depth=2,
    init_checkpoint="",
    crop_size=32,
    batch_size=1,
    head_steps=0,
    eval_batch_size=4,
)


def used() -> tuple[int, int]:
    """Return resident bytes and open files of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))


def sampling(batches, samples):
    def sampled(*arguments):
        for batch in batches(*arguments):
            samples.append(used())
            yield batch

    return sampled


def check(samples, what, how, count):
    settled = len(samples) // 4
    grown = max(b for b, _ in samples[-10:]) - max(b for b, _ in samples[: settled + 1])
    files = samples[-1][1] - samples[settled][1]
    lost = [f"{grown >> 20} MiB"] * (grown > GROWTH) + [f"{files} open files"] * (files > 0)
    note(what, how, count, lost, grown=grown)
    assert not lost


@pytest.mark.timeout(7200)
def test_steps_take_no_more_memory_and_no_more_files(tiny_shapes, tmp_path, monkeypatch):
    steps, samples = share(20_000, 150), []
    config = SMALLEST.replace(coarse_steps=steps)
    monkeypatch.setattr(experiment, "train_batches", sampling(experiment.train_batches, samples))
    config = config.replace(strides=[32], init_checkpoint="")
    (job,) = experiment.chain(config, tmp_path)
    experiment.train_fcn(config, open_dataset("shapes", tiny_shapes), job)
    assert len(samples) == steps
    check(samples, "training without end", "steps of the smallest network", steps)


@pytest.mark.timeout(7200)
def test_an_evaluation_takes_no_more_memory_for_more_images(tiny_shapes, tmp_path, monkeypatch):
    images, samples = share(10_000, 200), []
    dataset = open_dataset("shapes", tiny_shapes)
    few = dataset.splits["val"]
    many = tuple(dataclasses.replace(few[i % len(few)], name=str(i)) for i in range(images))
    dataset = dataclasses.replace(dataset, splits={**dataset.splits, "val": many})
    write_network(tmp_path / "net", dataset.labels.classes, 32)
    monkeypatch.setattr(experiment, "load_fcn", named(experiment.load_fcn))
    monkeypatch.setattr(experiment, "eval_batches", sampling(experiment.eval_batches, samples))
    found = experiment.evaluate_fcn(SMALLEST, dataset, tmp_path / "net")
    assert len(found.names) == images and found.matrix.sum() > 0
    check(samples, "evaluation of a large split", "images of 65 pixels", images)


def named(load):
    def loaded(folder):
        network, meta = load(folder)
        return network, meta | {"name": "net"}

    return loaded


@pytest.mark.skipif(not SOAK, reason="minutes: in `make soak`")
@pytest.mark.timeout(7200)
def test_an_image_of_a_hundred_megapixels_is_labelled(tmp_path):
    side = share(10_000, 1_000)
    Image.effect_noise((side, side), 60).convert("RGB").save(tmp_path / "i.jpg")
    write_network(tmp_path / "net", ("a", "b"), 32)
    words = ("predict", tmp_path / "net", tmp_path / "i.jpg", "--out", tmp_path / "out")
    command = [sys.executable, "-m", "fcnlib", *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, spent = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    gib = spent.ru_maxrss / 2**20
    answer = None
    if process.returncode == 0:
        with Image.open(tmp_path / "out" / "i.png") as opened:
            answer = opened.size
    lost = [] if answer == (side, side) and gib < 6 else [f"status {process.returncode}"]
    note("an image of 10,000 x 10,000 pixels", f"predict, {gib:.1f} GiB at most", 1, lost)
    assert not lost
