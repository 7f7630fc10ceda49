"""From runs to results: `python -m benchmarks.publish RUN ... --to DIR --by COMMAND`.

Keeps the scores and curves of runs that differ in their seed only, as results/shapes does; with
--comparison what `fcnlib compare` found in them, and nothing else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fcnlib.datasets.identity import split_name
from fcnlib.errors import InputError
from fcnlib.runtime.files import write_json, write_text
from fcntools.workbook.report import COMPARISON, METRICS, dictionary


def publish(runs: Sequence[Path], target: Path, command: str) -> pd.DataFrame:
    """Write summary.json, runs.csv, classes.csv, curves.csv (logs) and record.json into `target`.

    Raises InputError where runs hold different networks, or were scored on different images.
    """
    rows, classes, curves, records = [], [], [], []
    for folder in (f for run in runs for f in sorted((run / "models").glob("fcn-*"))):
        scores, record = (dictionary(folder / f"{name}.json") for name in ("metrics", "record"))
        if not scores or not record:
            raise InputError(f"{folder}: metrics.json or record.json is missing; finish the run")
        _require_own_images(folder, scores, record)
        name = {"network": scores["network"]}
        row = {**name, "seed": record["seed"], "images": scores["images"]}
        row |= {key: scores[key] for key in METRICS} | {"data": scores.get("data")}
        rows.append(row | {"training_seconds": record["training_seconds"]})
        classes.append(pd.DataFrame({**name, "class": scores["classes"], "iou": scores["iou"]}))
        curves.append(pd.read_csv(folder / "log.csv").assign(**name, seed=record["seed"]))
        records.append(name | record)
    frame = pd.DataFrame(rows)
    _require_everywhere(frame.network, runs)
    if frame.data.nunique() > 1 or frame.images.nunique() > 1:
        raise InputError(f"{runs[0]} ...: scored on different images; score all on the same")
    frame = frame.drop(columns="data")
    groups = sorted(
        (g for _, g in frame.groupby("network", sort=False)), key=lambda g: g.mean_iou.mean()
    )
    write_json(target / "summary.json", [_summary(g, records, command) for g in groups])
    by_class = pd.concat(classes).groupby(["network", "class"], sort=False)["iou"]
    tables = {"runs": frame, "classes": by_class.mean().unstack(0).reset_index()}
    for name, table in {**tables, "curves": pd.concat(curves)}.items():
        write_text(target / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    write_json(target / "record.json", records)
    return frame


def _require_everywhere(names: pd.Series, runs: Sequence[Path]) -> None:
    counts = names.value_counts()
    if counts.min() != len(runs):
        raise InputError(f"{runs[0]} ...: {counts.idxmin()} is not in every run; finish them first")


def _require_own_images(folder: Path, scores: dict[str, Any], record: dict[str, Any]) -> None:
    """Refuse scores of other images than a run's record names; older records may not say."""
    config, data = record.get("config", {}), record.get("data") or {}
    split = config.get("eval_split")
    wanted = {"split": split, "data": data.get(split_name(split, config.get("eval_limit", 0)))}
    for what, expected in wanted.items():
        if None not in (scores.get(what), expected) and scores[what] != expected:
            raise InputError(
                f"{folder / 'metrics.json'}: {what} is {scores[what]}, {expected} by the run's "
                "record; score the images of its record: `fcnlib evaluate RUN`"
            )
    if scores.get("trained_on"):
        raise InputError(f"{folder / 'metrics.json'}: scores of images that were trained on")


def _summary(group: pd.DataFrame, records: list[dict], command: str) -> dict[str, Any]:
    record = next(r for r in records if r["network"] == group.network.iloc[0])
    return {
        "network": record["network"],
        **{key: float(group[key].mean()) for key in METRICS},
        "mean_iou_spread": float(group.mean_iou.std()) if len(group) > 1 else None,
        "seeds": len(group),
        "images": int(group.images.iloc[0]),
        "training_seconds": float(group.training_seconds.median()),
        "command": command,
        "machine": f"{record['machine']['cpu']}, {record['machine']['cores']} cores",
        "commit": record["commit"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--to", required=True, type=Path, help="folder, such as results/shapes")
    parser.add_argument("--by", required=True, help="the command that repeats the runs")
    parser.add_argument("--comparison", action="store_true", help="what `fcnlib compare` found")
    given = parser.parse_args()
    if dictionary(given.to / "record.json"):  # that of published results is a list
        sys.exit(f"{given.to}: holds a run of its own; give --to another folder")
    try:
        if given.comparison:  # a row a system and seed
            frame = pd.concat([pd.read_csv(run / COMPARISON) for run in given.runs])
            _require_everywhere(frame["name"], given.runs)
            write_text(given.to / "comparison.csv", frame.to_csv(index=False, float_format="%.6g"))
        else:
            publish(given.runs, given.to, given.by)
    except (InputError, OSError) as error:
        sys.exit(f"benchmarks.publish: error: {error}")


if __name__ == "__main__":
    main()
