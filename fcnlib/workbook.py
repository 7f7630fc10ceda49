"""Run the notebooks headlessly, in order, through papermill: from a profile to a run folder."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError, strip_color

from fcnlib import pages, report, runrecord, stamps
from fcnlib.config import ROOT, Config, load_profile
from fcnlib.kernel import kernel_manager
from fcnlib.locking import locked
from fcnlib.notebook_files import NOTEBOOKS, Notebook, choose, discover, split_settings
from fcnlib.run_progress import RunProgress, Share

_START_SECONDS = 120
_OUTPUT_SECONDS = 60  # a figure of many megabytes may come late on a busy machine
_TAIL_LINES = 25
_DIED = (
    "The kernel died: out of memory, killed from outside, or a crash in native code."
    " What it wrote last:"
)


class NotebookFailed(RuntimeError):
    """A notebook did not finish: the message names notebook and cell, with the traceback's end."""


@dataclass(frozen=True)
class Job:
    """What to run into which folder: settings, their sources, and the chosen notebooks in order."""

    profile: str
    overrides: dict[str, Any]
    values: dict[str, Any]  # of the notebooks' own parameters
    config: Config
    out: Path
    every: tuple[Notebook, ...]
    chosen: tuple[Notebook, ...]

    def parameters(self, notebook: Notebook) -> dict[str, Any]:
        """Return what is injected into a notebook."""
        own = {k: v for k, v in self.values.items() if k in notebook.parameters}
        return {"profile": self.profile, "overrides": self.overrides, "out": str(self.out), **own}


def prepare(
    profile: str = "quick",
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    out: Path | None = None,
    folder: Path | None = None,
) -> Job:
    """Check everything that the user gave before anything runs.

    Args:
        profile: a profile's name or the path of a .toml file.
        settings: `key=value`, a setting's key or a parameter of a chosen notebook.
        only: numbers or names of notebooks; all where empty.
        out: the run folder; results/runs/PROFILE under the project's root where None.
        folder: the notebooks' folder; notebooks/ under the project's root where None.

    Returns:
        What to run.

    Raises:
        InputError: an unknown profile, setting or notebook, or a value of the wrong type.
    """
    every = discover((folder or NOTEBOOKS).resolve())
    chosen = choose(every, only)
    overrides, values = split_settings(settings, chosen)
    config = load_profile(profile, overrides)
    if profile.endswith(".toml"):
        profile = str(Path(profile).resolve())
    out = (out or ROOT / "results" / "runs" / Path(profile).stem).resolve()
    return Job(profile, overrides, values, config, out, every, chosen)


def run(job: Job, resume: bool = False, stream: TextIO | None = None) -> Path:
    """Run the notebooks of a job, then write their pages, the run record and the index.

    Args:
        job: from `prepare`.
        resume: skip what finished with the same source, settings and predecessors, and go on with
            what did not; otherwise everything chosen is made afresh.
        stream: where progress is shown; standard error where None.

    Returns:
        The path of index.html.

    Raises:
        InputError: the folder is not a run's, or another run writes into it.
        NotebookFailed: a cell failed or a kernel died; the notebooks after it did not run.
    """
    stamps.claim(job.out)
    with locked(job.out):
        started = runrecord.start()
        shares = [_share(job.out, notebook) for notebook in job.chosen]
        if not resume:
            stamps.clean(job.out, None if job.chosen == job.every else [s.name for s in shares])
        outcome = {"state": "interrupted"}
        try:
            with RunProgress(shares, stream) as progress:
                _run_chosen(job, resume, progress)
            outcome = {"state": "finished"}
        except NotebookFailed as error:
            outcome = {"state": "failed", "failure": str(error).splitlines()[0]}
            raise
        finally:
            index = _conclude(job, started, outcome)
        return index


def _share(out: Path, notebook: Notebook) -> Share:
    stamp = stamps.read(out, notebook.name)
    return Share(notebook.name, len(notebook.node.cells) + 1, stamp.seconds if stamp else None)


