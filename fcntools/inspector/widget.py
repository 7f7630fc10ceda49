"""The skip inspector in a notebook: controls around a picture that `inspector_panel` draws."""

from __future__ import annotations

import contextlib
import html
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import ipywidgets
from IPython.display import Image, Javascript, display

from fcnlib.errors import InputError
from fcnlib.network import SKIPS
from fcntools.inspector.account import WIDTH
from fcntools.inspector.figure import ALT, draw, pixel_at
from fcntools.inspector.score_map_cache import Readings, open_picture
from fcntools.inspector.what_if import View, landmark

HEADLESS = "FCNLIB_HEADLESS"  # environment variable: set by the runner, no one is there to slide
_SIZE = {"layout": {"width": "240px"}, "style": {"description_width": "65px"}}  # four in a row
# A picture of ipywidgets hears no clicks: the place goes through a field that no one sees.
_CLICKS = """
window.fcnlibClicks ??= document.addEventListener("click", (event) => {
  const picture = event.target.closest?.(".fcnlib-picture");
  if (!picture) return;
  const frame = picture.getBoundingClientRect();
  const field = picture.closest(".fcnlib-inspector").querySelector(".fcnlib-click input");
  field.value = [(event.clientX - frame.left) / frame.width,
                 (event.clientY - frame.top) / frame.height];
  for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, {bubbles: true}));
}) ?? true;
"""


class SkipInspector:
    """Controls and the picture that follows them.

    A value set from code does the same as a hand on the slider: `what_if.weights[8].value = 0`.
    `network`, `image` and `shown` (the class) are drop-downs, `weights` sliders by stride, `row`
    and `column` the pixel's; `upload` takes a file, `reset` sets all weights to 1; `picture` is the
    PNG, `note` says how long it took or what went wrong, `box` holds it all; `click` is the place
    of a click in the picture, "across,down" in shares.
    """

    def __init__(self, readings: Readings, network: str = "", image: str = ""):
        """Build the controls and draw the first picture.

        Args:
            readings: what there is to choose from.
            network: to begin with; the finest where empty.
            image: to begin with; the first where empty.
        """
        self._readings, self._held = readings, False
        # JupyterLab calls back from a thread of its own, also while a cell runs.
        self._lock = threading.RLock()
        networks, images = list(readings.networks), list(readings.images)
        classes = [(name, i) for i, name in enumerate(readings.labels.classes)]
        self.network = _choice("network", networks, network or networks[-1])
        self.image = _choice("image", images, image or images[0])
        self.shown = _choice("class", classes, 0)
        self.weights = {s: _slider(f"stride {s}", 1.0, max=2.0, step=0.05) for s in SKIPS}
        self.row, self.column = _slider("row", 0), _slider("column", 0)
        self.reset = ipywidgets.Button(description="all weights 1", layout={"width": "130px"})
        self.upload = ipywidgets.FileUpload(accept="image/*", description="your own")
        self.picture = ipywidgets.Image(width=str(WIDTH), layout={"max_width": "100%"})
        self.note = ipywidgets.HTML()
        self.click = ipywidgets.Text(layout={"display": "none"})
        rows = (
            (self.network, self.image, self.shown, self.upload),
            tuple(self.weights.values()),
            (self.row, self.column, self.reset, self.note),
        )
        lines = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        self.box = ipywidgets.VBox([*lines, self.picture, self.click])
        for part in ("box", "picture", "click"):
            name = "inspector" if part == "box" else part
            getattr(self, part).add_class(f"fcnlib-{name}")
        for control in (self.network, self.image):
            control.observe(self._choose, "value")
        for control in (self.shown, self.row, self.column, *self.weights.values()):
            control.observe(self._draw, "value")
        self.upload.observe(self._take, "value")
        self.click.observe(self._point, "value")
        self.reset.on_click(self._all_one)
        self._choose()

    @property
    def view(self) -> View:
        """What the picture shows, for the pure functions of `inspector` and `inspector_panel`."""
        reading = self._readings.read(self.network.value, self.image.value)
        weights = {s: self.weights[s].value for s in reading.strides}
        # Another thread may have changed the image and not yet the limits of the sliders.
        last = (side - 1 for side in reading.image.shape[:2])
        place = map(min, (self.row.value, self.column.value), last)
        return View(reading, self._readings.labels, self.shown.value, weights, *place)

    def show(self) -> None:
        """Display the inspector; in a headless run the picture alone, which needs no kernel."""
        if os.environ.get(HEADLESS):
            display(Image(data=draw(self.view, compact=True), width=WIDTH, alt=ALT))
        else:
            display(self.box, Javascript(_CLICKS))

    @contextlib.contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change controls without a drawing for each; an InputError becomes the note."""
        with self._lock:
            self._held = True
            try:
                yield
            except InputError as error:
                self.note.value = f"<b>{html.escape(str(error))}</b>"
            finally:
                self._held = False

    def _free(self) -> bool:
        """Wait for what another thread does; False for a change that `_quietly` makes itself."""
        with self._lock:
            return not self._held

    def _choose(self, change: Any = None) -> None:
        if not self._free():
            return
        with self._quietly():
            reading = self._readings.read(self.network.value, self.image.value)
            for stride, slider in self.weights.items():
                slider.layout.display = None if stride in reading.strides else "none"
            self.row.max, self.column.max = (side - 1 for side in reading.image.shape[:2])
            if change is None or change["owner"] is self.image:
                self.shown.value, self.row.value, self.column.value = landmark(reading)
        self._draw()

    def _draw(self, _change: Any = None) -> None:
        if not self._free():
            return
        with self._quietly():
            began = time.perf_counter()
            self.picture.value = draw(self.view)
            self.note.value = f"drawn in {1000 * (time.perf_counter() - began):.0f} ms"

    def _take(self, change: Any) -> None:
        for file in change["new"]:
            taken = False
            with self._quietly():
                picture = open_picture(bytes(file["content"]), file["name"])
                self._readings.add(file["name"], picture)
                self.image.options = list(self._readings.images)
                self.image.value, taken = file["name"], True
            if taken:  # else the note says why not
                self._choose()

    def _point(self, change: Any) -> None:
        place = pixel_at(self.view.reading, *map(float, change["new"].split(",")))
        if place:
            with self._quietly():
                self.row.value, self.column.value = place
            self._draw()

    def _all_one(self, _button: Any) -> None:
        with self._quietly():
            for slider in self.weights.values():
                slider.value = 1.0
        self._draw()


def _choice(name: str, options: list, value: Any) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(description=name, options=options, value=value, **_SIZE)


def _slider(name: str, value: float, **limits: float) -> ipywidgets.FloatSlider:
    kind = ipywidgets.FloatSlider if limits else ipywidgets.IntSlider
    return kind(value, description=name, **limits, **_SIZE)
