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
from typing import Any, TextIO

import nbformat

from fcnlib.config import ROOT, Config, load_profile
from fcnlib.datasets.identity import changed, run_digests
from fcnlib.errors import InputError
from fcnlib.runtime import environment, files, run_record
from fcnlib.runtime.progress import duration
from fcntools import synthetic
from fcntools.workbook import html_pages, report, run_cache
from fcntools.workbook.notebooks import NOTEBOOKS, Notebook, choose, discover, split_settings
from fcntools.workbook.run_cache import CacheEntry
from fcntools.workbook.run_progress import RunProgress

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
    folder: Path | None = None,
    at_once: int = 0,
) -> RunPlan:
    """Return what to run, if everything that the user gave is right.

    Args:
        profile: a profile's name or the path of a .toml file.
        settings: `key=value`, a setting's key or a parameter of a chosen notebook.
        only: numbers or names of notebooks; all where empty.
        out: the run folder; results/runs/PROFILE where None.
        folder: of the notebooks; notebooks/ where None.
        at_once: how many notebooks may run at the same time; 0 for what suits the machine.

    Raises:
        InputError: something of it is unknown or of the wrong type, or Python leaves out asserts.
    """
    if sys.flags.optimize:
        raise InputError("Python leaves out every assert; unset PYTHONOPTIMIZE, run without -O")
    if at_once < 0:
        raise InputError(f"--jobs {at_once}: must be at least 1, or 0 for what suits the machine")
    every = discover((folder or NOTEBOOKS).resolve())
    chosen = choose(every, only)
    overrides, values = split_settings(settings, chosen)
    config = load_profile(profile, overrides)
    if profile.endswith(".toml"):
        profile = str(Path(profile).resolve())
    out = (out or ROOT / "results" / "runs" / Path(profile).stem).resolve()
    at_once = min(at_once or suitable_jobs(), len(chosen))
    return RunPlan(profile, overrides, values, config, out, every, chosen, at_once)


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


def run(plan: RunPlan, resume: bool = False, stream: TextIO | None = None) -> Path:
    """Run the notebooks of a plan, and write the run record and the index.

    Args:
        plan: from `prepare`.
        resume: skip what finished with the same source, settings and predecessors, and go on with
            what did not; otherwise everything chosen is made afresh.
        stream: where progress is shown; standard error where None.

    Returns:
        The path of index.html.

    Raises:
        InputError: the folder is not a run's, or another run writes into it.
        NotebookFailed: a cell failed or a kernel died, which has been shown.
    """
    run_cache.claim(plan.out)
    with files.locked(plan.out):
        started = run_record.start()
        data = run_digests(plan.config, synthetic.prepare(plan.config))
        before = (files.read_json(plan.out / "record.json") or {}).get("data")
        for split in changed(before, data) if resume and isinstance(before, dict) else ():
            print(f"{split}: changed since; what was made from it is made again", file=sys.stderr)
        cells = {n.name: len(n.node.cells) + 1 for n in plan.chosen}  # + the injected parameters
        progress = RunProgress(cells, _seconds(plan), stream)
        if not resume and plan.chosen == plan.every:
            run_cache.clean(plan.out)
        outcome = {"state": "interrupted"}
        try:
            _run_chosen(plan, resume, progress, run_cache.run_digest(plan.config, data))
            outcome = {"state": "finished"}
        except NotebookFailed as error:
            outcome = {"state": "failed", "failure": str(error).splitlines()[0]}
            raise
        finally:
            progress.close()
            _write_record(plan, started, {**outcome, "data": data})
            index = report.build(plan.out)
        return index


def _seconds(plan: RunPlan) -> dict[str, float]:
    """Return how long the finished notebooks took."""
    entries = filter(None, (run_cache.read(plan.out, n.name) for n in plan.every))
    return {entry.name: entry.seconds for entry in entries if entry.finished}


def _run_chosen(plan: RunPlan, resume: bool, progress: RunProgress, common: str) -> None:
    """Run each notebook when those it needs have finished, some at once.

    As with `make -j`, what runs beside a failing notebook goes on to its end, and nothing begins.
    """
    waiting, running, failures, shown = list(plan.chosen), [], [], 0.0
    try:
        while running or (waiting and not failures):
            unfinished = [*waiting, *(e.notebook for e in running)]
            ready = [n for n in waiting if not failures and not n.before(unfinished)]
            for notebook in ready[: plan.at_once - len(running)]:
                waiting.remove(notebook)
                if execution := _begin(plan, notebook, resume, progress, common):
                    running.append(execution)
            for execution in [e for e in running if e.process.poll() is not None]:
                running.remove(execution)
                if failure := _finish(plan, execution, progress):
                    failures.append(failure)
                    progress.say(f"fcnlib: {failure}")  # at once: others may take hours
            if time.monotonic() - shown > _TICK:
                progress.show({e.notebook.name: e.state() for e in running})
                shown = time.monotonic()
            time.sleep(_POLL)
    except BaseException:
        _stop([e.process for e in running])
        for execution in running:
            _finish(plan, execution, progress, stopped=True)
        raise
    if failures:
        raise NotebookFailed(failures[0])


