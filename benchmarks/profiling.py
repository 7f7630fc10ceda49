"""Where a training step's time goes, and what else was tried: `python -m benchmarks.profiling`.

The shares are those of TensorFlow's own profiler, by type of operation. The other ways take turns
with ours, as in `make bench`. Writes results/benchmarks/profile.md, minutes.
"""

from __future__ import annotations

import argparse
import collections
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import contestants, small
from benchmarks.bench import Contestant
from benchmarks.growth import operations
from fcnlib.config import Config
from fcnlib.runtime import files, run_record

STEPS, ROUNDS, TOP = 3, 5, 12
WIDTHS = {"wide": 1.0, "thin": 0.25}
# name: (inter-op threads, intra-op threads, what is done to the step); None leaves the choice
WAYS = {
    "as it is": (None, None, ""),
    "threads: 2 operations of 1": (2, 1, ""),
    "threads: 1 operation of 2": (1, 2, ""),
    "threads: 2 operations of 2": (2, 2, ""),
    "compiled by XLA": (None, None, "xla"),
    "float32, the graph rewritten to bfloat16": (None, None, "rewritten"),
    "float32": (None, None, "float32"),
    "TensorFlow's own loss": (None, None, "loss"),
    "deterministic": (None, None, "deterministic"),
}
_PAGE = """# Where a training step goes

FCN-8s, {batch} images of {side} pixels; written by `python -m benchmarks.profiling`.

## By type of operation

Share of the time of the threads that run operations, and calls a step.

{shares}

## Against the ceiling

{ceiling}

## What else was tried

Milliseconds a step, median of {rounds} turns; less is better, ours is the first line.

{ways}

{machine}
"""


def configured(way: str, multiplier: float):
    """Build the step of one of the ways; threads must be chosen before anything is computed."""
    inter, intra, change = WAYS[way]
    if change == "xla":  # read when TensorFlow is loaded
        os.environ["TF_XLA_FLAGS"] = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit"
    from fcnlib import losses
    from fcnlib.runtime.compat import tf

    if inter:
        tf.config.threading.set_inter_op_parallelism_threads(inter)
        tf.config.threading.set_intra_op_parallelism_threads(intra)
    if change == "rewritten":
        options = {"auto_mixed_precision_onednn_bfloat16": True}
        tf.config.optimizer.set_experimental_options(options)
    if change == "loss":
        own = tf.nn.sparse_softmax_cross_entropy_with_logits
        losses.cross_entropy_on_cpu = lambda logits, labels: own(labels, logits)
    if change == "deterministic":
        tf.config.experimental.enable_op_determinism()
    precision = "float32" if change in ("float32", "rewritten") else "auto"
    return contestants.train_ours(precision, multiplier)


def profiled(step) -> dict[str, tuple[float, float]]:
    """Return {type of operation: (share of the operations' time, calls a step)}."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    from fcnlib.runtime.compat import tf

    for _ in range(STEPS):
        step()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(STEPS):
                step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    taken, calls = collections.Counter(), collections.Counter()
    (plane,) = (plane for plane in space.planes if plane.name == "/host:CPU")
    for line in plane.lines:
        if line.name.startswith("tf_Compute"):
            for event in line.events:
                _, found, kind = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if found and kind != "Process" and kind.lstrip("_")[:1].isupper():
                    taken[kind] += event.duration_ps
                    calls[kind] += 1
    total = sum(taken.values())
    return {kind: (t / total, calls[kind] / STEPS) for kind, t in taken.most_common()}


def shares() -> str:
    """Return the table of the two widths."""
    found = {}
    for name, multiplier in WIDTHS.items():
        print(f"profiling the {name} network", flush=True)
        found[name] = profiled(configured("as it is", multiplier))
    kinds = {kind for each in found.values() for kind in list(each)[:TOP]}
    order = sorted(kinds, key=lambda kind: -found["wide"].get(kind, (0, 0))[0])
    lines = [
        "| operation | wide, multiplier 1 | calls | thin, 0.25 | calls |",
        "|---|--:|--:|--:|--:|",
    ]
    for kind in order:
        cells = [f"{s:.1%} | {n:.0f}" for s, n in (f.get(kind, (0, 0)) for f in found.values())]
        lines.append(f"| {kind.removeprefix('_MklNative')} | {' | '.join(cells)} |")
    rest = [1 - sum(f.get(kind, (0, 0))[0] for kind in order) for f in found.values()]
    return "\n".join([*lines, f"| everything else | {rest[0]:.1%} | | {rest[1]:.1%} | |"])


def turns() -> tuple[str, dict[tuple[str, str], float]]:
    """Let the ways take turns; return the table, and {(width, way): seconds a step}."""
    medians, lines = (
        {},
        ["| way | wide | first step | thin | first step |", "|---|--:|--:|--:|--:|"],
    )
    first = {}
    for width in WIDTHS:
        entered = []
        for way in WAYS:
            runner = Contestant(way, ["benchmarks.profiling", "--serve", way, "--width", width])
            if runner.ready():
                entered.append(runner)
        for number in range(ROUNDS):
            for runner in entered:
                runner.turn(STEPS)
            print(f"  {width}: round {number + 1} of {ROUNDS}", flush=True)
        for runner in entered:
            runner.end()
            medians[width, runner.name] = float(np.median(runner.times))
            first[width, runner.name] = runner.first
    for way in WAYS:
        cells = [
            f"{1000 * medians[width, way]:.0f} | {first[width, way]:.0f} s"
            if (width, way) in medians
            else "failed | "
            for width in WIDTHS
        ]
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines), medians


def against_the_ceiling(medians: dict[tuple[str, str], float]) -> str:
    """Say what share of the largest convolution's speed the wide step reaches, by type."""
    rows = {r["what"].split(", ")[1]: r["value"] for r in small.ceiling()}
    done = 3 * operations(contestants.GRID_SIDE) * contestants.BATCH / 1e9
    lines = []
    for name, kind in (("as it is", "bfloat16"), ("float32", "float32")):
        speed = done / medians["wide", name]
        lines.append(
            f"- {name}: {speed:.0f} GFLOP/s (three times the forward operations), "
            f"{speed / rows[kind]:.0%} of what one large {kind} convolution does here "
            f"({rows[kind]:.0f} GFLOP/s)"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--serve", choices=WAYS)
    parser.add_argument("--width", choices=WIDTHS)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    given = parser.parse_args()
    if given.serve:
        contestants.serve(configured(given.serve, WIDTHS[given.width]))
        return
    started, clock = run_record.start(), time.monotonic()
    ways, medians = turns()
    table, ceiling = shares(), against_the_ceiling(medians)
    record = run_record.capture(Config(), started=started, device={"device": "CPU"})
    machine, versions = record["machine"], record["versions"]
    text = _PAGE.format(
        batch=contestants.BATCH,
        side=contestants.GRID_SIDE,
        rounds=ROUNDS,
        shares=table,
        ceiling=ceiling,
        ways=ways,
        machine=f"{machine['cpu']} ({', '.join(machine['cpu_flags'])}), {machine['cores']} cores; "
        f"TensorFlow {versions['tensorflow']}; code {record['commit'][:12]}.",
    )
    files.write_text(given.out / "profile.md", text)
    print(f"{time.monotonic() - clock:.0f} s; {given.out}/profile.md")


if __name__ == "__main__":
    main()
