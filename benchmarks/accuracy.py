"""Does the faster type of number cost accuracy? `python -m benchmarks.accuracy`, half an hour.

Trains the default profile with three seeds in each precision, where that is not done already
(results/runs/precision), and writes results/benchmarks/accuracy.md.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
from scipy.stats import ttest_ind_from_stats

from fcnlib.builders import describe_device
from fcnlib.config import ROOT
from fcnlib.runtime import files

SEEDS, PRECISIONS = (1, 2, 3), ("auto", "float32")
RUNS, PAGE = ROOT / "results" / "runs" / "precision", ROOT / "results/benchmarks/accuracy.md"
_PAGE = """# What the faster type costs in accuracy

The default profile, {seeds} seeds each, mean IoU in percent with the standard deviation over seeds;
`auto` is {auto} here. Written by `python -m benchmarks.accuracy`.

| network | auto | float32 | difference | its standard error |
|---|--:|--:|--:|--:|
{rows}

{verdict}

{machine}
"""


def trained(precision: str, seed: int) -> Path:
    """Train the chain of one precision and seed, or find it done; return its folder."""
    out = RUNS / f"{precision}-{seed}"
    settings = ("--set", f"precision={precision}", "--set", f"seed={seed}")
    command = [sys.executable, "-m", "fcnlib", "train", "--resume", *settings, "--out", str(out)]
    subprocess.run(command, check=True)
    return out / "models"


def scores() -> pd.DataFrame:
    """Return a row a network: precision, seed, network, mean IoU in percent."""
    rows = []
    for seed in SEEDS:
        for precision in PRECISIONS:
            for path in sorted(trained(precision, seed).glob("fcn-*s/metrics.json")):
                mean_iou = 100 * files.read_json(path)["mean_iou"]
                rows.append((precision, seed, path.parent.name.replace("fcn", "FCN"), mean_iou))
    return pd.DataFrame(rows, columns=["precision", "seed", "network", "mean_iou"])


def page(frame: pd.DataFrame, auto: str, machine: str) -> str:
    """Return the page: means, their differences, and whether these exceed chance."""
    lines, beyond, lower = [], [], 0
    both = frame.groupby(["network", "precision"]).mean_iou.agg(["mean", "std", "count"])
    for network in sorted(set(frame.network), key=lambda name: -int(name[4:-1])):
        ours, theirs = (both.loc[network, precision] for precision in PRECISIONS)
        difference = ours["mean"] - theirs["mean"]
        error = math.hypot(*(row["std"] / math.sqrt(row["count"]) for row in (ours, theirs)))
        cells = [f"{row['mean']:.1f} ± {row['std']:.1f}" for row in (ours, theirs)]
        lines.append(f"| {network} | {' | '.join(cells)} | {difference:+.1f} | {error:.1f} |")
        lower += difference < 0
        chance = ttest_ind_from_stats(*ours, *theirs, equal_var=False).pvalue
        beyond += [network] if difference < 0 and chance < 0.05 else []
    verdict = f"A loss that chance gives in less than 5 % (t test): {', '.join(beyond) or 'none'}"
    verdict += f" of {len(lines)} looked at. "
    verdict += f"{lower} of {len(lines)} means are lower; the networks of a chain go together."
    rows = "\n".join(lines)
    return _PAGE.format(seeds=len(SEEDS), auto=auto, rows=rows, verdict=verdict, machine=machine)


def main() -> None:
    frame = scores()
    record = files.read_json(RUNS / f"auto-{SEEDS[0]}" / "models" / "fcn-32s" / "record.json")
    machine, versions = record["machine"], record["versions"]
    words = f"{machine['cpu']}, {machine['cores']} cores; TensorFlow {versions['tensorflow']}; "
    words += f"code {(record['commit'] or 'no commit')[:12]}."
    text = page(frame, describe_device("auto")["computed_in"], words)
    files.write_text(PAGE, text)
    print(text)


if __name__ == "__main__":
    main()
