"""What the soak tried and what it lost: notes beside each other, and the table made of them."""

from __future__ import annotations

import json
import os
from typing import Any

from fcnlib.config import ROOT
from fcnlib.runtime import files, run_record

SOAK = bool(os.environ.get("FCNLIB_SOAK"))
NOTES = ROOT / "results" / "runs" / "soak"
PAGE = ROOT / "results" / "reliability.md"
_HEAD = """# What was tried to lose something

Written by `make soak`; each line is counted from the notes of its tests, none by hand.

| tried | how | how often | lost |
|---|---|---:|---|
"""


def share(often: int, seldom: int) -> int:
    """Return how often to try: `often` in `make soak`, `seldom` in `make test`."""
    scale = float(os.environ.get("FCNLIB_SOAK") or 0)
    return max(int(often * scale), seldom)


def note(tried: str, how: str, often: int, lost: list[Any], **more: Any) -> None:
    """Keep what a test of the soak tried; the tests of every day leave no notes."""
    if SOAK:
        name = "".join(c if c.isalnum() else "-" for c in tried)
        entry = {"tried": tried, "how": how, "often": often, "lost": lost, "commit": _commit()}
        files.write_json(NOTES / f"{name}.json", entry | more)


def _commit() -> str:
    return (run_record.git_state(ROOT)[0] or "no commit")[:12]


def table(notes: list[dict[str, Any]]) -> str:
    """Return the page."""
    rows = [
        f"| {n['tried']} | {n['how']} | {n['often']:,} | "
        f"{'; '.join(map(str, n['lost'])) or 'nothing'} |"
        for n in sorted(notes, key=lambda n: n["tried"])
    ]
    machine, versions = run_record.machine(), run_record.versions()
    commits = ", ".join(sorted({n.get("commit", "unknown") for n in notes}))
    foot = (
        f"\n{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {versions['python']}, TensorFlow {versions['tensorflow']}; code {commits}.\n"
    )
    return _HEAD + "\n".join(rows) + "\n" + foot


if __name__ == "__main__":
    found = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(NOTES.glob("*.json"))]
    files.write_text(PAGE, table(found))
    print(f"{PAGE.relative_to(ROOT)}: {len(found)} lines")
