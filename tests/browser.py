"""Drive Debian's Chromium over its DevTools protocol: just what the tests of pages need."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

import websocket

SECONDS = 240  # for anything a page should come to, on a busy machine
_SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--remote-debugging-port=0", "--remote-allow-origins=*"),
    *("--disable-background-networking", "--hide-scrollbars", "--mute-audio"),
)
_KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "Tab": 9}
_SHIFT = 8  # the protocol's bit


class Browser:
    """A headless Chromium with one page; a context manager."""

    def __init__(self, profile: Path):
        """Start it; `profile` is an empty folder for what it keeps."""
        program = shutil.which("chromium")
        if program is None:
            raise RuntimeError("no chromium; install Debian's package of that name")
        self._process = subprocess.Popen(
            [program, *_SWITCHES, f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._number, self.complaints = 0, []
        try:
            port = self._port(profile / "DevToolsActivePort")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
                pages = [p for p in json.load(answer) if p["type"] == "page"]
            self._line = websocket.create_connection(
                pages[0]["webSocketDebuggerUrl"], timeout=SECONDS, suppress_origin=True
            )
            for domain in ("Page", "Runtime", "Network"):
                self.call(f"{domain}.enable")
            # JupyterLab takes no notebook for the current one in a window without the focus.
            self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        except BaseException:
            self._process.kill()
            raise

    def _port(self, path: Path) -> int:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if path.is_file() and (text := path.read_text()):
                return int(text.split()[0])
            assert self._process.poll() is None, "chromium ended at once"
            time.sleep(0.05)
        raise TimeoutError("chromium opened no port")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.terminate()
        self._process.wait(30)

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        """Call a method of the protocol; what pages throw meanwhile goes to `complaints`."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": values}))
        while True:
            said = json.loads(self._line.recv())
            if said.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(said["params"]["exceptionDetails"])
            elif said.get("method") == "Network.requestWillBeSent":
                self.complaints.append(said["params"]["request"]["url"][:80])
            if said.get("id") == self._number:
                assert "error" not in said, f"{method}: {said['error']}"
                return said["result"]

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """Give the page a size in CSS pixels; a phone has two pixels to one, and a finger."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, script: str) -> Any:
        """Return what a JavaScript expression gives; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, f"{script}: {found['exceptionDetails']}"
        return found["result"].get("value")

    def wait_for(self, script: str, seconds: float = SECONDS) -> Any:
        """Return an expression's value as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.value(script):
                return found
            time.sleep(0.1)
        raise AssertionError(f"not true within {seconds} s: {script}")

    def middle(self, selector: str, across: float = 0.5, down: float = 0.5) -> tuple[float, float]:
        """Scroll to an element and return a place in it, from the top left of the window."""
        script = (
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]; })()"
        )
        x, y, width, height = self.value(script)
        return x + across * width, y + down * height

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Click an element at a place given as shares of its width and height.

        The pointer comes first: a menu of JupyterLab takes no click that it did not see coming.
        """
        x, y = self.middle(selector, across, down)
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def press(self, key: str, times: int = 1, shift: bool = False) -> None:
        """Press a key in whatever has the focus."""
        values = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        for _ in range(times):
            for kind in ("keyDown", "keyUp"):
                self.call("Input.dispatchKeyEvent", type=kind, modifiers=_SHIFT * shift, **values)

    def picture(self, path: Path) -> None:
        """Save what the window shows."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))
