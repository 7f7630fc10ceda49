"""Run the notebooks headlessly, each after those it needs: from a profile to a run folder.

Papermill executes each notebook in a process of its own. What a notebook writes lies in folders of
its own: notebooks/NAME.ipynb, figures/NAME, tables/NAME, and what its metadata say that it makes.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from fcnlib.config import ROOT, Config, load_profile
from fcnlib.datasets.identity import changed, run_digests
from fcnlib.errors import InputError
from fcnlib.runtime import environment, files, progress, run_record
from fcntools import synthetic
from fcntools.workbook import html_pages, report, run_cache
from fcntools.workbook.notebooks import NOTEBOOKS, Notebook, choose, discover, split_settings

# Papermill's own command line cannot wait longer than 4 s for the output of a busy machine.
_PAPERMILL = """
import json, logging, signal, sys
import papermill
from nbclient.exceptions import DeadKernelError
signal.signal(signal.SIGINT, signal.default_int_handler)
logging.basicConfig(format="%(message)s", level="INFO")
try:
    papermill.execute_notebook(*json.loads(sys.argv[1]), kernel_name="python3", language="python",
        log_output=True, progress_bar=False, start_timeout=120, iopub_timeout=60,
        coalesce_streams=True)
except DeadKernelError:
    sys.exit(138)
"""
_DEAD = 138  # so does papermill's command line report a dead kernel
# TensorFlow reads its own when it is loaded. Jupyter is to find the kernel of this environment.
_ENVIRONMENT = {"FCNLIB_HEADLESS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
_ENVIRONMENT |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
_ENVIRONMENT |= {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTER_PATH": ""}
_POLL, _TICK, _PATIENCE = 0.05, 0.5, 10.0  # seconds
_ROOM = 6.0  # GiB of memory for two kernels and a browser
_TAIL_LINES = 25
_ADDED = {"injected-parameters", "papermill-error-cell-tag"}  # cells that papermill puts in
_AT_CELL = re.compile(r"^Executing Cell (\d+)-+$", re.MULTILINE)
_NOISE = re.compile(
    r"^Ending Cell.*|^Kernel died while.*|^<IPython\..*|\x1b\[[\d;]*m", re.MULTILINE
)


class NotebookFailed(RuntimeError):
    """A notebook did not finish: the message names notebook and cell, with the traceback's end."""


@dataclass(frozen=True)
class RunPlan:
    """What to run into which folder: settings, their sources, and the chosen notebooks in order."""

    profile: str
    overrides: dict[str, Any]
    values: dict[str, Any]  # of the notebooks' own parameters
    config: Config
    out: Path
    every: tuple[Notebook, ...]
    chosen: tuple[Notebook, ...]
    at_once: int


