"""JupyterLab as a server with one notebook, and how a browser runs it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from browser import SECONDS, Browser

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {  # by default a cell out of sight is no part of the page, and Lab asks for news
    "notebook-extension/tracker.jupyterlab-settings": '{"windowingMode": "none"}',
    "apputils-extension/notification.jupyterlab-settings": '{"fetchNews": "false"}',
}
IDLE = "document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status === 'idle'"
RESTS = 20  # looks, half a second apart, at a kernel that does nothing


@contextlib.contextmanager
def jupyter_lab(folder: Path, notebook: str, values: dict[str, Any]) -> Iterator[str]:
    """Serve a notebook of ours with other parameters from an empty folder; yield its address."""
    node = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", as_version=4)
    parameters = next(c for c in node.cells if "parameters" in c.metadata.get("tags", []))
    parameters.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    nbformat.write(node, folder / f"{notebook}.ipynb")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(8)
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={folder}", "--ServerApp.ip=127.0.0.1"]
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTERLAB_SETTINGS_DIR")
    home = {name: str(folder / name) for name in names}
    for place, value in SETTINGS.items():
        path = folder / "JUPYTERLAB_SETTINGS_DIR" / "@jupyterlab" / place
        path.parent.mkdir(parents=True)
        path.write_text(value)
    env = {k: v for k, v in os.environ.items() if k != "FCNLIB_HEADLESS"} | home
    env |= {"PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    with open(folder / "log.txt", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for_server(f"{address}/api?token={token}", process, folder / "log.txt")
        yield f"{address}/lab/tree/{notebook}.ipynb?token={token}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for_server(address: str, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise TimeoutError(log.read_text())


def run_all(browser: Browser) -> None:
    """Run every cell; again if the kernel rests, for what is sent while it connects is lost."""
    # JupyterLab shows errors as it shows what is printed to stderr.
    printed = "[...document.querySelectorAll('[data-mime-type$=stderr]')].map(e => e.textContent)"
    error = f"({printed}.find(t => t.includes('Traceback')) ?? '')"
    # Every code cell has its number: all have run.
    prompts = "[...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]"
    done = f"({prompts}.length > 15 && {prompts}.every(e => /\\d/.test(e.textContent)))"
    item = "[data-command='runmenu:run-all']"
    end, rested = time.monotonic() + 4 * SECONDS, RESTS
    while not browser.value(f"{done} || {error} !== ''"):
        assert time.monotonic() < end, "the notebook did not finish"
        rested = rested + 1 if browser.value(IDLE) else 0
        if rested > RESTS:
            # A click on the name of an open menu would close it.
            is_open = browser.value(f'document.querySelector("{item}") !== null')
            browser.click(item if is_open else ".lm-MenuBar-item:nth-child(4)")  # Run
            rested = 0 if is_open else rested
        time.sleep(0.5)
    failed = browser.value(error)
    assert not failed, failed
