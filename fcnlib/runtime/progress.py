"""A progress bar for a person, plain lines for a log."""

from __future__ import annotations

import contextlib
import html
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

QUIET_SECONDS = 15.0
_muted: list[bool] = []


def bar(total: int, label: str, unit: str, initial: int = 0) -> Any:
    """Return what fits the place: a live bar, lines in a log, or silence.

    Use it as `with progress.bar(600, "FCN-32s", "step") as bar: bar.update(1, loss=0.31)`.

    Args:
        total: steps in all; 0 shows nothing.
        label: what is going on, a few words.
        unit: what one step is, singular.
        initial: steps done before, in a resumed run.

    Returns:
        A context manager with `update(count, **values)`, which shows the values beside the count,
        and `say(line)`, which prints a line on standard error without breaking the bar.
    """
    if total < 1 or _muted:
        return _Silent()
    kind = _Cell if _in_notebook() else _Live if sys.stderr.isatty() else _Lines
    return kind(total, label, unit, initial)


def mute() -> None:
    """Show no more bars in this process: it works beside another, which shows them."""
    _muted.append(True)


@contextlib.contextmanager
def patience() -> Iterator[list[bool]]:
    """Keep Ctrl-C from coming between a step and its count, where it would otherwise raise.

    Yields:
        A list that Ctrl-C makes true; a second Ctrl-C raises at once.
    """
    told: list[bool] = []
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if not main or before is not signal.default_int_handler:
        yield told
        return

    def tell(*_: object) -> None:
        told.append(True)
        print("stopping after this step; Ctrl-C again stops at once", file=sys.stderr)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, tell)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


def _in_notebook() -> bool:
    """Return whether a person watches a notebook; papermill and tests set FCNLIB_HEADLESS."""
    ipython = sys.modules.get("IPython")  # a kernel has loaded it; that alone makes no kernel
    in_kernel = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    return in_kernel and not os.environ.get("FCNLIB_HEADLESS")


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds: "0:42", "12:05", "1:00:09"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Silent:
    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, count: int = 1, **values: float) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


class _Live(_Silent):
    def __init__(self, total: int, label: str, unit: str, initial: int):
        self._bar = tqdm(total=total, desc=label, unit=unit, initial=initial, leave=None)

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, count: int = 1, **values: float) -> None:
        if values:
            self._bar.set_postfix_str(_shown(values), refresh=False)
        self._bar.update(count)

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)


class _Lines(_Silent):
    _every = QUIET_SECONDS

    def __init__(self, total: int, label: str, unit: str, initial: int):
        self._total, self._label, self._unit = total, label, unit
        self._initial = self._done = initial
        self._started = self._printed = time.monotonic()
        self._values: dict[str, float] = {}

    def __exit__(self, *_: object) -> None:
        self._print(time.monotonic(), last=True)

    def update(self, count: int = 1, **values: float) -> None:
        self._done += count
        self._values.update(values)
        now = time.monotonic()
        if now - self._printed >= self._every and self._done < self._total:
            self._print(now)

    def _print(self, now: float, last: bool = False) -> None:
        self._printed, elapsed = now, now - self._started
        rate = (self._done - self._initial) / max(elapsed, 1e-9)
        count = f"{self._label}: {self._done}/{self._total} {self._unit}s"
        parts = [count, f"{rate:.3g}/s", duration(elapsed)]
        if self._done < self._total and last:
            parts.append("stopped")
        elif rate and not last:
            parts.append(f"{duration((self._total - self._done) / rate)} to go")
        self._write(", ".join(filter(None, [*parts, _shown(self._values)])))

    def _write(self, line: str) -> None:
        self.say(line)


class _Cell(_Lines):
    """A bar below a cell. No widget: its last state stays in the file for whoever reads that."""

    _every = 0.25
    _handle = None

    def __enter__(self) -> _Cell:
        self._print(self._started)
        return self

    def _write(self, line: str) -> None:
        from IPython.display import display

        bar = f'<progress value="{self._done}" max="{self._total}"></progress> {html.escape(line)}'
        bundle = {"text/plain": line, "text/html": bar}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def _shown(values: dict[str, float]) -> str:
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items()
    )