@dataclass(frozen=True)
class _Execution:
    """A notebook at work; papermill and the kernel print into the log."""

    notebook: Notebook
    digest: str
    process: subprocess.Popen
    page: Path
    log: Path
    began: float

    def state(self) -> tuple[float, int, str]:
        """Return seconds so far, the number of the present cell from 1, and what it printed."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        *_, cell = [None, *_AT_CELL.finditer(text)]
        printed = _NOISE.sub("", text[cell.end() if cell else 0 :]).strip()
        return time.monotonic() - self.began, int(cell[1]) if cell else 1, printed


def prepare(
    profile: str = "quick",
    settings: Sequence[str] = (),
    only: Sequence[str] = (),
    out: Path | None = None,
    notebooks: Path | None = None,
    jobs: int = 0,
) -> RunPlan:
    """Return what to run, if everything that the user gave is right.

    Args:
        profile: a profile's name or the path of a .toml file.
        settings: `key=value`, a setting's key or a parameter of a chosen notebook.
        only: numbers or names of notebooks; all where empty.
        out: the run folder; results/runs/PROFILE where None.
        notebooks: their folder; notebooks/ where None.
        jobs: how many notebooks may run at the same time; 0 for what suits the machine.

    Raises:
        InputError: something of it is unknown or of the wrong type.
    """
    if sys.flags.optimize:
        raise InputError("Python leaves out every assert; unset PYTHONOPTIMIZE, run without -O")
    every = discover((notebooks or NOTEBOOKS).resolve())
    chosen = choose(every, only)
    overrides, values = split_settings(settings, chosen)
    config = load_profile(profile, overrides)
    if profile.endswith(".toml"):
        profile = str(Path(profile).resolve())
    out = (out or ROOT / "results" / "runs" / Path(profile).stem).resolve()
    jobs = min(jobs or suitable_jobs(), len(chosen))
    return RunPlan(profile, overrides, values, config, out, every, chosen, jobs)


def suitable_jobs() -> int:
    """Return how many notebooks to run at once: two where cores and memory allow; one on a GPU."""
    here = run_record.machine()
    room = here["cores"] > 1 and here["memory_gib"] >= _ROOM
    return 2 if room and not environment.nvidia_driver() else 1


def thread_variables(at_once: int) -> dict[str, str]:
    """Return the environment in which so many kernels share the cores; what the user set stays.

    On 2 cores a step of two trainings takes 153 to 166 ms with it, 213 to 249 ms without.
    """
    intra, inter = run_record.INTRA, run_record.INTER
    if at_once == 1 or intra in os.environ or inter in os.environ:
        return {}
    return {intra: str(max(run_record.machine()["cores"] // at_once, 1)), inter: "2"}


def run(plan: RunPlan, resume: bool = False) -> Path:
    """Run the notebooks of a plan, and write the run record and the index, whose path it returns.

    With `resume` what finished with the same source, settings and predecessors is skipped, and what
    did not goes on; without, everything chosen is made afresh.

    Raises:
        InputError: the folder is not a run's, or another run writes into it.
        NotebookFailed: a cell failed or a kernel died, which has been shown.
    """
    run_cache.claim(plan.out)
    with files.locked(plan.out):
        started = run_record.start()
        data = run_digests(plan.config, synthetic.prepare(plan.config))
        before = (files.read_json(plan.out / "record.json") or {}).get("data", data)
        for split in changed(before, data) if resume and isinstance(before, dict) else ():
            print(f"{split}: changed since; what was made from it is made again", file=sys.stderr)
        if not resume and plan.chosen == plan.every:
            run_cache.clean(plan.out)
        outcome = {"data": data, "state": "interrupted"}
        try:
            _Run(plan, resume, run_cache.run_digest(plan.config, data)).go()
            outcome["state"] = "finished"
        except NotebookFailed as error:
            outcome |= {"state": "failed", "failure": str(error).splitlines()[0]}
            raise
        finally:
            _write_record(plan, started, outcome)
            index = report.build(plan.out)
        return index


class _Run:
    """The notebooks of a plan at work, in a claimed and locked folder."""

    def __init__(self, plan: RunPlan, resume: bool, common: str):
        self.plan, self.resume, self.common = plan, resume, common
        self.cells = {n.name: len(n.node.cells) + 1 for n in plan.chosen}  # + what is injected
        self.names = list(self.cells)
        self.running: list[_Execution] = []
        self.shown = 0.0

    def go(self) -> None:
        """Run each notebook when those it needs have finished, some at once.

        What runs beside a failing notebook goes on to its end, and nothing begins (`make -j`).
        """
        waiting, failures = list(self.plan.chosen), []
        with progress.bar(sum(self.cells.values()), "notebooks", "cell") as self.bar:
            try:
                while self.running or (waiting and not failures):
                    unfinished = [*waiting, *(e.notebook for e in self.running)]
                    ready = [n for n in waiting if not failures and not n.before(unfinished)]
                    for notebook in ready[: self.plan.at_once - len(self.running)]:
                        waiting.remove(notebook)
                        self.begin(notebook)
                    for execution in [e for e in self.running if e.process.poll() is not None]:
                        self.running.remove(execution)
                        if failure := self.finish(execution):
                            failures.append(failure)
                            self.bar.say(f"fcnlib: {failure}")  # at once: others may take hours
                    self.show(waiting)
                    time.sleep(_POLL)
            except BaseException:
                _stop([e.process for e in self.running])
                for execution in self.running:
                    self.finish(execution, stopped=True)
                raise
        if failures:
            raise NotebookFailed(failures[0])

    def begin(self, notebook: Notebook) -> None:
        """Start a notebook, unless it is found unchanged."""
        plan, name, needed = self.plan, notebook.name, notebook.before(self.plan.every)
        out, values = plan.out, {k: v for k, v in plan.values.items() if k in notebook.parameters}
        upstream = [(run_cache.read(out, n.name) or {}).get("id") for n in needed]
        cells = [(cell.cell_type, cell.source) for cell in notebook.node.cells]
        digest = run_cache.digest(self.common, cells, values, upstream)
        page, log = out / "notebooks" / f"{name}.ipynb", out / run_cache.STAMPS / f"{name}.log"
        entry = run_cache.read(out, name)
        same = entry and entry["digest"] == digest
        if self.resume and same and entry["finished"] and page.is_file():
            self.say(name, f": unchanged, not run again ({tqdm.format_interval(entry['seconds'])})")
            self.bar.total -= self.cells.pop(name)
            return
        self.say(name)
        if not self.resume or (entry and not same):
            kept = {path for other in needed for path in other.made(out, plan.config)}
            run_cache.remove(*{*notebook.made(out, plan.config)} - kept)
            run_cache.clean_notebook(out, name)
        # Unfinished even if this process is killed.
        run_cache.write(log, digest=digest, seconds=0, finished=False)
        page.parent.mkdir(exist_ok=True)
        # Papermill takes braces in its paths for fields.
        paths = [str(path).replace("{", "{{").replace("}", "}}") for path in (notebook.path, page)]
        values |= {"profile": plan.profile, "overrides": plan.overrides, "out": str(out)}
        variables = {files.RUN: str(out), run_record.COMMAND_VARIABLE: run_record.command()}
        # The notebooks import the fcnlib that runs them, installed or not.
        python_path = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
        variables |= thread_variables(plan.at_once) | {"PYTHONPATH": os.pathsep.join(python_path)}
        with open(log, "wb") as stream:
            process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PAPERMILL, json.dumps([*paths, values])],
                cwd=notebook.path.parent,
                env={**os.environ, **_ENVIRONMENT, **variables},
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # Ctrl-C comes to this process alone
                preexec_fn=_end_with_parent,
            )
        self.running.append(_Execution(notebook, digest, process, page, log, time.monotonic()))

    def finish(self, execution: _Execution, stopped: bool = False) -> str:
        """Make the page of an ended notebook, enter it in the cache; return what went wrong."""
        name, seconds = execution.notebook.name, execution.state()[0]
        failure = _failure(execution, stopped)
        try:
            html_pages.write_page(execution.page)
        finally:  # last: it is whole
            about = {"digest": execution.digest, "seconds": round(seconds, 1)}
            run_cache.write(execution.log, **about, finished=not failure)
        state = "stopped" if stopped else "failed" if failure else "done"
        self.say(name, f": {state} ({tqdm.format_interval(seconds)})")
        return failure and f"{failure}\nas far as it got: notebooks/{name}.ipynb in {self.plan.out}"

    def say(self, name: str, words: str = "") -> None:
        self.bar.say(f"[{self.names.index(name) + 1}/{len(self.names)}] {name}{words}")

    def show(self, waiting: Sequence[Notebook]) -> None:
        """Draw the bar again from time to time; in a log that is a line now and then."""
        if time.monotonic() - self.shown > _TICK:
            self.shown, words = time.monotonic(), {}
            to_go = sum(self.cells[n.name] for n in waiting)
            for execution in self.running:
                _, cell, printed = execution.state()
                to_go += self.cells[execution.notebook.name] - cell
                said = ["cell", str(cell), *printed.splitlines()[-1:]]
                words[execution.notebook.name] = " ".join(said)
            self.bar.update(self.bar.total - to_go - self.bar.n, **words)
            if sys.stderr.isatty():
                self.bar.refresh()


def _end_with_parent() -> None:
    """Let the system kill papermill when its parent dies; a kernel looks for its parent itself."""
    if prctl := getattr(ctypes.CDLL(None), "prctl", None):  # Linux
        prctl(1, signal.SIGKILL)


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    """Interrupt papermill, which interrupts its kernel, so that a training keeps its last step."""
    late = time.monotonic() + _PATIENCE
    try:
        for process in processes:
            process.send_signal(signal.SIGINT)
        while any(p.poll() is None for p in processes) and time.monotonic() < late:
            time.sleep(_POLL)
    finally:  # also after a second Ctrl-C
        for process in processes:
            process.kill()
            process.wait()


def _failure(execution: _Execution, stopped: bool) -> str:
    """Return in which cell an ended notebook failed and why, or ""; mark it in the copy."""
    status, (_, at, printed) = execution.process.returncode, execution.state()
    try:
        node = nbformat.read(execution.page, as_version=4)
    except (OSError, ValueError):  # it ended before the first cell, or while it wrote
        node = execution.notebook.node
    failed = [c for c in node.cells if c.metadata.get("papermill", {}).get("exception")]
    if not (failed or status or stopped):
        return ""
    cell = failed[0] if failed else node.cells[min(at, len(node.cells)) - 1]
    error = next((o for o in cell.get("outputs", ()) if o.output_type == "error"), None)
    text = f"papermill ended with status {status}. The last words:\n{printed}"
    if stopped:
        text = "The run was stopped in this cell."
    elif error and error.ename == "SystemExit":  # papermill takes it for success
        text = "The cell ended the kernel's program (sys.exit)."
    elif error:
        text = _NOISE.sub("", "\n".join(error.traceback))
    elif status == _DEAD:
        text = f"The kernel died: out of memory, killed from outside, or a crash.\n{printed}"
    lines = [line.rstrip() for line in text.splitlines()]
    if not error and cell.cell_type == "code":
        words = {"ename": "Stopped" if stopped else "Died", "evalue": lines[0], "traceback": lines}
        cell.setdefault("outputs", []).append(nbformat.v4.new_output("error", **words))
        cell.metadata.setdefault("papermill", {}).update(status="failed", exception=True)
        files.write_text(execution.page, nbformat.writes(node))
    before = node.cells[: node.cells.index(cell) + 1]
    number = sum(not _ADDED & set(c.metadata.get("tags", ())) for c in before)
    name, cells = execution.notebook.name, len(execution.notebook.node.cells)
    return "\n".join((f"{name} failed in cell {number} of {cells}", *lines[-_TAIL_LINES:]))


def _write_record(plan: RunPlan, started: run_record.Start, outcome: dict[str, Any]) -> None:
    device = {"device": "not recorded"}
    for path in sorted(plan.out.glob("models/*/record.json")):
        last = files.read_json(path) or {}
        device |= {key: last[key] for key in ("device", "computed_in", "driver") if key in last}
    entries = {n.name: run_cache.read(plan.out, n.name) for n in plan.every}
    done = {n: {"seconds": e["seconds"]} for n, e in entries.items() if e and e["finished"]}
    outcome |= {"profile": Path(plan.profile).stem, "at_once": plan.at_once, "notebooks": done}
    record = run_record.capture(plan.config, started=started, device=device, extra=outcome)
    record["threads"] |= thread_variables(plan.at_once)  # the kernels' own
    files.write_json(plan.out / "record.json", record)
