"""One notebook through papermill: its kernel, its page where it fails, and how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError, strip_color

from fcnlib.runtime import files
from fcntools.workbook import journal, run_cache
from fcntools.workbook.kernel import kernel_manager
from fcntools.workbook.notebooks import Notebook
from fcntools.workbook.run_progress import Track

_START_SECONDS = 120
_OUTPUT_SECONDS = 60  # a figure of many megabytes may come late on a busy machine
_TAIL_LINES = 25
_DIED = (
    "The kernel died: out of memory, killed from outside, or a crash in native code."
    " What it wrote last:"
)
_SILENT = "The kernel gave no answer in time. What it wrote last:"
_STOPPED = "The run was stopped in this cell."


class NotebookFailed(RuntimeError):
    """A notebook did not finish: the message names notebook and cell, with the traceback's end."""


class Stopped(RuntimeError):
    """A notebook did not finish because the run was stopped."""


@dataclass
class Kernels:
    """The kernels at work. `variables` are of their environment."""

    variables: dict[str, str]
    stopping: bool = False
    _pids: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def started(self, pid: int) -> None:
        """Take a kernel in; after `stop` it ends before its first cell."""
        with self._lock:
            self._pids.add(pid)
            if self.stopping:
                _signal(pid, signal.SIGKILL)

    def ended(self, pid: int) -> None:
        """Forget a kernel: its number may become another's."""
        with self._lock:
            self._pids.discard(pid)

    def stop(self, by: int = signal.SIGINT) -> None:
        """Interrupt every kernel, so that a training keeps its last step; kill by SIGKILL."""
        with self._lock:
            self.stopping = True
            for pid in self._pids:
                _signal(pid, by)


def _signal(pid: int, by: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, by)  # a kernel leads a group of its own, with what its cells have started


def execute(
    notebook: Notebook, parameters: dict[str, Any], out: Path, kernels: Kernels, track: Track
) -> None:
    """Run a notebook's cells in a kernel of its own; the executed copy is OUT/notebooks/NAME.ipynb.

    Args:
        notebook: as stored.
        parameters: to inject.
        out: the run folder.
        kernels: where the kernel is entered while it lives.
        track: told of cells and of printed text.

    Raises:
        NotebookFailed: a cell failed, or the kernel died.
        Stopped: `kernels.stop` was called.
    """
    target = out / "notebooks" / f"{notebook.name}.ipynb"
    log = out / run_cache.STAMPS / f"{notebook.name}.log"
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        node = _run(notebook, parameters, target, log, kernels, track)
    except PapermillExecutionError as error:
        if kernels.stopping:
            raise Stopped(_STOPPED) from None
        text = strip_color("\n".join(error.traceback))
        raise NotebookFailed(_account(notebook, out, error.cell_index, text)) from None
    except (RuntimeError, TimeoutError) as error:
        if kernels.stopping:
            _mark(target, track.at_cell, "Stopped", _STOPPED)
            raise Stopped(_STOPPED) from None
        words = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        died = _SILENT if isinstance(error, TimeoutError) else _DIED
        text = f"{error}\n{died}\n{words or '(nothing)'}"
        _mark(target, track.at_cell, type(error).__name__, text)
        raise NotebookFailed(_account(notebook, out, track.at_cell, text)) from None
    if kernels.stopping:  # a cell may have caught the interrupt and ended as if it were done
        raise Stopped(_STOPPED)
    # papermill takes a bare `sys.exit()` for success, though the cells after it never ran.
    for index, cell in enumerate(node.cells):
        if cell.metadata.get("papermill", {}).get("exception"):
            text = "The cell ended the kernel's program (sys.exit)."
            raise NotebookFailed(_account(notebook, out, index, text))


def _run(
    notebook: Notebook,
    parameters: dict[str, Any],
    target: Path,
    log: Path,
    kernels: Kernels,
    track: Track,
) -> nbformat.NotebookNode:
    """Call papermill; it raises what it does, and Stopped before a cell after `kernels.stop`."""
    journaled = {journal.VARIABLE: str(run_cache.journal(target.parents[1], notebook.name))}
    # Of a kernel that is stopped amid a cell they log pages; the failure has its own words.
    for name in ("asyncio", "papermill"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def begin(cell: Any, cell_index: int) -> None:
        if kernels.stopping:  # a kernel that waits for its next cell has not heard of it
            raise Stopped(_STOPPED)
        track.cell(cell, cell_index)

    with _loop_closed(), _entered(kernels) as started:
        manager = kernel_manager(notebook.path.parent, log, kernels.variables | journaled, started)
        return papermill.execute_notebook(
            _no_fields(notebook.path),
            _no_fields(target),
            parameters=parameters,
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=track,
            stderr_file=track,
            start_timeout=_START_SECONDS,
            iopub_timeout=_OUTPUT_SECONDS,
            coalesce_streams=True,
            on_cell_start=begin,
            kernel_manager_class=manager,
        )


@contextlib.contextmanager
def _loop_closed() -> Iterator[None]:
    """Close the event loop that papermill's client opens for the thread and leaves open."""
    try:
        yield
    finally:
        with contextlib.suppress(RuntimeError):  # it failed before there was one
            asyncio.get_event_loop().close()


@contextlib.contextmanager
def _entered(kernels: Kernels) -> Iterator[Callable[[int], None]]:
    own: list[int] = []

    def started(pid: int) -> None:
        own.append(pid)
        kernels.started(pid)

    try:
        yield started
    finally:
        for pid in own:
            kernels.ended(pid)


def _no_fields(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats its paths


def _account(notebook: Notebook, out: Path, index: int, text: str) -> str:
    tagged = [
        i for i, c in enumerate(notebook.node.cells) if "parameters" in c.metadata.get("tags", [])
    ]
    number = index + 1 if index <= tagged[0] else index  # without the injected cell
    lines = [line.rstrip() for line in text.strip().splitlines()]
    tail = "\n".join(("  ..." if len(lines) > _TAIL_LINES else "", *lines[-_TAIL_LINES:])).strip(
        "\n"
    )
    return (
        f"{notebook.name} failed in cell {number} of {len(notebook.node.cells)}\n{tail}\n"
        f"as far as it got: notebooks/{notebook.name}.ipynb in {out}"
    )


def _mark(target: Path, index: int, name: str, text: str) -> None:
    """Correct what papermill wrote: after a killed kernel it calls every cell completed."""
    if not target.is_file():
        return
    node = nbformat.read(target, as_version=4)
    node.metadata.papermill["exception"] = True
    for place, cell in enumerate(node.cells):
        if place == index:
            cell.metadata.papermill |= {"status": "failed", "exception": True}
            if cell.cell_type == "code":
                error = {
                    "ename": name,
                    "evalue": text.splitlines()[0],
                    "traceback": text.splitlines(),
                }
                cell.outputs.append(nbformat.v4.new_output("error", **error))
        elif place > index:
            cell.metadata.papermill |= {"status": "pending", "exception": None}
    files.write_text(target, nbformat.writes(node))
