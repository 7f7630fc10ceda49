"""The one exception that stands for a user's mistake."""


class InputError(ValueError):
    """Report a mistake in what the user gave: a setting, a file, a folder.

    The message is one line; it names the key or file and the value found, and says what to do.
    The command line prints it without a traceback and exits with status 2.
    """
