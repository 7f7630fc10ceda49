"""How a training step grows with the work: `python -m benchmarks.growth`, some minutes.

One thing at a time is changed from a middle case: the side of the image, the batch, the classes,
the threads. Every case is a process of its own; they take turns. What follows for a data set on
GPUs is calculated from the measured shares, by the formulas on the page.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import contestants, small
from benchmarks.scaling import NETWORKS, efficiency
from fcnlib.config import Config
from fcnlib.runtime import files, run_record
from fcntools.analysis import systems

MIDDLE = {"side": 225, "batch": 4, "classes": 21, "threads": 2}
CASES = {
    "side": (129, 225, 321, 417),
    "batch": (1, 2, 4, 8),
    "classes": (21, 150, 1000),
    "threads": (1, 2),
}
ROUNDS, STEPS = 3, 2
# Training images and the side of the crop that networks for them are trained on.
PLANS = {"PASCAL VOC 2012, trainaug": (10_582, 321, 21), "ADE20K": (20_210, 417, 150)}
EPOCHS, GPU_BATCH = 50, 16  # passes over the images; images a step on each GPU
GPU_PEAK = 312e12  # bfloat16 operations a second, as published for an A100
_PAGE = """# How the cost grows

FCN-8s at multiplier 1, training step, images a second; written by `python -m benchmarks.growth`.

{table}

![Images a second against the side of the image, the batch, the classes and the threads](growth.png)

**The image.** A step costs what its pixels cost: from {first} to {last} pixels a side the pixels
grow {pixels:.1f} times and the time {time:.1f} times.

**The batch.** From 1 to {batch} images a step the images a second grow {by_batch:.2f} times.

**The classes.** From 21 to 150 classes a step takes {by_150:.2f} times as long, to 1000
{by_1000:.1f} times: the scores are upsampled to pixels and compared there, {floats:.1f} million
numbers an image at 1000 classes. The backbone, {gflop:.1f} billion operations an image forward,
does not change.

**Threads.** Two threads do {by_threads:.2f} times the work of one.

**The machine's share.** {share:.0%} of what its convolutions can do in the same type
({gflops:.0f} of {ceiling:.0f} GFLOP/s, counting three times the forward operations).

## What that means on GPUs

Calculated, not measured, and a lower bound, since input, small operations and evaluation are left
out: a GPU of {peak:.0f} TFLOP/s (the published bfloat16 peak of an A100) that
is used to the same share; time an image = 3 x forward operations / (share x peak), times the
measured factor of the classes. Eight of them lose what a ring takes to add up {megabytes:.0f} MB of
gradients at 100 Gb/s, by the formula of `benchmarks/scaling.py`, with {gpu_batch} images on each.

| {epochs} epochs of | crop | one GPU | eight |
|---|--:|--:|--:|
{plans}

{machine}
"""


def work(side: int, batch: int, classes: int, threads: int) -> None:
    """Do steps when told to, as `contestants.main` does, in one case."""
    from fcnlib.runtime.compat import tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    contestants.CLASSES, contestants.BATCH, contestants.GRID_SIDE = classes, batch, side
    contestants.serve(contestants.train_ours("auto"))


def operations(side: int) -> float:
    """Count a forward pass's operations an image: twice the multiply-adds of its convolutions."""
    return 2.0 * systems.operations(contestants.ours("float32"), side)


def measure() -> pd.DataFrame:
    """Return a row a case: what was changed, its value, the seconds of a step, images a second."""
    from benchmarks.bench import Contestant

    cases = [(what, value) for what, values in CASES.items() for value in values]
    rows = []
    for what, value in cases:
        case = MIDDLE | {what: value}
        words = [f"--{k}={v}" for k, v in case.items()]
        runner = Contestant(f"{what} {value}", ["benchmarks.growth", *words])
        if not runner.ready():
            continue
        times = [runner.turn(STEPS) for _ in range(ROUNDS)]
        runner.end()
        taken = float(np.median(times))
        speed = round(case["batch"] / taken, 3)
        rows.append({"changed": what, "to": value, "seconds": round(taken, 4), "images/s": speed})
        print(f"  {what} {value}: {speed} images/s", flush=True)
    return pd.DataFrame(rows)


