"""What needs no peer process: the metric, the ceiling of convolutions, the input, the start."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.contestants import CLASSES
from fcnlib.config import ROOT
from fcnlib.runtime import files
from fcntools import synthetic

_REPEATS = 5


def seconds(step, repeats: int = _REPEATS) -> float:
    """Return the median time of a step that has been warmed up."""
    step()
    times = []
    for _ in range(repeats):
        begin = time.monotonic()
        step()
        times.append(time.monotonic() - begin)
    return statistics.median(times)


def row(group: str, what: str, value: float, unit: str, ours_times: float | None = None) -> dict:
    rounded = None if ours_times is None else round(ours_times, 2)
    return {"group": group, "what": what, "value": value, "unit": unit, "ours_times": rounded}


def metric() -> list[dict]:
    """Count confusion matrices of 20 label maps of 433 x 433 in every way there is."""
    from fcnlib.metrics import confusion_matrix
    from fcntools.synthetic.shapes import draw_scene

    rng = np.random.default_rng(1)
    truth = np.array([draw_scene(rng, 433, k % 8 + 1)[1] for k in range(20)])
    answer = np.roll(truth, 4, axis=2) % 255  # void, 255, is no answer
    noise = rng.integers(0, CLASSES, [2, *truth.shape]).astype(np.uint8)
    ways = {
        "ours": lambda: confusion_matrix(truth, answer, CLASSES),
        "ours on noise": lambda: confusion_matrix(*noise, CLASSES),
        "NumPy bincount": lambda: _bincount(truth, answer),
        "Keras MeanIoU": _keras_metric(truth, answer),
        "scikit-learn": _sklearn_metric(truth, answer),
    }
    try:
        ways["torchmetrics"] = _torch_metric(truth, answer)
    except ImportError:
        print("  torchmetrics: left out (pip install torch torchmetrics)", flush=True)
    times = {name: seconds(way, 3) for name, way in ways.items()}
    pixels = truth.size / 1e6
    return [
        row("metric", name, round(pixels / t, 1), "megapixels/s", _against(name, t / times["ours"]))
        for name, t in times.items()
    ]


def _against(name: str, times: float) -> float | None:
    return None if name.endswith("noise") else times  # which is another input


def _bincount(truth, answer):
    known = truth != 255
    cells = truth[known].astype(np.int64) * CLASSES + answer[known]
    return np.bincount(cells, minlength=CLASSES**2)


def _keras_metric(truth, answer):
    import keras

    counter = keras.metrics.MeanIoU(CLASSES, ignore_class=255)
    return lambda: counter.update_state(truth, answer)


def _sklearn_metric(truth, answer):
    from sklearn.metrics import confusion_matrix

    def count():
        known = truth != 255
        return confusion_matrix(truth[known], answer[known], labels=range(CLASSES))

    return count


def _torch_metric(truth, answer):
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    true, said = torch.from_numpy(truth), torch.from_numpy(answer)
    return lambda: multiclass_confusion_matrix(said.long(), true.long(), CLASSES, ignore_index=255)


def ceiling() -> list[dict]:
    """Measure what one large convolution gets out of the processor, in both types."""
    from fcnlib.runtime.compat import tf

    rows = []
    for dtype in (tf.float32, tf.bfloat16):
        x = tf.cast(tf.random.normal([8, 57, 57, 256]), dtype)
        kernel = tf.cast(tf.random.normal([3, 3, 256, 256]), dtype)

        @tf.function(autograph=False)
        def convolve(x=x, kernel=kernel):
            return tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[:, 0, 0])

        taken = seconds(lambda run=convolve: run().numpy(), 20)
        operations = 2 * 8 * 57 * 57 * 9 * 256 * 256
        gigaflops = round(operations / taken / 1e9, 1)
        rows.append(row("ceiling", f"convolution, {dtype.name}", gigaflops, "GFLOP/s"))
    return rows


def input_pipeline() -> list[dict]:
    """Measure the batches alone, and what a training that gets them loses on one that has them."""
    from fcnlib.config import load_profile
    from fcnlib.input_pipeline import ImageStore, train_batches
    from fcnlib.runtime.compat import tf

    rows, steps = [], 40
    with tempfile.TemporaryDirectory() as folder:
        changes = {"data_dir": folder, "train_images": 64, "val_images": 8, "objects_per_class": 1}
        config = load_profile("quick", {**changes, "objects_val_per_class": 1})
        dataset = synthetic.prepare(config)
        store = ImageStore(dataset.records("train"), dataset.labels)
        size = config.train.batch_size

        def batches(count):
            return train_batches(store, config.data, size, 1, 0, count)

        alone = seconds(lambda: [None for _ in batches(steps)], 3) / steps
        rows.append(row("input", "batches alone", round(size / alone, 1), "images/s"))
        step = _thin_step(config, dataset)
        held = next(iter(batches(1)))
        turns = [[], []]
        for _ in range(_REPEATS):  # in turns, as everything here
            for kind, source in enumerate(([held] * steps, batches(steps))):
                begin = time.monotonic()
                for batch in source:
                    step(batch)
                turns[kind].append(time.monotonic() - begin)
        speeds = [size * steps / statistics.median(taken) for taken in turns]
    rows.append(row("input", "training, batch in memory", round(speeds[0], 1), "images/s"))
    share = speeds[1] / speeds[0]
    rows.append(row("input", "training, batches read", round(speeds[1], 1), "images/s", share))
    tf.keras.backend.clear_session()
    return rows


def _thin_step(config, dataset):
    from fcnlib import losses
    from fcnlib.builders import build_fcn
    from fcnlib.optimizer import Optimizer, Stage
    from fcnlib.runtime.compat import tf

    network = build_fcn(config, dataset.labels.num_classes, 8)
    variables = list(network.trainable(backbone=True, head=True).values())
    optimizer = Optimizer(config.train, Stage("all", 100, 1e-3), variables)

    @tf.function(autograph=False)
    def step(batch):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = network(batch["image"], training=True, dropout_seed=tf.constant([0, 0]))
            loss = losses.pixel_cross_entropy(logits, batch["label"])
        optimizer.apply(tape.gradient(loss, variables), tf.constant(1e-3))
        return loss

    return lambda batch: float(step(batch))


def start() -> list[dict]:
    """Time the command line where no network is needed."""
    rows = []
    for words in (["--help"], ["profiles"], ["data", "list"]):
        command = [sys.executable, "-m", "fcnlib", *words]
        taken = seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True))
        rows.append(row("start", f"fcnlib {' '.join(words)}", round(taken, 3), "s"))
    return rows


def evaluation() -> list[dict]:
    """Score images of VOC's size, files to confusion matrices, with a thin and a wide FCN-8s."""
    from fcnlib.builders import build_fcn
    from fcnlib.config import Config
    from fcnlib.evaluation import evaluate, predictor
    from fcntools.inference.folding import Folded

    rng, rows = np.random.default_rng(1), []
    count = 8
    images = rng.uniform(-1, 1, [count, 1, 375, 500, 3]).astype(np.float32)
    truth = rng.integers(0, CLASSES, [count, 1, 375, 500]).astype(np.uint8)
    names = tuple(map(str, range(count)))
    for multiplier in (0.25, 1.0):
        config = Config().replace(depth_multiplier=multiplier)
        predict = predictor(Folded(build_fcn(config, CLASSES, 8)))
        batches = [
            {"image": images[i], "label": truth[i], "index": np.array([i])} for i in range(count)
        ]
        taken = seconds(lambda p=predict, b=batches: evaluate(p, b, names, CLASSES), 3)
        what = f"500 x 375, multiplier {multiplier:g}"
        rows.append(row("evaluation", what, round(count / taken, 2), "images/s"))
    return rows


