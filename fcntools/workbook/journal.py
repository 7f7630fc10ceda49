"""What a kernel writes into the folder of its run, kept line by line in a file beside it.

Two notebooks may run at once, so a new file alone does not tell whose it is. Python itself says so:
its audit events name every file that a process opens to write or moves into place.

What native code (h5py, SQLite) and processes of its own write is not seen: that stays when the
notebook is run anew.

Source: https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import os
import sys
from typing import Any

from fcnlib.runtime.files import OURS

VARIABLE = "FCNLIB_JOURNAL"
START = (
    "__import__('importlib').import_module('fcntools.workbook.journal')"
    f".keep(__import__('os').environ['{VARIABLE}'])"
)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def keep(journal: str) -> None:
    """Write down from now on which files of the run folder this process makes or changes.

    Args:
        journal: the file to add to, in a folder of the run folder; a path relative to the run
            folder is a line. It goes on after a kill, so a path may stand there twice.
    """
    out = os.path.dirname(os.path.dirname(journal)) + os.sep
    own = os.path.dirname(journal) + os.sep
    lines = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    seen: set[str] = set()

    def note(path: Any) -> None:
        if not isinstance(path, str | bytes | os.PathLike):  # a file that is open already
            return
        whole = os.path.abspath(os.fsdecode(path))
        mine = whole.startswith(own) or f"{os.sep}{OURS}" in whole  # what is half-made is not there
        if whole.startswith(out) and not mine and whole not in seen:
            seen.add(whole)
            os.write(lines, os.fsencode(whole.removeprefix(out)) + b"\n")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            note(arguments[0])
        elif event in ("os.rename", "os.link", "os.symlink"):
            note(arguments[1])

    sys.addaudithook(hook)