def _run_chosen(job: Job, resume: bool, progress: RunProgress) -> None:
    source = stamps.source_digest()
    for index, notebook in enumerate(job.chosen):
        progress.notebook(index)
        name = notebook.name
        before = [stamps.read(job.out, n.name) for n in job.every if n.name < name]
        digest = stamps.notebook_digest(
            notebook.node, job.parameters(notebook), job.config, before, source
        )
        stamp, half = stamps.read(job.out, name), stamps.read(job.out, name, failed=True)
        page = job.out / "notebooks" / f"{name}.ipynb"
        if resume and stamp and stamp.digest == digest and page.is_file():
            progress.finish("unchanged, not run again", stamp.seconds)
            continue
        if any(old and old.digest != digest for old in (stamp, half)):
            stamps.clean(job.out, [name])  # half a training of other settings is no start
        _run_one(job, notebook, digest, progress)


def _run_one(job: Job, notebook: Notebook, digest: str, progress: RunProgress) -> None:
    before, began, finished = stamps.snapshot(job.out), time.monotonic(), False
    try:
        _execute(job, notebook, progress)
        finished = True
    finally:
        seconds = time.monotonic() - began
        pages.write_page(job.out / "notebooks" / f"{notebook.name}.ipynb")
        stamps.write(job.out, notebook.name, digest, seconds, before, finished)  # last: it is whole
    progress.finish("done", seconds)


def _execute(job: Job, notebook: Notebook, progress: RunProgress) -> None:
    target = job.out / "notebooks" / f"{notebook.name}.ipynb"
    log = job.out / stamps.STAMPS / f"{notebook.name}.log"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Of a kernel that is stopped amid a cell they log pages; the failure has its own words.
    for name in ("asyncio", "papermill"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        node = papermill.execute_notebook(
            _no_fields(notebook.path),
            _no_fields(target),
            parameters=job.parameters(notebook),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            stdout_file=progress,
            stderr_file=progress,
            start_timeout=_START_SECONDS,
            iopub_timeout=_OUTPUT_SECONDS,
            coalesce_streams=True,
            on_cell_start=progress.cell,
            kernel_manager_class=kernel_manager(notebook.path.parent, log, runrecord.command()),
        )
    except PapermillExecutionError as error:
        text = strip_color("\n".join(error.traceback))
        raise _failure(job, notebook, error.cell_index, text) from None
    except (RuntimeError, TimeoutError) as error:
        words = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
        text = f"{error}\n{_DIED}\n{words or '(nothing)'}"
        _mark(target, progress.at_cell, type(error).__name__, text)
        raise _failure(job, notebook, progress.at_cell, text) from None
    except BaseException as error:
        _mark(target, progress.at_cell, type(error).__name__, "The run was stopped in this cell.")
        raise
    # papermill takes a bare `sys.exit()` for success, though the cells after it never ran.
    for index, cell in enumerate(node.cells):
        if cell.metadata.get("papermill", {}).get("exception"):
            raise _failure(job, notebook, index, "The cell ended the kernel's program (sys.exit).")


def _no_fields(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats its paths


def _failure(job: Job, notebook: Notebook, index: int, text: str) -> NotebookFailed:
    tagged = [
        i for i, c in enumerate(notebook.node.cells) if "parameters" in c.metadata.get("tags", [])
    ]
    number = index + 1 if index <= tagged[0] else index  # without the injected cell
    lines = [line.rstrip() for line in text.strip().splitlines()]
    tail = "\n".join(("  ..." if len(lines) > _TAIL_LINES else "", *lines[-_TAIL_LINES:])).strip(
        "\n"
    )
    page = (job.out / "notebooks" / f"{notebook.name}.ipynb").relative_to(job.out)
    return NotebookFailed(
        f"{notebook.name} failed in cell {number} of {len(notebook.node.cells)}\n{tail}\n"
        f"as far as it got: {page} in {job.out}"
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
    runrecord.write_text(target, nbformat.writes(node))


def _conclude(job: Job, started: runrecord.Start, outcome: dict[str, str]) -> Path:
    done = {n.name: stamps.read(job.out, n.name) for n in job.every}
    models = sorted(job.out.glob("models/*/record.json"))
    devices = [d for m in models if (d := (runrecord.read_json(m) or {}).get("device"))]
    extra = {
        **outcome,
        "profile": Path(job.profile).stem,
        "notebooks": {name: {"seconds": stamp.seconds} for name, stamp in done.items() if stamp},
    }
    device = devices[-1] if devices else "not recorded"
    record = runrecord.capture(job.config, started=started, device=device, extra=extra)
    runrecord.write_json(job.out / "record.json", record)
    return report.build(job.out)
