"""The skip inspector in a notebook: the JavaScript of inspector.js, fed by a running kernel."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

import anywidget
from IPython.display import Image, display
from traitlets import Dict, Float, Int, List, Unicode

from fcnlib.errors import InputError
from fcnlib.network import SKIPS
from fcntools.inspector.figure import ALT, figure
from fcntools.inspector.page import FOLDER, describe_labels, describe_maps
from fcntools.inspector.score_map_cache import ScoreMapCache
from fcntools.inspector.what_if import View

HEADLESS = "FCNLIB_HEADLESS"  # environment variable: set by the runner, no one is there to slide


class SkipInspector(anywidget.AnyWidget):
    """Sliders and pictures in a cell, and the values behind them.

    The browser adds up and draws; this side runs networks. Values are the same on both sides: a
    hand on a slider sets `weights`, and `weights` set from code moves the slider.
    """

    _esm = FOLDER / "inspector.js"
    _css = FOLDER / "inspector.css"

    setup = Dict().tag(sync=True)  # classes, colours, names of networks
    images = List(Unicode()).tag(sync=True)  # names
    network = Unicode().tag(sync=True)
    image = Unicode().tag(sync=True)
    maps = Dict().tag(sync=True)  # `describe_maps`, and "parts": float32 [h, w, C] of every stride
    note = Unicode().tag(sync=True)  # what is being done, or went wrong
    weights = List(Float(), [1.0] * len(SKIPS)).tag(sync=True)  # stride 32, 16, 8, 4
    shown = Int().tag(sync=True)  # class of the score maps
    row = Int().tag(sync=True)  # of the pixel taken apart
    column = Int().tag(sync=True)

    def __init__(self, cache: ScoreMapCache, network: str = "", image: str = ""):
        """Choose the first image and show what the network says of it.

        Args:
            cache: what there is to choose from.
            network: to begin with; the finest where empty.
            image: to begin with; the first where empty.
        """
        networks, images = list(cache.networks), list(cache.images)
        super().__init__(
            setup=describe_labels(cache.labels) | {"networks": networks},
            images=images,
            network=network or networks[-1],
            image=image or images[0],
        )
        self._cache = cache
        # JupyterLab calls back from a thread of its own, also while a cell runs.
        self._lock = threading.RLock()
        self.observe(self._choose, ["network", "image"])
        self.on_msg(self._open)
        self._choose()

    @property
    def view(self) -> View:
        """What the browser shows, for the functions of `what_if` and `figure`."""
        maps = self._cache.read(self.network, self.image)
        weights = dict(zip(maps.strides, self.weights, strict=False))
        # A click may arrive that was meant for a larger image.
        place = map(min, (self.row, self.column), (side - 1 for side in maps.image.shape[:2]))
        return View(maps, self._cache.labels, self.shown, weights, *place)

    def show(self) -> None:
        """Display the inspector; in a headless run a figure of it, which needs no kernel."""
        if not os.environ.get(HEADLESS):
            display(self)
            return
        data = io.BytesIO()
        figure(self.view, f"{self.network} on {self.image}").savefig(data, format="jpeg")
        display(Image(data=data.getvalue(), format="jpeg", alt=ALT))

    def _choose(self, change: Any = None) -> None:
        """Send the score maps of the chosen network and image; of a new one its landmark, too."""
        with self._lock:
            self.note = f"running {self.network} on {self.image} …"
            try:
                maps = self._cache.read(self.network, self.image)
            except InputError as error:
                self.note = str(error)
                return
            sent = describe_maps(self.image, maps)
            with self.hold_sync():
                if change is None or change["name"] == "image":
                    self.shown, self.row, self.column = sent["start"]
                self.maps = sent | {"parts": [part.tobytes() for part in maps.parts.values()]}
                self.note = ""

    def _open(self, _widget: Any, content: dict[str, str], buffers: list[Any]) -> None:
        """Take a file of the user's own from the browser."""
        name = content["name"]
        with self._lock:
            try:
                self._cache.add(name, bytes(buffers[0]))
            except InputError as error:
                self.note = str(error)
                return
            self.images = list(self._cache.images)
            if name == self.image:
                self._choose()  # another file of the same name
            self.image = name
