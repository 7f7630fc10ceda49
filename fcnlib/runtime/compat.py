"""The few lines that make tf-slim 1.1.0 run on the TensorFlow in use, and nothing else.

Import TensorFlow and slim from here: `from fcnlib.runtime.compat import slim, tf`. tf-slim 1.1.0
(2020) asks for `tensorflow.python.framework.ops.Tensor`, which newer releases removed, and warns at
every layer that the v1 layer API is old. Both are settled here, before slim is imported.

Source: https://github.com/google-research/tf-slim (README, issues 18 and 24).
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import re
import shutil
import subprocess
import types
import warnings
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def _sieved() -> Iterator[None]:
    """Leave out what TensorFlow says while it loads, when it does not heed the log level yet.

    Its errors stay, but for the one that a machine without a GPU always gets. The reader is a
    process of its own, so that a crash's last words come through.
    """
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")
    noise = "^WARNING: All log messages before absl|^[IW][0-9]{4} "
    if not driver or os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        noise += "|failed call to cuInit"
    command, alone = ["grep", "-aEv", noise], {"start_new_session": True}  # Ctrl-C is not for it
    try:
        kept = os.dup(2)
        reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=kept, **alone)
    except OSError:  # there is no standard error, or no grep
        yield
        return
    os.dup2(reader.stdin.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        reader.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child may hold the other end
            reader.wait(10)


_heard = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2") in ("0", "1")
with contextlib.nullcontext() if _heard else _sieved():
    import tensorflow as tf
    from tensorflow.python.framework import ops as _ops

    _gpus = tf.config.list_physical_devices("GPU")

TESTED_TENSORFLOW = "2.21"

if not hasattr(_ops, "Tensor"):
    _ops.Tensor = tf.Tensor

if tf.__version__.rsplit(".", 1)[0] != TESTED_TENSORFLOW:
    warnings.warn(
        f"TensorFlow {tf.__version__}: tf-slim leans on layers inside TensorFlow that were tested "
        f"with {TESTED_TENSORFLOW} only; install requirements.lock, or run the tests first",
        stacklevel=2,
    )

warnings.filterwarnings("ignore", message=r".*`layer\.(apply|updates)`.*", category=UserWarning)

# TensorFlow counts by the name in the source: every network's own function looks like a retrace.
logging.getLogger("tensorflow").addFilter(lambda r: "triggered tf.function retracing" not in r.msg)

import tf_slim as slim  # noqa: E402  (needs the lines above)
from tf_slim.ops import variables as _slim_variables  # noqa: E402


def _device(name):
    """Open a device scope only for a device that is named.

    tf-slim opens `tf.device("")` around every variable. In eager mode TensorFlow reads that as its
    first device, the CPU: on a GPU the weights would lie apart from the optimizer's moments and no
    step could be placed.
    """
    return _ops.device(name) if name else contextlib.nullcontext()


_slim_variables.ops = types.SimpleNamespace(**{**vars(_ops), "device": _device})

__all__ = ["TESTED_TENSORFLOW", "slim", "tf"]

# One process of ours never needs the whole GPU, and a second open notebook would starve.
for _gpu in _gpus:
    tf.config.experimental.set_memory_growth(_gpu, True)


def device_name() -> str:
    """Return the name of the device that TensorFlow computes on, for logs and run records.

    Returns:
        "GPU: NAME" for the first GPU TensorFlow sees, else "CPU".
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "CPU"
    return (
        f"GPU: {tf.config.experimental.get_device_details(gpus[0]).get('device_name', 'unnamed')}"
    )


def gpu_libraries() -> dict[str, str | None]:
    """Return the versions of what computes on a GPU: driver, CUDA and cuDNN as they are loaded.

    Returns:
        {"driver": "580.65.06", "cuda": "12.9", "cudnn": "9.19.0"}, None for what does not tell;
        {} where TensorFlow sees no GPU.
    """
    if not tf.config.list_physical_devices("GPU"):
        return {}
    built = tf.sysconfig.get_build_info()
    runtime = ctypes.c_int()
    cudart = _library(f"libcudart.so.{str(built.get('cuda_version', '12')).split('.')[0]}")
    found = cudart is not None and cudart.cudaRuntimeGetVersion(ctypes.byref(runtime)) == 0
    cudnn = _library(f"libcudnn.so.{str(built.get('cudnn_version', '9')).split('.')[0]}")
    number = cudnn.cudnnGetVersion() if cudnn is not None else 0
    # 12090 is CUDA 12.9; 91900 is cuDNN 9.19.0, which numbered 8.9.7 as 8907.
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
    return {
        "driver": _driver(),
        "cuda": f"{runtime.value // 1000}.{runtime.value % 1000 // 10}" if found else None,
        "cudnn": f"{major}.{rest // 100}.{rest % 100}" if number else None,
    }


def _library(name: str) -> ctypes.CDLL | None:
    """Return a shared library, the one that TensorFlow has loaded by this name if it has."""
    try:
        return ctypes.CDLL(name)
    except OSError:
        return None


def _driver() -> str | None:
    try:
        text = Path("/proc/driver/nvidia/version").read_text(encoding="utf-8")
    except OSError:
        return None
    number = re.search(r"\b\d{3,}\.\d[\d.]*", text)
    return number[0] if number else None
