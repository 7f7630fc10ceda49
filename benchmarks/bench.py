"""`make bench`: ours and each peer in turn, on the same images, as ratios of one run.

Every contestant is a process of its own that has warmed up; they take turns, a few steps each, so
that what the machine's other tenants do meets all alike. What counts is the ratio of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import small
from benchmarks.contestants import BATCH, CLASSES, EVEN_SIDE, GRID_SIDE, GROUPS
from fcnlib.config import ROOT, Config
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record

ROUNDS, SECONDS = 5, 2.0  # turns of each contestant, and about how long a turn is
README, BEGIN, END = ROOT / "README.md", "<!-- bench:begin -->", "<!-- bench:end -->"
COLUMNS = ("group", "what", "value", "unit", "ours_times", "gflops", "first_seconds", "peak_gib")
PASSES = {"training": 3, "forward": 1}  # forward passes that a step costs: backward is two


class Contestant:
    """A process that does steps when told."""

    def __init__(self, name: str, words: Sequence[str]):
        self.name, self.times, self.first, self.peak = name, [], float("nan"), float("nan")
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ready(self) -> bool:
        """Wait for the first step; say why where there is none."""
        answer = self._answer()
        if answer is None:
            error = self._process.stderr.read().strip().splitlines()
            print(f"  {self.name}: left out ({error[-1] if error else 'it ended'})", flush=True)
            return False
        self.first = float(answer.removeprefix("ready "))
        return True

    def turn(self, steps: int) -> float:
        """Return the seconds a step took in a turn of so many."""
        self._process.stdin.write(f"{steps}\n")
        self._process.stdin.flush()
        seconds = float(self._answer()) / steps
        self.times.append(seconds)
        return seconds

    def end(self) -> None:
        """Let the process say its peak memory and go."""
        self._process.stdin.close()
        answer = self._answer()
        self.peak = float(answer) if answer else float("nan")
        self._process.wait()

    def _answer(self) -> str | None:
        for line in self._process.stdout:  # what the libraries say in between is not for us
            if line.startswith("> "):
                return line[2:].strip()
        return None


def contest(group: str) -> list[dict]:
    """Let the contestants of a group take turns; return a row each."""
    print(f"{group}: {BATCH} images of {GRID_SIDE} or {EVEN_SIDE} pixels", flush=True)
    entered = []
    for name in GROUPS[group]:  # one at a time: the first step is measured too
        contestant = Contestant(name, ["benchmarks.contestants", group, name])
        if contestant.ready():
            entered.append(contestant)
    steps = {c.name: max(round(SECONDS / c.turn(1)), 1) for c in entered}
    for contestant in entered:
        contestant.times.clear()
    for number in range(ROUNDS):
        for contestant in entered:
            contestant.turn(steps[contestant.name])
        print(f"  round {number + 1} of {ROUNDS}", flush=True)
    for contestant in entered:
        contestant.end()
    ours = [np.median(c.times) for c in entered if c.name.startswith("ours")]
    return [
        {
            "group": group,
            "what": c.name,
            "value": round(BATCH / np.median(c.times), 2),
            "unit": "images/s",
            "ours_times": round(float(np.median(c.times) / ours[0]), 2) if ours else None,
            "first_seconds": c.first,
            "peak_gib": c.peak,
        }
        for c in entered
    ]


def count_operations() -> dict[str, float]:
    """Return {network: billions of operations of a forward pass on an image}."""
    words = [sys.executable, "-m", "benchmarks.contestants", "operations"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(next(s[2:] for s in done.stdout.splitlines() if s.startswith("> ")))


def with_operations(rows: list[dict], costs: dict[str, float]) -> list[dict]:
    """Add to contestants' rows the billions of operations a second that they do."""
    for row in rows:
        cost = next((c for name, c in costs.items() if row["what"].startswith(name)), None)
        if row["group"] in PASSES and cost:
            row["gflops"] = round(PASSES[row["group"]] * cost * row["value"], 1)
    return rows


def table(frame: pd.DataFrame) -> str:
    """Return the rows as Markdown, a line each."""
    lines = ["| | | | ours is | GFLOP/s | first step | peak |", "|---|---|--:|--:|--:|--:|--:|"]
    for row in frame.to_dict("records"):
        times = "" if pd.isna(row["ours_times"]) else f"{row['ours_times']:.2f} times that"
        work = "" if pd.isna(row["gflops"]) else f"{row['gflops']:.0f}"
        first = "" if pd.isna(row["first_seconds"]) else f"{row['first_seconds']:.0f} s"
        peak = "" if pd.isna(row["peak_gib"]) else f"{row['peak_gib']:.1f} GiB"
        value = f"{row['value']:.4g} {row['unit']}"
        cells = (row["group"], row["what"], value, times, work, first, peak)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


