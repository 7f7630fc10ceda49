"""What a person waits for: a slider of the inspector, the random field, 100 megapixels.

The networks have the form of trained ones and random weights. `--out` keeps table and record.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from fcnlib import checkpoints
from fcnlib.builders import build_fcn, load_fcn
from fcnlib.config import Config
from fcnlib.datasets.voc import VOC
from fcnlib.labels import SHAPES, LabelSet
from fcnlib.runtime import files, run_record
from fcnlib.training import CHECKPOINT
from fcntools.inference.crf import refine
from fcntools.inspector import what_if

MOVES = 200
LARGE = (8660, 11548)  # 100 megapixels


def write_network(folder: Path, labels: LabelSet, stride: int) -> None:
    """Write a network of the default width as `fcnlib train` does, its scores drawn at random."""
    network, rng = build_fcn(Config(), labels.num_classes, stride), np.random.default_rng(1)
    arrays = {name: v.numpy() for name, v in network.named_variables().items()}
    for name in (n for n in arrays if "/score_" in n):
        arrays[name] = rng.normal(0, 0.05, arrays[name].shape).astype(np.float32)
    meta = {"kind": "fcn", "stride": stride, "classes": labels.classes, "settings": {}}
    checkpoints.save(folder / CHECKPOINT, arrays, meta)


def picture(height: int, width: int) -> np.ndarray:
    """Return patches of noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(2)
    patches = Image.fromarray(rng.integers(0, 200, (5, 5, 3)).astype(np.uint8))
    patches = np.asarray(patches.resize((width, height), Image.Resampling.NEAREST))
    return patches + rng.integers(0, 55, patches.shape, np.uint8)


def slider(labels: LabelSet, height: int, width: int) -> list[dict]:
    """Weigh the score maps of an image anew; what counts ends with the class of every pixel."""
    with tempfile.TemporaryDirectory() as folder:
        write_network(Path(folder) / "fcn-4s", labels, 4)
        network = load_fcn(Path(folder) / "fcn-4s")[0]
    maps = what_if.read(network, picture(height, width))
    times, strides = [], maps.strides
    for move in range(MOVES + 10):  # the first ten warm up
        began = time.perf_counter()
        what_if.answer(maps, {strides[move % 4]: 0.05 * (move * 7 % 40)})
        times.append(1000 * (time.perf_counter() - began))
    what = f"slider of the inspector, {height} x {width}, {labels.num_classes} classes"
    median, late = np.percentile(times[10:], (50, 95))
    return [_row(f"{what}, median", median, "ms", 100), _row(f"{what}, p95", late, "ms", 200)]


def field() -> list[dict]:
    """Refine a photograph: ten rounds, 500 x 375 pixels, 21 classes."""
    odds, times = np.random.default_rng(3).random((375, 500, 21), np.float32) ** 8, []
    given, image = odds / odds.sum(axis=-1, keepdims=True), picture(375, 500)
    for _ in range(4):
        began = time.perf_counter()
        refine(given, image)
        times.append(time.perf_counter() - began)
    return [_row("random field, 500 x 375, 21 classes", np.median(times[1:]), "s", 3)]


def large_image() -> list[dict]:
    """Label 100 megapixels by the command line, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_network(Path(folder) / "fcn-8s", VOC, 8)
        Image.fromarray(picture(*LARGE)).save(f"{folder}/large.jpg")
        words = ["predict", f"{folder}/fcn-8s", f"{folder}/large.jpg", "--out", f"{folder}/out"]
        words, began = [sys.executable, "-m", "fcnlib", *words], time.perf_counter()
        _, status, used = os.wait4(os.posix_spawn(words[0], words, os.environ), 0)
        assert status == 0, "predict failed"
        seconds = time.perf_counter() - began
    what = "predict, 100 megapixels"
    peak = used.ru_maxrss * 1024 / 1e9
    return [_row(f"{what}, peak memory", peak, "GB", 4), _row(f"{what}, time", seconds, "s", None)]


def _row(name: str, value: float, unit: str, goal: float | None) -> dict:
    return {"name": name, "value": round(float(value), 2), "unit": unit, "goal": goal}


def measure() -> list[dict]:
    """Return a row each: name, value, unit, and the goal that the value may not exceed."""
    return [*slider(SHAPES, 129, 129), *slider(VOC, 375, 500), *field(), *large_image()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    given, started = parser.parse_args(), run_record.start()
    frame = pd.DataFrame(measure())
    print(frame.to_string(index=False))
    if given.out:
        record = run_record.capture(Config(), started=started, device={"device": "CPU"})
        files.write_text(given.out / "interactive.csv", frame.to_csv(index=False))
        files.write_json(given.out / "interactive.json", record)


if __name__ == "__main__":
    main()
