"""The few lines that make tf-slim 1.1.0 run on the TensorFlow in use, and nothing else.

Import TensorFlow and slim from here: `from fcnlib.compat import slim, tf`. tf-slim 1.1.0 (2020)
asks for `tensorflow.python.framework.ops.Tensor`, which newer releases removed, and warns at every
layer that the v1 layer API is old. Both are settled here, before slim is imported.

Source: https://github.com/google-research/tf-slim (README, issues 18 and 24).
"""

from __future__ import annotations

import logging
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
from tensorflow.python.framework import ops as _ops

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

import tf_slim as slim  # noqa: E402  (needs the line above)

__all__ = ["TESTED_TENSORFLOW", "slim", "tf"]

# One process of ours never needs the whole GPU, and a second open notebook would starve.
for _gpu in tf.config.list_physical_devices("GPU"):
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
