"""The README's table of results, from results/*/summary.json: `python -m benchmarks.readme`.

With --check it only looks: the status is 1 where the table is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from fcnlib.config import ROOT
from fcnlib.errors import InputError
from fcnlib.runtime.files import read_json, write_text
from fcntools.workbook.report import METRICS, percent

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
KEYS = (*METRICS, "network", "mean_iou_spread", "seeds", "images", "command", "machine", "commit")


def table(results: Path) -> str:
    """Return the results as Markdown: one table, then a line a data set on how they were made.

    Raises InputError where results/DATASET/summary.json is missing, or a row in it lacks a key.
    """
    lines = [
        "| data | network | mean IoU | pixel accuracy | mean accuracy | freq. weighted IoU |",
        "|---|---|--:|--:|--:|--:|",
    ]
    notes: dict[str, dict[str, None]] = {}  # commits, in order
    for path in sorted(results.glob("*/summary.json")):
        for row in read_json(path) or [{}]:
            if missing := [key for key in KEYS if key not in row]:
                raise InputError(f"{path}: a row lacks {', '.join(missing)}")
            lines.append(_line(path.parent.name, row))
            commits = notes.setdefault(_note(path.parent.name, row), {})
            commits |= {row["commit"][:10]: None} if row["commit"] else {}
    if not notes:
        raise InputError(f"{results}: holds no DATASET/summary.json to make the table from")
    lines += ["", "Percent; ± is the standard deviation over seeds.", ""]
    for note, commits in notes.items():
        lines.append(f"- {note}, " + (f"commit {', '.join(commits)}" if commits else "no commit"))
    return "\n".join(lines)


def _line(dataset: str, row: dict[str, Any]) -> str:
    spread = row["mean_iou_spread"]
    mean_iou = f"**{percent(row['mean_iou'])}**" + (f" ± {percent(spread)}" if spread else "")
    others = ("pixel_accuracy", "mean_accuracy", "frequency_weighted_iou")
    cells = [dataset, row["network"], mean_iou, *(percent(row[key]) for key in others)]
    return f"| {' | '.join(cells)} |"


def _note(dataset: str, row: dict[str, Any]) -> str:
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"
    return f"{dataset}: {row['images']} images, {seeds}, `{row['command']}`, {row['machine']}"


def update(readme: Path, results: Path, check: bool = False) -> bool:
    """Put the table between its marks, unless `check`; return whether it was there before."""
    text = readme.read_text(encoding="utf-8")
    if (text.count(BEGIN), text.count(END)) != (1, 1):
        raise InputError(f"{readme}: write {BEGIN} and {END} where the table belongs, once each")
    before, rest = text.split(BEGIN)
    new = f"{before}{BEGIN}\n{table(results)}\n{END}{rest.split(END)[1]}"
    if new != text and not check:
        write_text(readme, new)
    return new == text


def main() -> None:
    check = "--check" in sys.argv[1:]
    if not update(ROOT / "README.md", ROOT / "results", check) and check:
        sys.exit("README.md is out of date; run `python -m benchmarks.readme`")


if __name__ == "__main__":
    main()
