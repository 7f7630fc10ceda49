"""Import TensorFlow and tf-slim from here: `from fcnlib.runtime.compat import slim, tf`.

tf-slim 1.1.0 (2020) asks for `tensorflow.python.framework.ops.Tensor`, which newer releases
removed, and warns at every layer that the v1 layer API is old.

Source: https://github.com/google-research/tf-slim (README, issues 18 and 24).
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import types
import warnings
from collections.abc import Iterator

from fcnlib.runtime.environment import nvidia_driver


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Drop what TensorFlow logs while it loads, before it heeds the log level; errors stay.

    The filter is a process of its own, so that the last words of a crash come through.
    """
    noise = "^WARNING: All log messages before absl|^[IW][0-9]{4} "
    noise += "" if nvidia_driver() else "|failed call to cuInit"
    kept, command = os.dup(2), ["grep", "-aEv", noise]
    # A session of its own: Ctrl-C is not for it.
    how = {"stdin": subprocess.PIPE, "stdout": kept, "start_new_session": True}
    with subprocess.Popen(command, **how) as reader:
        os.dup2(reader.stdin.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


_verbose = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1")
with contextlib.nullcontext() if _verbose or not shutil.which("grep") else _filtered_stderr():
    import tensorflow as tf
    from tensorflow.python.framework import ops as _ops

    for _gpu in tf.config.list_physical_devices("GPU"):
        # One process never needs the whole GPU, and a second open notebook would starve.
        tf.config.experimental.set_memory_growth(_gpu, True)

_ops.Tensor = tf.Tensor
warnings.filterwarnings("ignore", message=r".*`layer\.(apply|updates)`.*", category=UserWarning)

# TensorFlow counts by the name in the source: every network's own function looks like a retrace.
logging.getLogger("tensorflow").addFilter(lambda r: "triggered tf.function retracing" not in r.msg)

import tf_slim as slim  # noqa: E402  (needs the lines above)
from tf_slim.ops import variables as _slim_variables  # noqa: E402


def _device(name):
    """Open a device scope only for a device that is named.

    tf-slim opens `tf.device("")` around every variable. In eager mode TensorFlow reads that as the
    CPU: on a GPU the weights would lie apart from the optimizer's moments.
    """
    return _ops.device(name) if name else contextlib.nullcontext()


_slim_variables.ops = types.SimpleNamespace(**{**vars(_ops), "device": _device})

__all__ = ["device_name", "slim", "tf"]


def device_name() -> str:
    """Return "GPU: NAME" for the first GPU that TensorFlow sees, else "CPU"."""
    for gpu in tf.config.list_physical_devices("GPU"):
        return f"GPU: {tf.config.experimental.get_device_details(gpu).get('device_name')}"
    return "CPU"