def page(frame: pd.DataFrame, ceiling: float, gradients: int, record: dict) -> str:
    """Return growth.md.

    `ceiling` is GFLOP/s of a large convolution, `gradients` their bytes.
    """
    taken = {(r["changed"], r["to"]): r["seconds"] for r in frame.to_dict("records")}
    sides, batches = CASES["side"], CASES["batch"]
    wanted = {MIDDLE["side"], *(side for _, side, _ in PLANS.values())}
    forward = {side: operations(side) for side in wanted}
    middle = taken["side", MIDDLE["side"]]
    gflops = 3 * forward[MIDDLE["side"]] * MIDDLE["batch"] / middle / 1e9
    share = gflops / ceiling
    factor = {c: taken["classes", c] / taken["classes", 21] for c in CASES["classes"]}
    plans = []
    for name, (images, side, classes) in PLANS.items():
        an_image = 3 * forward[side] / (share * GPU_PEAK) * factor[classes]
        alone, step = an_image * images * EPOCHS / 3600, an_image * GPU_BATCH
        kept = efficiency(8, step, gradients, NETWORKS["100 Gb/s"])
        cells = (name, f"{side}", f"{60 * alone:.1f} min", f"{60 * alone / 8 / kept:.1f} min")
        plans.append(f"| {' | '.join(cells)} |")
    lines = ["| changed | to | seconds a step | images/s |", "|---|--:|--:|--:|"]
    lines += [
        f"| {r.changed} | {r.to} | {r.seconds:.3f} | {r[4]:.1f} |" for r in frame.itertuples()
    ]
    machine, versions = record["machine"], record["versions"]
    return _PAGE.format(
        table="\n".join(lines),
        first=sides[0],
        last=sides[-1],
        pixels=(sides[-1] / sides[0]) ** 2,
        time=taken["side", sides[-1]] / taken["side", sides[0]],
        batch=batches[-1],
        by_batch=batches[-1] * taken["batch", 1] / taken["batch", batches[-1]],
        by_150=factor[150],
        by_1000=factor[1000],
        floats=1000 * MIDDLE["side"] ** 2 / 1e6,
        gflop=forward[MIDDLE["side"]] / 1e9,
        by_threads=taken["threads", 1] / taken["threads", 2],
        share=share,
        gflops=gflops,
        ceiling=ceiling,
        peak=GPU_PEAK / 1e12,
        megabytes=gradients / 1e6,
        gpu_batch=GPU_BATCH,
        epochs=EPOCHS,
        plans="\n".join(plans),
        machine=f"{machine['cpu']}, {machine['cores']} cores; TensorFlow {versions['tensorflow']}; "
        f"code {record['commit'][:12]}.",
    )


def draw(frame: pd.DataFrame):
    """Return the figure: a small plot for each thing changed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    for axes, what in zip(figure.subplots(1, len(CASES)), CASES, strict=True):
        rows = frame[frame.changed == what]
        axes.plot(rows["to"], rows["images/s"], "o-", color="#0072b2")
        axes.set_xscale("log", base=2 if what != "classes" else 10)
        axes.set_xticks(rows["to"], map(str, rows["to"]))
        axes.minorticks_off()
        axes.set(xlabel=what, ylim=(0, None), ylabel="images a second" if what == "side" else "")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in MIDDLE:
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    if given.side:
        work(given.side, given.batch, given.classes, given.threads)
        return
    started, clock = run_record.start(), time.monotonic()
    frame = measure()
    ceiling = next(r["value"] for r in small.ceiling() if "bfloat16" in r["what"])
    network = contestants.ours("float32")
    trained = network.trainable(backbone=True, head=True).values()
    gradients = 4 * sum(v.shape.num_elements() for v in trained)
    record = run_record.capture(Config(), started=started, device={"device": "CPU"})
    files.write_text(given.out / "growth.csv", frame.to_csv(index=False))
    files.write_text(given.out / "growth.md", page(frame, ceiling, gradients, record))
    draw(frame).savefig(given.out / "growth.png", dpi=90)
    print(f"{time.monotonic() - clock:.0f} s; {given.out}/growth.md")


if __name__ == "__main__":
    main()
