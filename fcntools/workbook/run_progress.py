"""One bar over the notebooks of a run: live on a terminal, else a line now and then."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from tqdm import tqdm

from fcnlib.runtime.progress import duration

_QUIET_SECONDS = 30.0
_LAST_LINE = re.compile(r"[^\r\n]*\S[^\r\n]*")


@dataclass(frozen=True)
class Share:
    """One notebook's part of the bar: name, cells, and how long it took last time (seconds)."""

    name: str
    cells: int
    seconds: float | None = None


class Track:
    """One notebook at work: its cell, and the last line it printed; a stream for that print.

    `at_cell` is the present cell, 0-based.
    """

    def __init__(self, progress: RunProgress, index: int):
        """Begin the notebook of this index; `RunProgress.begin` does."""
        self.index, self.share = index, progress.shares[index]
        self.at_cell, self.text = 0, ""
        self.since = time.monotonic()
        self._progress = progress

    def cell(self, cell: Any = None, cell_index: int = 0) -> None:
        """Begin a cell, 0-based; the arguments are those of nbclient's hook `on_cell_start`."""
        self.at_cell = cell_index
        self._progress.show()

    def write(self, text: str) -> int:
        """Take text that a cell printed and remember its last line."""
        lines = _LAST_LINE.findall(text)
        if lines:
            self.text = lines[-1].strip()
        return len(text)

    def flush(self) -> None:
        """Do nothing; a stream must be able to."""

    def finish(self, state: str, seconds: float, skipped: bool = False) -> None:
        """End the notebook.

        Args:
            state: what became of it, such as "done" or "unchanged".
            seconds: how long it took.
            skipped: it was not run, so that it says nothing about the time to go.
        """
        self._progress.end(self, f"{state} ({duration(seconds)})", skipped)

    def part(self) -> float:
        """Return how much of it is done, 0..1: by its time where one is known, else by cells."""
        if self.share.seconds:
            return min((time.monotonic() - self.since) / self.share.seconds, 0.99)
        return self.at_cell / max(self.share.cells, 1)

    def line(self) -> str:
        """Return name, cell and last printed line."""
        words = f"{self.share.name}: cell {self.at_cell + 1} of {self.share.cells}"
        return words + (f" | {self.text}" if self.text else "")


class RunProgress:
    """Show how far a run is, for how long it has gone on and about how long it still takes.

    A notebook weighs as many seconds as it took the last time it ran into the same folder; without
    such a time it weighs its cells. Several may be at work; each is a `Track`. A thread keeps the
    clock going while a long cell works.
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
        known = sum(s.seconds or 0.0 for s in self.shares)
        cells = sum(s.cells for s in self.shares if s.seconds)
        self._second_per_cell = known / cells if cells else 1.0
        self._began = self._last = time.monotonic()
        self._tracks: list[Track] = []  # those at work
        self._done = self._skipped = 0.0
        self._lock = threading.RLock()
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

    def begin(self, index: int) -> Track:
        """Begin the notebook of this index, 0-based."""
        track = Track(self, index)
        with self._lock:
            self._tracks.append(track)
            if not self.terminal:
                self.say(f"[{index + 1}/{len(self.shares)}] {track.share.name}")
            self.show()
        return track

    def end(self, track: Track, words: str, skipped: bool = False) -> None:
        """End a notebook.

        Args:
            track: of the notebook.
            words: on what became of it.
            skipped: it was not run.
        """
        with self._lock:
            self._tracks.remove(track)
            self._done += self._weight(track.share)
            self._skipped += self._weight(track.share) if skipped else 0.0
            self.say(f"[{track.index + 1}/{len(self.shares)}] {track.share.name}: {words}")
            self.show()

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        with self._lock:
            tqdm.write(line, file=self.stream)
            self.stream.flush()
            self._last = time.monotonic()

    def line(self) -> str:
        """Return the state in one line: elapsed, time to go, each notebook with its last words."""
        return "; ".join([self._times(), *(track.line() for track in self._tracks)])

    def show(self) -> None:
        """Draw the bar, or write a line where that is due."""
        with self._lock:
            if self._bar is not None and self._tracks:
                self._bar.n = self._done + self._partly()
                heads = [f"{t.share.name} {t.at_cell + 1}/{t.share.cells}" for t in self._tracks]
                self._bar.set_description_str(", ".join(heads), refresh=False)
                texts = [t.text for t in self._tracks if t.text]
                self._bar.set_postfix_str(" | ".join((self._times(), *texts)))
            elif self._bar is None and time.monotonic() - self._last >= self.quiet:
                self.say(self.line())

    def _times(self) -> str:
        elapsed, total = time.monotonic() - self._began, self._total() - self._skipped
        done = self._done + self._partly() - self._skipped
        words = f"{duration(elapsed)} elapsed"
        if done > 0.02 * total:
            words += f", about {duration(elapsed * (total - done) / done)} to go"
        return words

    def _weight(self, share: Share) -> float:
        return share.seconds or share.cells * self._second_per_cell

    def _total(self) -> float:
        return sum(self._weight(share) for share in self.shares) or 1.0

    def _partly(self) -> float:
        return sum(self._weight(track.share) * track.part() for track in self._tracks)

    def _tick(self) -> None:
        while not self._stop.wait(1.0 if self.terminal else min(1.0, self.quiet)):
            self.show()
