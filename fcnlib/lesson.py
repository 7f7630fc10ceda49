"""What every notebook begins and ends with: settings, run folder, figures, tables, record."""

from __future__ import annotations

import io
import os
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import PIL.Image
from IPython.display import HTML, Image, display
from matplotlib.figure import Figure

from fcnlib import config as settings
from fcnlib import runrecord
from fcnlib.compat import device_name
from fcnlib.datasets import Dataset
from fcnlib.errors import InputError
from fcnlib.plotting import save_figure
from fcnlib.recipe import prepare_data


class Lesson:
    """One notebook at work in a run folder.

    Attributes:
        name: of the notebook, such as "02_upsampling".
        config: the settings of the profile with the overrides.
        out: the run folder; models are in `models`, what is drawn goes to `figures` and `tables`.
        dataset: the data set, generated if it is one that we make.
    """

    def __init__(self, name: str, profile: str, overrides: dict[str, Any], out: str):
        """Open the lesson.

        Args:
            name: of the notebook.
            profile: a saved profile.
            overrides: {setting: value} that win over the profile.
            out: the run folder; empty for results/runs/PROFILE.

        Raises:
            InputError: an unknown profile or setting, or data that are not there.
        """
        self.name = name
        self.config = settings.load_profile(profile, overrides)
        self.out = Path(
            os.path.expanduser(out) or settings.ROOT / "results" / "runs" / Path(profile).stem
        )
        self.dataset: Dataset = prepare_data(self.config)
        self._started = runrecord.start()

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
            raise InputError(f"{runrecord.relative(path)} is missing: run {notebook}.ipynb first")
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
        runrecord.write_text(path, frame.to_csv(index=False))
        runrecord.write_json(path.with_suffix(".json"), {"title": title, "note": note})
        shown = frame.to_html(index=False, float_format="{:.3f}".format, na_rep="–", border=0)
        display(HTML(f"<p><b>{escape(title)}</b></p>{shown}<p>{escape(note)}</p>"))

    def claim(self, text: str, holds: bool) -> None:
        """Prove a claim about trained networks.

        Args:
            text: the claim with the measured numbers in it.
            holds: whether the numbers bear it out.

        Raises:
            AssertionError: they do not, and the profile trains long enough to say so (`prove`).
        """
        if self.config.train.prove:
            assert holds, f"this run does not bear out: {text}"
        print(("holds: " if holds else "not borne out (this profile trains too little): ") + text)

    def close(self, **results: Any) -> None:
        """Print versions, device, seed and wall time, and keep them with the lesson's results.

        Args:
            **results: numbers that the lesson proved, by name.
        """
        device = device_name()
        record = runrecord.capture(
            self.config, started=self._started, device=device, extra={"results": results}
        )
        runrecord.write_json(self.out / "lessons" / f"{self.name}.json", record)
        versions = ", ".join(
            f"{k} {v}"
            for k, v in record["versions"].items()
            if k in ("tensorflow", "tf-slim", "numpy")
        )
        print(
            f"{versions}; {device}; seed {record['seed']}; {record['wall_seconds']:.0f} s; "
            f"steal {record['steal']}"
        )


def _light(png: Path) -> bytes:
    """Return a picture in 256 colours: a third of the bytes in the notebook, no loss one sees."""
    buffer = io.BytesIO()
    with PIL.Image.open(png) as picture:
        picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE).save(buffer, "PNG")
    return buffer.getvalue()
