"""One bar over the notebooks and cells of a run: live on a terminal, else a line now and then."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from tqdm import tqdm

from fcnlib.progress import duration

_QUIET_SECONDS = 30.0
_LAST_LINE = re.compile(r"[^\r\n]*\S[^\r\n]*")


@dataclass(frozen=True)
class Share:
    """One notebook's part of the bar: name, cells, and how long it took last time (seconds)."""

    name: str
    cells: int
    seconds: float | None = None


class RunProgress:
    """Show how far a run is, for how long it has gone on and about how long it still takes.

    A notebook weighs as many seconds as it took the last time it ran into the same folder; without
    such a time it weighs its cells. A thread keeps the clock going while a long cell works. The
    object takes the cells' printed text (`write`), so the last line of a training is seen.
    `at_cell` is the present cell of the present notebook, 0-based.
    """

    def __init__(
        self, shares: Sequence[Share], stream: TextIO | None = None, quiet: float = _QUIET_SECONDS
    ):
        """Begin the bar.

        Args:
            shares: the notebooks to come.
            stream: where to show it, standard error where None.
            quiet: seconds between two lines where the stream is no terminal.
        """
        self.shares = tuple(shares)
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.terminal = self.stream.isatty()
        self._known = sum(s.seconds or 0.0 for s in self.shares)
        cells = sum(s.cells for s in self.shares if s.seconds)
        self._second_per_cell = self._known / cells if cells else 1.0
        self._began = self._last = time.monotonic()
        self._at, self.at_cell, self._text, self._done = -1, 0, "", 0.0
        self._since = self._began  # when the present notebook began
        self._stop = threading.Event()
        self._bar = None
        if self.terminal:
            form = "{desc} {bar} {percentage:3.0f}%{postfix}"
            self._bar = tqdm(
                total=self._total(), file=self.stream, bar_format=form, ascii=" -#", leave=False
            )
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> RunProgress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._bar is not None:
            self._bar.close()

    def notebook(self, index: int) -> None:
        """Begin the notebook of this index, 0-based."""
        self._at, self.at_cell, self._text = index, 0, ""
        self._since = time.monotonic()
        if not self.terminal:
            self.say(f"[{index + 1}/{len(self.shares)}] {self.shares[index].name}")
        self._show()

    def cell(self, cell: Any = None, cell_index: int = 0) -> None:
        """Begin a cell, 0-based; the arguments are those of nbclient's hook `on_cell_start`."""
        self.at_cell = cell_index
        self._show()

    def finish(self, state: str, seconds: float) -> None:
        """End the present notebook.

        Args:
            state: what became of it, such as "done" or "unchanged".
            seconds: how long it took.
        """
        share = self.shares[self._at]
        self._done += self._weight(share)
        self.at_cell = 0
        self.say(f"[{self._at + 1}/{len(self.shares)}] {share.name}: {state} ({duration(seconds)})")
        self._at += 1
        self._show()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        tqdm.write(line, file=self.stream)
        self.stream.flush()
        self._last = time.monotonic()

    def write(self, text: str) -> int:
        """Take text that a cell printed and remember its last line."""
        lines = _LAST_LINE.findall(text)
        if lines:
            self._text = lines[-1].strip()
        return len(text)

    def flush(self) -> None:
        """Do nothing; a stream must be able to."""

    def line(self) -> str:
        """Return the state in one line: notebook, cell, elapsed, time to go, last printed text."""
        share = self.shares[min(self._at, len(self.shares) - 1)]
        words = [f"{share.name}: cell {self.at_cell + 1} of {share.cells}", self._times()]
        return ", ".join(words) + (f" | {self._text}" if self._text else "")

    def _times(self) -> str:
        elapsed, total, done = time.monotonic() - self._began, self._total(), self._position()
        words = f"{duration(elapsed)} elapsed"
        if done > 0.02 * total:
            words += f", about {duration(elapsed * (total - done) / done)} to go"
        return words

    def _weight(self, share: Share) -> float:
        return share.seconds or share.cells * self._second_per_cell

    def _total(self) -> float:
        return sum(self._weight(share) for share in self.shares) or 1.0

    def _position(self) -> float:
        if not 0 <= self._at < len(self.shares):
            return self._done
        share = self.shares[self._at]
        part = self.at_cell / max(share.cells, 1)
        if share.seconds:
            part = min((time.monotonic() - self._since) / share.seconds, 0.99)
        return self._done + self._weight(share) * part

    def _tick(self) -> None:
        while not self._stop.wait(1.0 if self.terminal else min(1.0, self.quiet)):
            self._show()

    def _show(self) -> None:
        if self._bar is not None and 0 <= self._at < len(self.shares):
            share = self.shares[self._at]
            self._bar.n = self._position()
            self._bar.set_description_str(
                f"{share.name} {self.at_cell + 1}/{share.cells}", refresh=False
            )
            self._bar.set_postfix_str(" | ".join(filter(None, (self._times(), self._text))))
        elif self._bar is None and time.monotonic() - self._last >= self.quiet:
            self.say(self.line())
