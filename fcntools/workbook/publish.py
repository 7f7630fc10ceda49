"""From runs to the results that the project keeps: numbers and curves, no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from fcnlib.datasets.identity import split_name
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_json, write_text
from fcntools.workbook.run_contents import COMPARISON, METRICS


def publish(runs: Sequence[Path], target: Path, command: str) -> pd.DataFrame:
    """Gather the scores and curves of runs that differ in their seed only.

    Writes summary.json (a row a network: mean and standard deviation over the runs), runs.csv (a
    row a network and seed), classes.csv (IoU a class, mean over the runs), curves.csv (the
    training logs) and record.json (the run records, one a network and seed).

    Args:
        runs: run folders with models/*/{metrics.json, record.json, log.csv}, the same networks in
        each.
        target: folder of the results, such as results/shapes.
        command: what repeats them, for the table.

    Returns:
        The rows of runs.csv.

    Raises:
        InputError: a run lacks a network that another has, or a network its scores; these are of
            other images than its record names, or than those of another run.
    """
    rows, classes, curves, records = [], [], [], []
    for run in runs:
        for folder in sorted((run / "models").glob("fcn-*")):
            scores, record = (_read(folder / f"{n}.json") for n in ("metrics", "record"))
            name, seed = scores["network"], record["seed"]
            _same_images(folder, scores, record)
            rows.append(
                {"network": name, "seed": seed, "images": scores["images"]}
                | {"data": scores.get("data")}
                | {key: scores[key] for key in METRICS}
                | {"training_seconds": record["training_seconds"]}
            )
            classes += [
                {"network": name, "class": c, "iou": v}
                for c, v in zip(scores["classes"], scores["iou"], strict=True)
            ]
            log = pd.read_csv(folder / "log.csv")
            curves.append(log.assign(network=name, seed=seed))
            records.append({"network": name} | record)
    frame = pd.DataFrame(rows)
    counts = frame.groupby("network", sort=False).size()
    if counts.min() != len(runs):
        raise InputError(f"{runs[0]} ...: {counts.idxmin()} is not in every run; finish them first")
    if frame.data.nunique() > 1 or frame.images.nunique() > 1:
        raise InputError(f"{runs[0]} ...: scored on different images; score all on the same")
    frame = frame.drop(columns="data")
    write_json(target / "summary.json", [_summary(g, records, command) for g in _groups(frame)])
    by_class = pd.DataFrame(classes).groupby(["network", "class"], sort=False)["iou"]
    tables = {"runs": frame, "classes": by_class.mean().unstack(0).reset_index()}
    for name, table in {**tables, "curves": pd.concat(curves)}.items():
        write_text(target / f"{name}.csv", table.to_csv(index=False, float_format="%.6g"))
    write_json(target / "record.json", records)
    return frame


def publish_comparison(runs: Sequence[Path], target: Path) -> pd.DataFrame:
    """Gather the comparisons of runs that differ in their seed only.

    Writes comparison.csv (a row a system and seed) into the results and leaves the rest alone.

    Args:
        runs: run folders in which `fcnlib compare` has finished.
        target: folder of the results, such as results/shapes.

    Returns:
        The rows.

    Raises:
        InputError: a run has no comparison, or lacks a system that another has.
    """
    for run in runs:
        if not (run / COMPARISON).exists():
            raise InputError(f"{run / COMPARISON} is missing; finish `fcnlib compare --out {run}`")
    frame = pd.concat([pd.read_csv(run / COMPARISON) for run in runs], ignore_index=True)
    counts = frame.groupby("name", sort=False).size()
    if counts.min() != len(runs):
        raise InputError(f"{runs[0]} ...: {counts.idxmin()} is not in every run; finish them first")
    write_text(target / "comparison.csv", frame.to_csv(index=False, float_format="%.6g"))
    return frame


def _read(path: Path) -> dict[str, Any]:
    tree = read_json(path)
    if not isinstance(tree, dict):
        raise InputError(f"{path} is missing or unreadable; finish the run with --resume")
    return tree


def _same_images(folder: Path, scores: dict[str, Any], record: dict[str, Any]) -> None:
    """Refuse scores of other images than a run's own record names; older records may not say."""
    config, data = record.get("config", {}), record.get("data")
    split, limit = config.get("eval_split"), config.get("eval_limit", 0)
    wanted = data.get(split_name(split, limit)) if isinstance(data, dict) else None
    said = {"split": (scores.get("split"), split), "data": (scores.get("data"), wanted)}
    for what, (found, expected) in said.items():
        if None not in (found, expected) and found != expected:
            raise InputError(
                f"{folder / 'metrics.json'}: {what} is {found}, {expected} by the run's record; "
                "score the network on the images of its record: `fcnlib evaluate RUN`"
            )
    if scores.get("trained_on"):
        raise InputError(f"{folder / 'metrics.json'}: scores of images that were trained on")


def _groups(frame: pd.DataFrame) -> list[pd.DataFrame]:
    groups = [group for _, group in frame.groupby("network", sort=False)]
    return sorted(groups, key=lambda g: g["mean_iou"].mean())


def _summary(group: pd.DataFrame, records: list[dict], command: str) -> dict[str, Any]:
    record = next(r for r in records if r["network"] == group["network"].iloc[0])
    machine = record["machine"]
    spread = float(group["mean_iou"].std()) if len(group) > 1 else None
    return {
        "network": group["network"].iloc[0],
        **{key: float(group[key].mean()) for key in METRICS},
        "mean_iou_spread": spread,
        "seeds": len(group),
        "images": int(group["images"].iloc[0]),
        "training_seconds": float(group["training_seconds"].median()),
        "command": command,
        "machine": f"{machine['cpu']}, {machine['cores']} cores",
        "commit": record["commit"],
    }
