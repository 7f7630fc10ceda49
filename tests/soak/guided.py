"""Coverage-guided inputs for every target, by atheris: `python tests/soak/guided.py [TARGET]`.

It begins with inputs that Hypothesis draws and changes bytes where that reaches new code.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

for folder in (Path(__file__).parent, Path(__file__).parents[1], Path(__file__).parents[2]):
    sys.path.insert(0, str(folder))


def fuzz(name: str, runs: int) -> None:
    """Fuzz a target in this process, which ends with it."""
    import atheris

    with atheris.instrument_imports(include=["fcnlib", "fcntools"]):
        from targets import TARGETS
    from hypothesis import given, settings
    from ledger import NOTES

    target = next(t for t in TARGETS if t.name == name)

    escaped = NOTES / "escaped"
    escaped.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:

        @settings(deadline=None, database=None, max_examples=50, derandomize=True)
        @given(target.inputs)
        def seed(data: bytes) -> None:
            Path(corpus, hashlib.sha256(data).hexdigest()).write_bytes(data)

        seed()
        # Time and memory are limited by the targets.
        options = [f"-runs={runs}", "-timeout=3600", "-rss_limit_mb=0", "-max_len=65536"]
        options.append(f"-artifact_prefix={escaped}/{name.replace(' ', '-')}-")
        atheris.Setup([sys.argv[0], *options, corpus], target.attempt)
        atheris.Fuzz()


def main(chosen: list[str]) -> int:
    """Fuzz every target, or the named ones, each in a process of its own; note what escaped."""
    from ledger import note, share
    from targets import TARGETS

    if importlib.util.find_spec("atheris") is None:
        print("inputs guided by coverage: left out, `pip install atheris` first (see pyproject)")
        return 0
    runs, failed = share(10_000, 100), 0
    for target in (t for t in TARGETS if not chosen or t.name in chosen):
        command = [sys.executable, __file__, "--one", target.name, str(runs)]
        done = subprocess.run(command, capture_output=True, text=True)
        last = [line for line in done.stderr.splitlines() if "Error" in line or "Hang" in line]
        lost = [" ".join(last)[:200] or f"status {done.returncode}"] if done.returncode else []
        note(f"bad input: {target.name}, guided", "atheris, by coverage", runs, lost)
        print(f"{target.name}: {runs} inputs, {lost or 'no escape'}", flush=True)
        failed += bool(lost)
    return failed


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], int(sys.argv[3]))
    else:
        sys.exit(main(sys.argv[1:]))