def _begin(
    plan: RunPlan, notebook: Notebook, resume: bool, progress: RunProgress, common: str
) -> _Execution | None:
    """Start a notebook, or find it unchanged and return None."""
    out, name, needed = plan.out, notebook.name, notebook.before(plan.every)
    values = {k: v for k, v in plan.values.items() if k in notebook.parameters}
    upstream = [entry and entry.id for entry in (run_cache.read(out, n.name) for n in needed)]
    cells = [(cell.cell_type, cell.source) for cell in notebook.node.cells]
    digest = run_cache.digest(common, cells, values, upstream)
    page, log = out / "notebooks" / f"{name}.ipynb", out / run_cache.STAMPS / f"{name}.log"
    entry = run_cache.read(out, name)
    if resume and entry and entry.digest == digest and entry.finished and page.is_file():
        progress.end(name, f"unchanged, not run again ({duration(entry.seconds)})")
        return None
    progress.begin(name)
    if not resume or (entry and entry.digest != digest):
        kept = {path for other in needed for path in other.made(out, plan.config)}
        run_cache.clean_notebook(out, name, [*{*notebook.made(out, plan.config)} - kept])
    run_cache.write(out, CacheEntry(name, digest))  # unfinished even if this process is killed
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
    return _Execution(notebook, digest, process, page, log, time.monotonic())


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


def _finish(plan: RunPlan, execution: _Execution, progress: RunProgress, stopped=False) -> str:
    """Make the page of an ended notebook, enter it in the cache; return what went wrong, or ""."""
    name, seconds = execution.notebook.name, execution.state()[0]
    failure = _failure(execution, stopped)
    try:
        html_pages.write_page(execution.page)
    finally:  # last: it is whole
        entry = CacheEntry(name, execution.digest, round(seconds, 1), finished=not failure)
        run_cache.write(plan.out, entry)
    state = "stopped" if stopped else "failed" if failure else "done"
    progress.end(name, f"{state} ({duration(seconds)})")
    return failure and f"{failure}\nas far as it got: notebooks/{name}.ipynb in {plan.out}"


def _failure(execution: _Execution, stopped: bool) -> str:
    """Return in which cell an ended notebook failed and why, or ""; mark it in the copy."""
    status, (_, at, printed) = execution.process.returncode, execution.state()
    try:
        node = nbformat.read(execution.page, as_version=4)
    except (OSError, ValueError):  # it ended before the first cell, or while it wrote
        node = nbformat.from_dict(execution.notebook.node)
    failed = [c for c in node.cells if c.metadata.get("papermill", {}).get("exception")]
    if not (failed or status or stopped):
        return ""
    cell = failed[0] if failed else node.cells[min(at, len(node.cells)) - 1]
    errors = [o for o in cell.get("outputs", ()) if o.output_type == "error"]
    if stopped:
        text = "The run was stopped in this cell."
    elif errors:
        text = _NOISE.sub("", "\n".join(errors[0].traceback))
        if errors[0].ename == "SystemExit":  # papermill takes it for success
            text = "The cell ended the kernel's program (sys.exit)."
    else:
        why = "The kernel died: out of memory, killed from outside, or a crash in native code."
        why = why if status == _DEAD else f"papermill ended with status {status}."
        text = f"{why} The last words:\n{printed or '(nothing)'}"
    lines = [line.rstrip() for line in text.splitlines()]
    if not errors and cell.cell_type == "code":
        error = {"ename": "Stopped" if stopped else "Died", "evalue": lines[0], "traceback": lines}
        cell.setdefault("outputs", []).append(nbformat.v4.new_output("error", **error))
        cell.metadata.setdefault("papermill", {}).update(status="failed", exception=True)
        files.write_text(execution.page, nbformat.writes(node))
    before = node.cells[: node.cells.index(cell) + 1]
    number = sum(not _ADDED & set(c.metadata.get("tags", ())) for c in before)
    tail = ["  ..."] * (len(lines) > _TAIL_LINES) + lines[-_TAIL_LINES:]
    name, cells = execution.notebook.name, len(execution.notebook.node.cells)
    return "\n".join((f"{name} failed in cell {number} of {cells}", *tail))


def _write_record(plan: RunPlan, started: run_record.Start, outcome: dict[str, Any]) -> None:
    models = map(files.read_json, sorted(plan.out.glob("models/*/record.json")))
    trained = [record for record in models if "device" in (record or {})]
    last = trained[-1] if trained else {"device": "not recorded"}
    device = {key: last[key] for key in ("device", "computed_in") if key in last}
    done = {name: {"seconds": seconds} for name, seconds in _seconds(plan).items()}
    outcome |= {"profile": Path(plan.profile).stem, "at_once": plan.at_once, "notebooks": done}
    record = run_record.capture(plan.config, started=started, device=device, extra=outcome)
    record["threads"] |= thread_variables(plan.at_once)  # the kernels' own
    files.write_json(plan.out / "record.json", record)
