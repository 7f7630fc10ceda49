"""What every notebook begins and ends with: settings, run folder, figures, tables, record."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import textwrap
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import yaml
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure

from fcnlib import config as settings
from fcnlib.builders import describe_device
from fcnlib.datasets import Dataset
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcntools.analysis import networks_2017  # noqa: F401  (builds and loads networks of 2017)
from fcntools.figures.style import save_figure
from fcntools.inference import folding  # noqa: F401  (folds what is scored)
from fcntools.synthetic import prepare

_DOCUMENTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class ClaimFailed(AssertionError):
    """A claim of a notebook does not hold; unlike an `assert`, it is never optimized away."""


class Lesson:
    """One notebook at work in a run folder.

    Attributes:
        name: of the notebook, such as "02_upsampling".
        config: the settings of the profile with the overrides.
        out: the run folder; figures and tables go to figures/NAME and tables/NAME.
        models: its folder of trained networks.
        dataset: the data set, generated if it is one that we make.
    """

    def __init__(self, name: str, profile: str, overrides: dict[str, Any], out: str):
        """Open the lesson with a notebook's parameters; `out` is empty for results/runs/PROFILE."""
        self.name = name
        if isinstance(overrides, str):  # as `papermill -p` gives a mapping
            with contextlib.suppress(ValueError, yaml.YAMLError):
                overrides = yaml.safe_load(overrides) or {}
        if not isinstance(overrides, dict):
            raise InputError(f"overrides = {overrides!r} is no mapping; write {{base_lr: 0.001}}")
        self.config = settings.load_profile(profile, overrides)
        default = settings.ROOT / "results" / "runs" / Path(profile).stem
        self.out = Path(str(out or default)).expanduser()
        self.models = self.out / "models"
        self.dataset: Dataset = prepare(self.config)
        self._started = run_record.start()

    def need(self, path: Path, notebook: str) -> Path:
        """Return a path that an earlier notebook makes.

        Raises:
            InputError: it is not there; the message says which notebook to run first.
        """
        if not path.exists():
            raise InputError(f"{run_record.relative(path)} is missing: run {notebook}.ipynb first")
        return path

    def source(self, subject: Any) -> None:
        """Display a function, method or class as it is in the library, without its docstrings."""
        lines, first = inspect.getsourcelines(subject)
        lines = textwrap.dedent("".join(lines)).splitlines()
        nodes = [n for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, _DOCUMENTED)]
        texts = [node.body[0] for node in nodes if ast.get_docstring(node) is not None]
        for text in sorted(texts, key=lambda text: -text.lineno):
            del lines[text.lineno - 1 : text.end_lineno]
        place = f"{run_record.relative(inspect.getsourcefile(subject))}, line {first}"
        code = "\n".join(("```python", *lines, "```"))
        display(Markdown(f"`{subject.__qualname__}` in {place}\n\n{code}"))

    def show(self, figure: Figure, name: str, title: str, alt: str) -> None:
        """Display a figure and keep it in the run folder as PNG and SVG.

        Args:
            figure: drawn.
            name: of its file.
            title: the finding in a sentence, its caption in the report.
            alt: what the figure shows, for those who cannot see it.
        """
        path = self.out / "figures" / self.name / f"{name}.png"
        shown = io.BytesIO()  # 256 colours: a third of the bytes in the notebook, no visible loss
        with PIL.Image.open(save_figure(figure, path, title, alt)) as picture:
            small = picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
            small.save(shown, "PNG")
        display(Image(data=shown.getvalue(), format="png", alt=alt))

    def table(self, frame: pd.DataFrame, name: str, title: str, note: str = "") -> None:
        """Display a table and keep it in the run folder as CSV.

        Args:
            frame: the table, its index meaningless; numbers at full precision.
            name: of its file.
            title: its caption.
            note: what the reader must know to read it rightly.
        """
        path = self.out / "tables" / self.name / f"{name}.csv"
        files.write_text(path, frame.to_csv(index=False))
        files.write_json(path.with_suffix(".json"), {"title": title, "note": note})
        shown = frame.to_html(index=False, float_format="{:.3f}".format, na_rep="–", border=0)
        display(HTML(f"<p><b>{escape(title)}</b></p>{shown}<p>{escape(note)}</p>"))

    def fact(self, text: str, holds: bool) -> None:
        """Check what must hold of any network and any data.

        Raises:
            ClaimFailed: it does not hold.
        """
        if not holds:
            raise ClaimFailed(f"this run does not bear out: {text}")

    def claim(self, text: str, holds: bool) -> None:
        """Print a claim with its numbers; a `fact` where the profile trains long enough."""
        self.fact(text, holds or not self.config.train.check_claims)
        print(("holds: " if holds else "not borne out (this profile trains too little): ") + text)

    def close(self, **results: Any) -> None:
        """Print versions, device, seed and wall time; keep them with the lesson's `results`."""
        device, more = describe_device(self.config.train.precision), {"results": results}
        record = run_record.capture(self.config, started=self._started, device=device, extra=more)
        files.write_json(self.out / "lessons" / f"{self.name}.json", record)
        names = ("tensorflow", "tf-slim", "numpy")
        versions = ", ".join(f"{name} {record['versions'][name]}" for name in names)
        where = f"{device['device']}, {device['computed_in']}"
        print(f"{versions}; {where}; seed {record['seed']}; {record['wall_seconds']:.0f} s")
