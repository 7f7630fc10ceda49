"""One bar over the notebooks of a run: live on a terminal, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TextIO

from tqdm import tqdm

from fcnlib.runtime.progress import duration

_QUIET_SECONDS = 30.0  # between two lines in a log


class RunProgress:
    """Show how far a run is and about how long it still takes; several notebooks may be at work.

    A notebook weighs as many seconds as it took the last time; without such a time, its cells.
    """

    def __init__(
        self, cells: Mapping[str, int], seconds: Mapping[str, float], stream: TextIO | None = None
    ):
        """Begin the bar.

        Args:
            cells: how many cells the notebooks to come have, by name.
            seconds: how long they took the last time, where that is known.
            stream: where to show it, standard error where None.
        """
        self._cells, self._stream = cells, stream or sys.stderr
        self._seconds = timed = {name: seconds[name] for name in cells if seconds.get(name)}
        pace = sum(timed.values()) / sum(cells[name] for name in timed) if timed else 1.0
        self._weights = {name: timed.get(name, pace * count) for name, count in cells.items()}
        self._began, self._last, self._done = time.monotonic(), time.monotonic(), 0.0
        form, off = "{bar:20} {percentage:3.0f}% {desc}", not self._stream.isatty()
        self._bar = tqdm(file=self._stream, total=1, bar_format=form, leave=False, disable=off)
        self._begun: set[str] = set()
        self.close = self._bar.close

    def begin(self, name: str) -> None:
        """Say that a notebook begins to run."""
        self._begun.add(name)
        self.say(self._place(name))

    def end(self, name: str, words: str) -> None:
        """Say what became of a notebook; one that did not begin tells nothing of the time to go."""
        weight = self._weights.pop(name)
        self._done += weight if name in self._begun else 0.0
        self.say(f"{self._place(name)}: {words}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        tqdm.write(line, file=self._stream)
        self._stream.flush()
        self._last = time.monotonic()

    def show(self, running: Mapping[str, tuple[float, int, str]]) -> None:
        """Draw the bar, or print a line where that is due.

        `running` is {name: (seconds so far, number of the present cell, what that printed)}.
        """
        done, elapsed = self._done, time.monotonic() - self._began
        total, words = done + sum(self._weights.values()), [f"{duration(elapsed)} elapsed"]
        for name, (seconds, cell, printed) in running.items():
            last = self._seconds.get(name)
            part = seconds / last if last else cell / self._cells[name]
            done += self._weights[name] * min(part, 0.99)
            words.append(f"{name}: cell {cell} of {self._cells[name]}")
            words[-1] += f" | {printed.splitlines()[-1].strip()}" if printed else ""
        if done > 0.02 * total:
            words[0] += f", about {duration(elapsed * (total - done) / done)} to go"
        self._bar.n = done / total if total else 1
        self._bar.set_description_str("; ".join(words))
        if self._bar.disable and time.monotonic() - self._last > _QUIET_SECONDS:
            self.say("; ".join(words))

    def _place(self, name: str) -> str:
        return f"[{list(self._cells).index(name) + 1}/{len(self._cells)}] {name}"
