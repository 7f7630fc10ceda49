"""The one exception that stands for a user's mistake."""

from __future__ import annotations

import importlib
from types import ModuleType


class InputError(ValueError):
    """Report a mistake in what the user gave: a setting, a file, a folder.

    The message is one line; it names the key or file and the value found, and says what to do.
    The command line prints it without a traceback and exits with status 2.
    """

    def __str__(self) -> str:
        """Return the message; a line break in the name of a file shows as an escape."""
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in super().__str__())


def require_package(name: str) -> ModuleType:
    """Import and return a package that only exports and other engines need.

    Raises:
        InputError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{error}; for exports and other engines: pip install {name}") from None