_CEILING = (
    "The networks differ in what they compute: ours, and that of 2017, pad every layer to keep the "
    "sample points of all strides together, the published classifiers do not. GFLOP/s count what "
    "is computed, a training step as three forward passes. One large convolution in bfloat16 "
    "reaches {ceiling:.0f} GFLOP/s on this machine."
)


def _work(frame: pd.DataFrame, group: str, start: str) -> str:
    """Return the most operations a second of a peer's types, in billions."""
    rows = frame[(frame.group == group) & frame.what.str.startswith(start)]
    return "" if rows.empty or rows.gflops.isna().all() else f"{rows.gflops.max():.0f}"


def summary(frame: pd.DataFrame, record: dict) -> str:
    """Return the README's part: the fastest of each peer's types beside ours, and where from."""

    def best(group: str, start: str) -> str:
        rows = frame[(frame.group == group) & frame.what.str.startswith(start)]
        if rows.empty:
            return ""
        ours = frame[(frame.group == group) & frame.what.str.startswith("ours")].value.max()
        times = "" if start.startswith("ours") else f" ({ours / rows.value.max():.2f} times)"
        return f"{rows.value.max():.3g}{times}"

    lines = ["| images a second, FCN-8s | ours | Keras | tf-slim | 2017 |", "|---|--:|--:|--:|--:|"]
    peers = ("ours", "Keras", "tf-slim", "2017")
    for group in GROUPS:
        lines.append(f"| {group} | {' | '.join(best(group, peer) for peer in peers)} |")
    for group in GROUPS:
        cells = [_work(frame, group, peer) for peer in peers]
        lines.append(f"| {group}, GFLOP/s | {' | '.join(cells)} |")
    ceiling = frame[(frame.group == "ceiling") & frame.what.str.contains("bfloat16")].value
    if not ceiling.empty:
        lines += ["", _CEILING.format(ceiling=ceiling.max())]
    metric = frame[frame.group == "metric"]
    pixels = ", ".join(f"{r.what} {r.value:.0f}" for r in metric.itertuples())
    machine, versions = record["machine"], record["versions"]
    for run in frame[frame.what.str.startswith("the run")].itertuples():
        lines += ["", f"`make workbook`: {run.value / 60:.1f} minutes, {run.what[9:]}."]
    lines += ["", f"Confusion matrix, megapixels a second: {pixels}." if pixels else ""]
    lines += [
        f"{GRID_SIDE} or {EVEN_SIDE} pixels, batch {BATCH}, each peer's fastest type; in brackets "
        f"how many times that ours is. `make bench`, {machine['cpu']}, {machine['cores']} cores, "
        f"TensorFlow {versions['tensorflow']}, commit {record['commit'][:10]}; "
        "all of it in [`results/benchmarks/`](results/benchmarks/bench.md)."
    ]
    return "\n".join(lines)


def into_readme(text: str, path: Path, begin: str = BEGIN, end: str = END) -> None:
    """Put a text between its marks; raise InputError where they are not there, once each."""
    page = path.read_text(encoding="utf-8")
    if (page.count(begin), page.count(end)) != (1, 1):
        raise InputError(f"{path}: write {begin} and {end} where the table belongs, once each")
    before, rest = page.split(begin)
    files.write_text(path, f"{before}{begin}\n{text}\n{end}{rest.split(end)[1]}")


def main() -> None:
    known = [*GROUPS, *small.MEASURES]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"))
    parser.add_argument("--only", nargs="*", choices=known, help="print these, write nothing")
    given = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    names = given.only or known
    started, clock, rows = run_record.start(), time.monotonic(), []
    for name in names:
        rows += contest(name) if name in GROUPS else small.MEASURES[name]()
    costs = count_operations() if set(names) & set(GROUPS) else {}
    frame = pd.DataFrame(with_operations(rows, costs), columns=COLUMNS)
    print(table(frame))
    if given.only:
        return
    about = {"classes": CLASSES, "batch": BATCH, "gflop_per_image": costs}
    record = run_record.capture(Config(), started=started, device={"device": "CPU"}, extra=about)
    del record["config"]  # there is none; each contestant has its own
    files.write_text(given.out / "bench.csv", frame.to_csv(index=False))
    files.write_json(given.out / "record.json", record)
    files.write_text(given.out / "bench.md", f"# `make bench`\n\n{table(frame)}\n")
    into_readme(summary(frame, record), README)
    print(f"{time.monotonic() - clock:.0f} s; {given.out}/bench.csv")


if __name__ == "__main__":
    main()
