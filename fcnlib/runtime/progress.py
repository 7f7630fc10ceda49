"""A progress bar for a person, plain lines for a log."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

QUIET_SECONDS = 15.0
_FORMAT = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_muted: list[bool] = []


def bar(total: int, label: str, unit: str, initial: int = 0) -> Any:
    """Return what fits the place: a live bar, lines in a log, or silence.

    Use it as `with progress.bar(600, "FCN-32s", "step") as bar: bar.update(1, loss=0.31)`;
    `bar.say(line)` prints a line on standard error without breaking the bar.

    Args:
        total: steps in all; 0 shows nothing.
        label: what is going on, a few words.
        unit: what one step is, singular.
        initial: steps done before, in a resumed run.
    """
    settings = {"total": total, "desc": label, "unit": unit, "initial": initial}
    if total < 1 or _muted:
        return _Bar(disable=True)
    if sys.stderr.isatty():
        return _Bar(leave=None, **settings)
    in_kernel = "ipykernel" in type(sys.stdout).__module__
    if in_kernel and not os.environ.get("FCNLIB_HEADLESS"):  # which our runner and tests set
        # Standard error is red there.
        return _Bar(leave=None, file=sys.stdout, ncols=100, **settings)
    return _Lines(**settings)


def mute() -> None:
    """Show no more bars in this process: it works beside another, which shows them."""
    _muted.append(True)


@contextlib.contextmanager
def defer_interrupt() -> Iterator[list[bool]]:
    """Keep Ctrl-C from raising between a step and its count.

    Yields:
        A list that Ctrl-C makes true; a second Ctrl-C raises at once.
    """
    interrupted: list[bool] = []
    before = signal.getsignal(signal.SIGINT)

    def handle(*_: object) -> None:
        interrupted.append(True)
        print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)
        signal.signal(signal.SIGINT, before)

    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class _Bar(tqdm):
    """A bar on a terminal, or below the cell of a notebook."""

    def update(self, count: int = 1, **values: float) -> None:
        self.set_postfix(values, refresh=False)
        super().update(count)

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


class _Lines(_Bar):
    """Lines in a log, one at most every QUIET_SECONDS and a last one."""

    def __init__(self, **settings: Any):
        # With `gui` tqdm itself prints nothing; without smoothing its rate is the mean.
        pace = {"mininterval": QUIET_SECONDS, "miniters": 1, "smoothing": 0}
        super().__init__(gui=True, bar_format=_FORMAT, **pace, **settings)

    def display(self, *_: object) -> None:
        """Print the state; tqdm calls this when `mininterval` is over."""
        self.say(str(self))

    def close(self) -> None:
        if not self.disable:
            super().close()
            if self.n > self.last_print_n:
                self.display()

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
