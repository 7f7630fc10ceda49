"""Kill a command at random moments, call it again, compare with what an undisturbed one leaves.

A case is one line of `CASES`. The commands are those of a user, run by a process that is forked
from one that has loaded TensorFlow already, so that a kill costs a second and not five.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from http_server import Mirror, serve
from notebook_maker import PARAMETERS, write_notebook
from PIL import Image

from fcnlib import checkpoints
from fcntools.cli import main
from fcntools.data import download

_TINY = (
    "--profile smoke --set backbone=vgg_16 --set strides=32 --set depth_multiplier=0.01 "
    "--set min_depth=2 --set init_checkpoint= --set image_size=65 --set crop_size=64 "
    "--set checkpoint_seconds=0"
)
# What a clock, a command line or a checkpoint with the time in it decides.
_CLOCKS = {
    *("started", "wall_seconds", "steal", "training_seconds", "seconds", "images_per_second"),
    *("id", "digest", "command", "rows", "checkpoint", "duration", "start_time", "end_time"),
    *("commit", "dirty"),
}
_MARK = "FCNLIB_KILLED"  # in the environment of a child's children: whose they are
_PATIENCE = 5.0  # seconds for the children of a killed process to notice


@dataclass(frozen=True)
class Case:
    """A command; `{shared}` is what was made once, `{out}` a new folder that holds `given`."""

    name: str
    words: str
    again: str = ""  # added when it is called again
    given: str = ""  # folder of `shared` that is copied into `out`
    done: str = ""  # what it may say where the killed one had just finished


CASES = (
    Case("training", f"train {_TINY} --set data_dir={{shared}}/shapes --out {{out}}", "--resume"),
    Case("evaluation", "evaluate {out}/trained", given="trained"),
    Case("notebook run", "run --notebooks {shared}/notebooks --out {out}", "--resume"),
    Case("download", "data download camvid --to {out}"),
    Case("data set", f"data make {_TINY} --set train_images=150 --set data_dir={{out}}/shapes"),
    Case(
        "packing",
        "data pack {shared}/shapes --format shapes --to {out}/packed",
        done="already",
    ),
    Case("export", "export {shared}/trained --format saved_model --out {out}/net"),
    Case("prediction", "predict {shared}/trained {shared}/shapes/JPEGImages --out {out}"),
)


def contents(folder: Path) -> dict[str, Any]:
    """Return {file: what is in it} of all files below a folder, without what a clock decides."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix != ".log")
    return {str(p.relative_to(folder)): _content(p) for p in files}


def _content(path: Path) -> Any:
    if path.name == "fingerprint.pb":  # TensorFlow gives a saved model a random id
        return None
    if path.suffix == ".json":
        return _timeless(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".npz":
        arrays, meta = checkpoints.load(path)
        digests = {n: (str(a.dtype), a.shape, a.tobytes()) for n, a in arrays.items()}
        return digests, _timeless(meta)
    if path.suffix == ".csv":
        return _timeless(list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))))
    if path.suffix == ".ipynb":
        cells = nbformat.read(path, as_version=4).cells
        return [(c.source, str(c.get("outputs"))) for c in cells if "injected" not in str(c)]
    if path.suffix == ".html":  # made of the rest, with the times in it
        return path.read_text(encoding="utf-8").strip().endswith("</html>")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _timeless(tree: Any) -> Any:
    """Leave out what a clock decides, and of the path to a file what the place decides."""
    if isinstance(tree, dict):
        tree = {k: _timeless(v) for k, v in tree.items() if k not in _CLOCKS}
        return tree | ({"file": Path(tree["file"]).name} if "file" in tree else {})
    return [_timeless(v) for v in tree] if isinstance(tree, list) else tree


def call(words: list[str], log: str, archive: download.Archive) -> None:
    """Be the child: run one command line as the program would, its output in a file."""
    os.environ[_MARK] = str(os.getpid())
    with open(log, "ab", buffering=0) as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    download.ARCHIVES["camvid"] = archive
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["fcnlib", *words]
    main.main(words, prog_name="fcnlib")


