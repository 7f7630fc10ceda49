"""What every notebook begins and ends with: settings, run folder, figures, tables, record."""

from __future__ import annotations

import contextlib
import io
import json
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
import yaml
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from fcnlib import config as settings
from fcnlib.builders import describe_device
from fcnlib.datasets import Dataset
from fcnlib.errors import InputError
from fcnlib.runtime import files, run_record
from fcntools.analysis import variants  # noqa: F401  (builds and loads networks of 2017)
from fcntools.figures.charts import save_figure
from fcntools.synthetic import prepare


class ClaimFailed(AssertionError):
    """A claim of a notebook does not hold; unlike an `assert`, it is never optimized away."""


class Lesson:
    """One notebook at work in a run folder.

    Attributes:
        name: of the notebook, such as "02_upsampling".
        config: the settings of the profile with the overrides.
        out: the run folder; models are in `models`, what is drawn goes to `figures` and `tables`.
        dataset: the data set, generated if it is one that we make.
    """

    def __init__(self, name: str, profile: str, overrides: dict[str, Any] | str, out: str):
        """Open the lesson.

        Args:
            name: of the notebook.
            profile: a saved profile.
            overrides: {setting: value} that win over the profile, or the same as text in YAML.
            out: the run folder; empty for results/runs/PROFILE.

        Raises:
            InputError: an unknown profile or setting, or data that are not there.
        """
        self.name = name
        overrides = parameter("overrides", overrides, {"base_lr": 0.001})
        self.config = settings.load_profile(profile, overrides)
        default = settings.ROOT / "results" / "runs" / Path(profile).stem
        self.out = Path(str(out or default)).expanduser()  # papermill makes `-p out 7` a number
        self.dataset: Dataset = prepare(self.config)
        self._started = run_record.start()

    @property
    def models(self) -> Path:
        """The folder of the trained networks."""
        return self.out / "models"

    def need(self, path: Path, notebook: str) -> Path:
        """Return a path that an earlier notebook makes.

        Args:
            path: what is needed.
            notebook: the one that makes it.

        Returns:
            The path.

        Raises:
            InputError: it is not there; the message says which notebook to run first.
        """
        if not path.exists():
            raise InputError(f"{run_record.relative(path)} is missing: run {notebook}.ipynb first")
        return path

    def show(self, figure: Figure, name: str, title: str, alt: str) -> None:
        """Display a figure and keep it in the run folder as PNG and SVG.

        Args:
            figure: drawn.
            name: of its file.
            title: the finding in a sentence, its caption in the report.
            alt: what the figure shows, for those who cannot see it.
        """
        png = save_figure(figure, self.out / "figures" / self.name / f"{name}.png", title, alt)
        display(Image(data=_light(png), format="png", alt=alt))

    def table(self, frame: pd.DataFrame, name: str, title: str, note: str = "") -> None:
        """Display a table and keep it in the run folder as CSV.

        Args:
            frame: the table, its index meaningless; numbers at full precision.
            name: of its file.
            title: its caption.
            note: what the reader must know to read it rightly.
        """
        path = self.out / "tables" / f"{name}.csv"
        files.write_text(path, frame.to_csv(index=False))
        files.write_json(path.with_suffix(".json"), {"title": title, "note": note})
        shown = frame.to_html(index=False, float_format="{:.3f}".format, na_rep="–", border=0)
        display(HTML(f"<p><b>{escape(title)}</b></p>{shown}<p>{escape(note)}</p>"))

    def fact(self, text: str, holds: bool) -> None:
        """Prove what must hold of any network and any data.

        Args:
            text: what holds.
            holds: whether it does.

        Raises:
            ClaimFailed: it does not.
        """
        if not holds:
            raise ClaimFailed(f"this run does not bear out: {text}")

    def claim(self, text: str, holds: bool) -> None:
        """Prove a claim about trained networks, where the profile trains long enough (`prove`).

        Args:
            text: the claim with the measured numbers in it.
            holds: whether the numbers bear it out.
        """
        self.fact(text, holds or not self.config.train.prove)
        print(("holds: " if holds else "not borne out (this profile trains too little): ") + text)

    def close(self, **results: Any) -> None:
        """Print versions, device, seed and wall time, and keep them with the lesson's results.

        Args:
            **results: numbers that the lesson proved, by name.
        """
        device = describe_device(self.config.train.precision)
        record = run_record.capture(
            self.config, started=self._started, device=device, extra={"results": results}
        )
        files.write_json(self.out / "lessons" / f"{self.name}.json", record)
        versions = ", ".join(
            f"{k} {v}"
            for k, v in record["versions"].items()
            if k in ("tensorflow", "tf-slim", "numpy")
        )
        print(
            f"{versions}; {device['device']}, {device['computed_in']}; seed {record['seed']}; "
            f"{record['wall_seconds']:.0f} s; steal {record['steal']}"
        )


def parameter(name: str, value: Any, like: Any) -> Any:
    """Return a list or mapping among a notebook's parameters; `papermill -p` gives it as text.

    Args:
        name: of the parameter.
        value: what the notebook was given; text is read as YAML.
        like: an example of the right form.

    Returns:
        The list or mapping, its items or keys as text; an empty one for None.

    Raises:
        InputError: it is not of the example's type.
    """
    given, mapping = value, isinstance(like, dict)
    if isinstance(value, str):
        with contextlib.suppress(ValueError, yaml.YAMLError):
            value = yaml.safe_load(value)
    value = type(like)() if value is None else value
    if not isinstance(value, dict if mapping else list | tuple):
        kind = "mapping" if mapping else "list"
        raise InputError(f"{name} = {given!r} is no {kind}; write it as {json.dumps(like)}")
    return {str(k): v for k, v in value.items()} if mapping else [str(v) for v in value]


def _light(png: Path) -> bytes:
    """Return a picture in 256 colours: a third of the bytes in the notebook, no loss one sees."""
    buffer = io.BytesIO()
    with PIL.Image.open(png) as picture:
        picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()