def interactive() -> list[dict]:
    """Measure what a person waits for, without the 100 megapixels, which take minutes."""
    from benchmarks.interactive import field, slider
    from fcnlib.datasets.voc import VOC
    from fcnlib.labels import SHAPES

    rows = [*slider(SHAPES, 129, 129), *slider(VOC, 375, 500), *field()]
    return [row("interactive", r["name"], r["value"], r["unit"]) for r in rows]


def records() -> list[dict]:
    """Read generated pairs from their files and from TFRecords."""
    from benchmarks.records import measure
    from fcnlib.config import load_profile
    from fcntools.data.tfrecords import pack

    with tempfile.TemporaryDirectory() as folder:
        changes = {"data_dir": f"{folder}/data", "train_images": 200, "val_images": 8}
        changes |= {"objects_per_class": 1, "objects_val_per_class": 1}
        files = synthetic.prepare(load_profile("quick", changes))
        packed = pack(files, Path(folder) / "packed")
        found = measure(files, packed, "train", 200, 3)
    return [
        row("records", r["way"], float(r["records"]), "pairs/s", float(r["ratio"])) for r in found
    ]


def workbook() -> list[dict]:
    """Read how long the last `make workbook` took, by notebook and by training."""
    run = ROOT / "results" / "runs" / "quick"
    record = files.read_json(run / "record.json") or {}
    times = {name: entry["seconds"] for name, entry in record.get("notebooks", {}).items()}
    if not times:
        print("  workbook: left out; run `make workbook` first", flush=True)
        return []
    at_once = record.get("at_once", 1)
    rows = []
    if not {"--only", "--resume"} & set(record["command"].split()):
        rows = [row("workbook", f"the run, {at_once} at once", round(record["wall_seconds"]), "s")]
    rows += [row("workbook", name, round(seconds), "s") for name, seconds in times.items()]
    for path in sorted((run / "models").glob("**/record.json")):
        taken = (files.read_json(path) or {}).get("training_seconds", 0)
        name = path.parent.relative_to(run / "models")
        rows.append(row("workbook", f"training {name}", round(taken), "s"))
    return rows


MEASURES = {
    "metric": metric,
    "ceiling": ceiling,
    "input": input_pipeline,
    "start": start,
    "evaluation": evaluation,
    "interactive": interactive,
    "records": records,
    "workbook": workbook,
}
