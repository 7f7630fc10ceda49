"""The kernel that the runner starts: this very Python, in the notebooks' folder, with a log."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager

from fcnlib.config import ROOT
from fcntools.workbook import journal

# TensorFlow reads its own two when it is loaded, so they must stand before the kernel starts.
_ENVIRONMENT = {
    "FCNLIB_HEADLESS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


def kernel_manager(
    folder: Path, log: Path, variables: dict[str, str], started: Callable[[int], None]
) -> type[AsyncKernelManager]:
    """Make the class of kernel managers that starts the kernel of a notebook.

    A kernel spec named `python3` in the user's home may belong to another environment, so no spec
    is looked up: the kernel is this interpreter. What a dying kernel writes to its standard error
    is nowhere in the notebook; it goes to `log`.

    Args:
        folder: the kernel's working folder, the one that JupyterLab would use.
        log: a file for the kernel's own output; it is overwritten.
        variables: of the kernel's environment, besides those of every kernel; among them the
            journal of what it writes.
        started: is told the kernel's process id.

    Returns:
        A class for nbclient's `kernel_manager_class`.
    """
    # Chatter below errors, such as that TCP on this machine is not encrypted, is left out.
    more = ["--log-level=ERROR", f"--IPKernelApp.exec_lines={journal.START}"]
    spec = KernelSpec(**get_kernel_dict(extra_arguments=more))
    log.parent.mkdir(parents=True, exist_ok=True)

    class _Manager(AsyncKernelManager):
        shutdown_wait_time = 2.0  # seconds; a kernel stopped amid a training does not answer

        @property
        def kernel_spec(self) -> KernelSpec:
            return spec

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:
            options["cwd"] = str(folder)
            options["env"] = _environment(options.get("env") or os.environ) | variables
            with open(log, "wb") as stream:
                options["stdout"] = options["stderr"] = stream
                await super()._async_launch_kernel(kernel_cmd, **options)
            started(self.provisioner.pid)

        _launch_kernel = _async_launch_kernel

    return _Manager


def _environment(inherited: Any) -> dict[str, str]:
    # The notebooks import the fcnlib that runs them, installed or not.
    path = os.pathsep.join(p for p in (str(ROOT), inherited.get("PYTHONPATH")) if p)
    return {**inherited, **_ENVIRONMENT, "PYTHONPATH": path}
