"""The pictures in results/inspector, of a run: `python tests/screenshots.py results/runs/quick`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from browser import Browser
from lab import IDLE, ROOT, jupyter_lab, run_all
from PIL import Image

PLACE = ROOT / "results" / "inspector"
COLOURS = 192  # of a picture; as a palette PNG it is a third as large, and looks the same


def save(browser: Browser, name: str) -> None:
    path = PLACE / f"{name}.png"
    browser.picture(path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {small.size}, {path.stat().st_size // 1024} kB")


def page(browser: Browser, run: Path) -> None:
    for name, size in (("page-desktop", (1280, 1000)), ("page-phone", (390, 844))):
        browser.resize(*size, phone=name == "page-phone")
        browser.open((run / "inspector.html").as_uri())
        browser.wait_for("document.querySelector('[data-drawn]') !== null")
        save(browser, name)


def report(browser: Browser, run: Path) -> None:
    browser.resize(1280, 1500)
    browser.open((run / "index.html").as_uri())
    save(browser, "report")


def notebook(browser: Browser, run: Path) -> None:
    values = {"profile": "quick", "overrides": {}, "out": str(run)}
    values |= {"image": 1, "images": 3, "moves": 2}
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyter_lab(Path(folder), "06_skip_inspector", values) as address,
    ):
        browser.resize(1500, 1150)
        browser.open(address)
        browser.wait_for("document.querySelectorAll('.jp-Notebook .jp-Cell').length > 3")
        run_all(browser)
        browser.wait_for(IDLE)
        browser.click("[name=weight-32]")  # in its middle, where the weight is 1
        browser.press("ArrowLeft", times=8)
        browser.wait_for("document.querySelector('.slider output').textContent === '0.60'")
        browser.middle(".fcnlib-inspector")
        save(browser, "jupyterlab")


def main() -> None:
    run = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as profile, Browser(Path(profile)) as browser:
        for shoot in (page, report, notebook):
            shoot(browser, run)


if __name__ == "__main__":
    main()
