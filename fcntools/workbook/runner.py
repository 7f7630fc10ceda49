"""Run the notebooks headlessly, each after those it needs: from a profile to a run folder."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from fcnlib.config import ROOT, Config, load_profile
from fcnlib.datasets.identity import changed, run_digests
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcntools import synthetic
from fcntools.workbook import html_pages, parallelism, report, run_cache
from fcntools.workbook.execution import Kernels, NotebookFailed, Stopped, execute
from fcntools.workbook.notebooks import NOTEBOOKS, Notebook, choose, discover, split_settings
from fcntools.workbook.run_progress import RunProgress, Share, Track

_PATIENCE = 10.0  # seconds for an interrupted training to keep its last step


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
    at_once: int

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
    at_once: int = 0,
) -> Job:
    """Check everything that the user gave before anything runs.

    Args:
        profile: a profile's name or the path of a .toml file.
        settings: `key=value`, a setting's key or a parameter of a chosen notebook.
        only: numbers or names of notebooks; all where empty.
        out: the run folder; results/runs/PROFILE under the project's root where None.
        folder: the notebooks' folder; notebooks/ under the project's root where None.
        at_once: how many notebooks may run at the same time; 0 for what suits the machine.

    Returns:
        What to run.

    Raises:
        InputError: an unknown profile, setting or notebook, a value of the wrong type, `at_once`
            below 0, or a Python that leaves out asserts.
    """
    if sys.flags.optimize:
        raise InputError("Python leaves out every assert; unset PYTHONOPTIMIZE, run without -O")
    every = discover((folder or NOTEBOOKS).resolve())
    chosen = choose(every, only)
    overrides, values = split_settings(settings, chosen)
    config = load_profile(profile, overrides)
    if profile.endswith(".toml"):
        profile = str(Path(profile).resolve())
    out = (out or ROOT / "results" / "runs" / Path(profile).stem).resolve()
    if at_once < 0:
        raise InputError(f"--jobs {at_once}: must be at least 1, or 0 for what suits the machine")
    at_once = min(at_once or parallelism.at_once(), len(chosen))
    return Job(profile, overrides, values, config, out, every, chosen, at_once)


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
        NotebookFailed: a cell failed or a kernel died, which has been shown; no notebook began
            after that.
    """
    run_cache.claim(job.out)
    with files.locked(job.out):
        started = run_record.start()
        shares = [_share(job.out, notebook) for notebook in job.chosen]
        digests = run_digests(job.config, synthetic.prepare(job.config))
        before = (files.read_json(job.out / "record.json") or {}).get("data")
        for split in changed(before, digests) if resume and isinstance(before, dict) else ():
            print(f"{split}: changed since; what was made from it is made again", file=sys.stderr)
        if not resume:
            run_cache.clean(job.out, None if job.chosen == job.every else [s.name for s in shares])
        outcome: dict[str, Any] = {"state": "interrupted"}
        try:
            with RunProgress(shares, stream) as progress:
                _run_chosen(job, resume, progress, digests)
            outcome = {"state": "finished"}
        except NotebookFailed as error:
            outcome = {"state": "failed", "failure": str(error).splitlines()[0]}
            raise
        finally:
            index = _conclude(job, started, outcome | {"data": digests})
        return index


def _share(out: Path, notebook: Notebook) -> Share:
    stamp = run_cache.read(out, notebook.name)
    return Share(notebook.name, len(notebook.node.cells) + 1, stamp.seconds if stamp else None)


def _run_chosen(job: Job, resume: bool, progress: RunProgress, digests: dict[str, str]) -> None:
    """Run each notebook when those it needs have finished, some at once.

    As with `make -j`, what runs beside a failing notebook goes on to its end, and nothing begins.
    """
    variables = parallelism.variables(job.at_once) | {files.RUN: str(job.out)}
    variables |= {run_record.COMMAND_VARIABLE: run_record.command()}
    source, kernels = f"{run_cache.source_digest()} {digests}", Kernels(variables)
    waiting, running, failed = list(job.chosen), {}, []
    with ThreadPoolExecutor(job.at_once) as threads:
        try:
            while running or (waiting and not failed):
                for notebook in () if failed else _ready(job, waiting, running):
                    waiting.remove(notebook)
                    track = progress.begin(job.chosen.index(notebook))
                    task = threads.submit(_run_one, job, notebook, resume, source, kernels, track)
                    running[task] = notebook
                for task in wait(running, return_when=FIRST_COMPLETED).done:
                    del running[task]
                    if error := task.exception():
                        failed.append(error)
                        if isinstance(error, NotebookFailed):  # at once: others may take hours
                            progress.say(f"fcnlib: {error}")
        except BaseException:
            try:
                kernels.stop()
                wait(running, timeout=_PATIENCE)
            finally:  # also after a second Ctrl-C
                kernels.stop(signal.SIGKILL)
            raise
    if failed:
        raise next((e for e in failed if not isinstance(e, NotebookFailed)), failed[0])


def _ready(job: Job, waiting: list[Notebook], running: dict[Future, Notebook]) -> list[Notebook]:
    """Return notebooks to begin now: those that need nothing unfinished, as many as have room."""
    unfinished = [*waiting, *running.values()]
    ready = [notebook for notebook in waiting if not notebook.before(unfinished)]
    return ready[: job.at_once - len(running)]


def _run_one(
    job: Job, notebook: Notebook, resume: bool, source: str, kernels: Kernels, track: Track
) -> None:
    name = notebook.name
    before = [run_cache.read(job.out, n.name) for n in notebook.before(job.every)]
    parameters = job.parameters(notebook)
    digest = run_cache.notebook_digest(notebook.node, parameters, job.config, before, source)
    stamp, half = run_cache.read(job.out, name), run_cache.read(job.out, name, failed=True)
    page = job.out / "notebooks" / f"{name}.ipynb"
    if resume and stamp and stamp.digest == digest and page.is_file():
        track.finish("unchanged, not run again", stamp.seconds, skipped=True)
        return
    if any(old and old.digest != digest for old in (stamp, half)):
        run_cache.clean(job.out, [name])  # half a training of other settings is no start
    # Until it has ended it is unfinished, whatever it was and even if this process is killed.
    run_cache.write(job.out, name, digest, 0.0, False)
    began, state = time.monotonic(), "failed"
    try:
        execute(notebook, parameters, job.out, kernels, track)
        state = "done"
    except Stopped:
        state = "stopped"
        raise
    finally:
        seconds = time.monotonic() - began
        try:
            html_pages.write_page(page)
        finally:
            run_cache.write(job.out, name, digest, seconds, state == "done")  # last: it is whole
            track.finish(state, seconds)


def _conclude(job: Job, started: run_record.Start, outcome: dict[str, Any]) -> Path:
    done = {n.name: run_cache.read(job.out, n.name) for n in job.every}
    models = sorted(job.out.glob("models/*/record.json"))
    trained = [record for m in models if "device" in (record := files.read_json(m) or {})]
    extra = {
        **outcome,
        "profile": Path(job.profile).stem,
        "at_once": job.at_once,
        "notebooks": {name: {"seconds": stamp.seconds} for name, stamp in done.items() if stamp},
    }
    last = trained[-1] if trained else {"device": "not recorded"}
    device = {key: last[key] for key in run_record.DEVICE if key in last}
    record = run_record.capture(job.config, started=started, device=device, extra=extra)
    record["threads"] |= parallelism.variables(job.at_once)  # the kernels' own
    files.write_json(job.out / "record.json", record)
    return report.build(job.out)