class Harness:
    """A folder with what the cases share, and the server they download from."""

    def __init__(self, root: Path, mirror: Mirror):
        self.root, self.shared = root, root / "shared"
        self.mirror = mirror
        data = next(iter(mirror.files.values()))
        sha = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.archive = download.Archive((mirror.url,), "/camvid.zip", sha, "CamVid")
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["fcnlib.experiment", "fcntools.workbook.runner", "killing"]
        )
        self._expected: dict[str, tuple[float, dict[str, Any]]] = {}
        self._log = root / "log"

    def start(self, words: str, out: Path, log: Path | None = None) -> multiprocessing.Process:
        """Start a command."""
        self.mirror.faults[:] = ["slow"] * 100  # so that a kill meets an unfinished download
        said = words.format(shared=self.shared, out=out).split()
        arguments = (said, str(log or self._log), self.archive)
        process = self._context.Process(target=call, args=arguments)
        process.start()
        return process

    def finish(self, words: str, out: Path, done: str = "") -> None:
        """Run a command to its end; it must end well, or say that it is done."""
        process = self.start(words, out)
        process.join(300)
        said = self._log.read_text(errors="replace")[-2000:]
        well = process.exitcode == 0 or (done and done in said.splitlines()[-1])
        assert well, f"{words}: status {process.exitcode}\n{said}"

    def prepare(self) -> None:
        """Make what the cases share: a data set, a trained network, two notebooks."""
        self.finish(f"data make {_TINY} --set data_dir={{shared}}/shapes", self.root)
        code = "from pathlib import Path\nt = Path(out, 'tables', f'0{number}_n')\n"
        code += "t.mkdir(parents=True, exist_ok=True)\nimport time\n"
        code += "for i in range(20):\n    time.sleep(0.02)\n"
        code += "    _ = (t / f'{i}.csv').write_text(f'a,b\\n{i},2\\n')"
        for number in (0, 1):
            made = self.shared / "notebooks" / f"0{number}_n.ipynb"
            parameters = f"{PARAMETERS}\nnumber = {number}"
            write_notebook(made, code, parameters=parameters, needs=[])  # both at once
        _, expected = self.expected(CASES[0])
        assert "models/fcn-32s/checkpoint.npz" in expected

    def expected(self, case: Case) -> tuple[float, dict[str, Any]]:
        """Return seconds and results of the undisturbed command, run once."""
        if case.name not in self._expected:
            out = self._new(case, "undisturbed")
            started = time.monotonic()
            self.finish(case.words, out)
            self._expected[case.name] = (time.monotonic() - started, contents(out))
            if case is CASES[0]:
                trained = self.shared / "trained"
                shutil.copytree(out / "models" / "fcn-32s", trained)
                for name in ("metrics.json", "evaluation.npz"):
                    (trained / name).unlink()
        return self._expected[case.name]

    contents = staticmethod(contents)

    def _new(self, case: Case, name: str) -> Path:
        out = self.root / f"{case.name} {name}".replace(" ", "-")
        if case.given:
            shutil.copytree(self.shared / case.given, out / case.given)
        return out

    def kill(self, case: Case, seed: int, by: int = signal.SIGKILL) -> dict[str, Any]:
        """Kill a command once or twice, call it again, and compare.

        Args:
            case: the command.
            seed: of the moments.
            by: the signal; after SIGINT the command must end with status 130, or well.

        Returns:
            What was tried: case, seed, kills (seconds from the start of each), lost (files that
            differ, or processes left behind; empty where nothing is wrong).
        """
        seconds, expected = self.expected(case)
        draw, out = random.Random(f"{case.name} {seed}"), self._new(case, str(seed))
        moments, lost, killed = [], [], []
        for number in range(1 + seed % 2):
            words = case.words + (f" {case.again}" if number else "")
            process, moment = self.start(words, out), draw.uniform(0.2, seconds)
            process.join(moment)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, by)
            process.join()
            if by == signal.SIGINT and process.exitcode not in (0, 130):
                lost.append(f"status {process.exitcode}")
            moments.append(round(moment, 3))
            killed.append(process.pid)
        self.finish(f"{case.words} {case.again}", out, case.done)
        lost += [f"left running: {words}" for pid in killed for words in self.left(pid)]
        found = contents(out)
        lost += sorted(n for n in expected.keys() | found.keys() if _differ(expected, found, n))
        if not lost:
            shutil.rmtree(out)
        return {"case": case.name, "seed": seed, "kills": moments, "lost": lost}

    @staticmethod
    def left(pid: int) -> list[str]:
        """Return the command lines of what a killed process left running."""
        late = time.monotonic() + _PATIENCE
        while (found := list(_children(pid))) and time.monotonic() < late:
            time.sleep(0.05)
        return found


def _differ(one: dict[str, Any], other: dict[str, Any], name: str) -> bool:
    return name not in one or name not in other or one[name] != other[name]


def _children(pid: int) -> Iterator[str]:
    mark = f"{_MARK}={pid}\0".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in path.read_bytes():
                yield path.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode()


def camvid_archive() -> bytes:
    """Return a small zip in CamVid's layout with three megabytes of bulk."""
    data, noise = io.BytesIO(), np.random.default_rng(0).bytes(3 << 20)
    with zipfile.ZipFile(data, "w") as archive:
        for split in ("train", "val", "test"):
            archive.writestr(f"CamVid/{split}.txt", f"{split}0.png\n")
            for place, shape in ((split, (4, 4, 3)), (f"{split}annot", (4, 4))):
                png = io.BytesIO()
                Image.fromarray(np.zeros(shape, np.uint8)).save(png, "PNG")
                archive.writestr(f"CamVid/{place}/{split}0.png", png.getvalue())
        archive.writestr("CamVid/bulk.bin", noise)
    return data.getvalue()


@contextlib.contextmanager
def harness(root: Path) -> Iterator[Harness]:
    """Prepare a harness in an empty folder."""
    with serve({"/camvid.zip": camvid_archive()}) as mirror:
        made = Harness(root, mirror)
        made.prepare()
        yield made
