"""What a training step costs when two processes share it here, and what it would on many GPUs.

    python -m benchmarks.scaling [--out results/benchmarks] [--gpu-step 0.25]

Measured: the step of one process on one core with half the batch, and of two such processes, a core
each, with the whole; the difference is what the summing costs. Calculated: 8 to 64 GPUs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fcnlib.config import Config
from fcnlib.runtime import files, run_record
from fcntools import launcher

CLASSES, SIDE, SHARE, STEPS, ROUNDS = 21, 129, 4, 8, 3
NETWORKS = {"10 Gb/s": 1.25e9, "100 Gb/s": 12.5e9, "400 Gb/s": 50e9}  # bytes a second
GPUS = (8, 16, 32, 64)


def allreduce_seconds(count: int, size: float, bandwidth: float) -> float:
    """Return how long a ring takes: each of n sends 2 (n - 1) / n of the bytes.

    Source: Patarasuk and Yuan 2009, https://doi.org/10.1016/j.jpdc.2008.09.002.
    """
    return 2 * (count - 1) / count * size / bandwidth


def efficiency(count: int, step: float, size: float, bandwidth: float) -> float:
    """Return the share of n times one GPU's speed, the batch a GPU kept and nothing overlapped."""
    return step / (step + allreduce_seconds(count, size, bandwidth))


def worker(folder: Path) -> None:
    """Be one of the processes: train a few steps on noise; the first prints seconds and bytes."""
    import numpy as np

    from fcnlib import losses
    from fcnlib.builders import build_fcn
    from fcnlib.runtime import distributed
    from fcnlib.runtime.compat import tf
    from fcnlib.training import Stage, Trainer

    found = distributed.cluster()
    number, count = (found[1], len(found[0])) if found else (0, 1)
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    config = Config().replace(precision="float32", batch_size=SHARE * count)
    with distributed.joined(1, config.train.batch_size):
        rng, began = np.random.default_rng(number), []
        image = rng.uniform(-1, 1, [SHARE, SIDE, SIDE, 3]).astype(np.float32)
        label = rng.integers(0, CLASSES, [SHARE, SIDE, SIDE]).astype(np.uint8)
        held = {"image": tf.constant(image), "label": tf.constant(label)}

        def batches(first, steps):
            for _ in range(steps):
                began.append(time.monotonic())
                yield held

        def loss(net, batch, stage, step):
            logits = net(batch["image"], training=True, dropout_seed=tf.stack([1, step]))
            return losses.pixel_cross_entropy(logits, batch["label"])

        network = build_fcn(config, CLASSES, 8)
        stages = [Stage("all", STEPS + 2, 1e-3)]
        Trainer(network, stages, batches, loss, config.train, folder, meta={}).run("")
    steps = [b - a for a, b in itertools.pairwise(began[1:])]  # the first traces
    learned = sum(v.numpy().nbytes for v in network.trainable(backbone=True, head=True).values())
    if number == 0:
        print(json.dumps({"seconds": statistics.median(steps), "bytes": learned}))


def measure(count: int) -> dict:
    """Return the first process's seconds a step and the gradient's bytes."""
    nodes = [f"127.0.0.1:{port}" for port in launcher.free_ports(count)]
    command = [sys.executable, "-m", "benchmarks.scaling", "--worker"]
    with tempfile.TemporaryDirectory() as folder:
        team = []
        for rank in range(count):
            task = {"cluster": {"worker": nodes}, "task": {"type": "worker", "index": rank}}
            more = {"TF_CONFIG": json.dumps(task)} if count > 1 else {}
            one = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
            quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}
            team.append(
                subprocess.Popen(
                    [*command, folder],
                    env={**os.environ, **one, **quiet, **more},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
        said = [process.communicate()[0] for process in team]
    if any(process.returncode for process in team):
        raise RuntimeError(f"{count} processes: {[p.returncode for p in team]}")
    return json.loads(said[0].splitlines()[-1])


def full_bytes() -> int:
    """Return the gradient's bytes of the full width."""
    from fcnlib.builders import build_fcn

    network = build_fcn(Config().replace(depth_multiplier=1.0), CLASSES, 8)
    variables = network.trainable(backbone=True, head=True).values()
    return sum(4 * variable.shape.num_elements() for variable in variables)


def page(found: dict) -> str:
    """Return the page: what was measured, the formula, the table."""
    one, two = found["measured"]["one_seconds"], found["measured"]["two_seconds"]
    sizes, step = found["gradient_bytes"], found["assumed"]["gpu_step_seconds"]
    lines = [
        "# Training on more than one process",
        "",
        "## Measured on this machine",
        "",
        f"FCN-8s of the default width, {SIDE} x {SIDE} pixels, {SHARE} images a process, a core "
        f"each, float32; medians of {STEPS} steps, best of {ROUNDS} turns.",
        "",
        "| | step | images a second |",
        "|---|--:|--:|",
        f"| one process | {one:.3f} s | {SHARE / one:.1f} |",
        f"| two processes, loopback | {two:.3f} s | {2 * SHARE / two:.1f} |",
        "",
        f"Two do {one / two:.0%} of twice the work of one; a step sums {sizes['default'] / 1e6:.1f}"
        " MB.",
        "",
        "## Calculated, not measured",
        "",
        f"Full width: {sizes['full'] / 1e6:.1f} MB of float32 gradients a step. Assumed: a GPU's "
        f"step takes {step:g} s and keeps its batch; each GPU has the network to itself; sums and "
        "computation do not overlap; no latency, no wait for the slowest; input is never late.",
        "",
        "    sum = 2 (n - 1) / n * bytes / bandwidth        efficiency = step / (step + sum)",
        "",
        f"| GPUs | {' | '.join(NETWORKS)} |",
        f"|--:|{'--:|' * len(NETWORKS)}",
    ]
    for row in found["calculated"]:
        cells = (f"{row[n]['efficiency']:.0%} ({row[n]['sum_seconds']:.3f} s)" for n in NETWORKS)
        lines.append(f"| {row['gpus']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--gpu-step", type=float, default=0.25, help="assumed seconds of a step")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker)
        return
    started = run_record.start()
    turns = [(measure(1), measure(2)) for _ in range(ROUNDS)]
    one, two = (min(turn[i]["seconds"] for turn in turns) for i in (0, 1))
    sizes = {"default": turns[0][0]["bytes"], "full": full_bytes()}
    rows = []
    for count in GPUS:
        row = {"gpus": count}
        for name, bandwidth in NETWORKS.items():
            share = efficiency(count, given.gpu_step, sizes["full"], bandwidth)
            seconds = allreduce_seconds(count, sizes["full"], bandwidth)
            row[name] = {"sum_seconds": seconds, "efficiency": share}
        rows.append(row)
    found = {
        "measured": {"one_seconds": one, "two_seconds": two, "batch_of_each": SHARE, "side": SIDE},
        "gradient_bytes": sizes,
        "assumed": {"gpu_step_seconds": given.gpu_step, "bytes_per_second": NETWORKS},
        "calculated": rows,
    }
    record = run_record.capture(Config(), started=started, device={"device": "CPU"})
    del record["config"]
    files.write_json(given.out / "scaling.json", found | {"record": record})
    files.write_text(given.out / "scaling.md", page(found))
    print(page(found))


if __name__ == "__main__":
    main()
