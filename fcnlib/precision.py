"""Which numbers a network computes in: float32, or 16 bits where the device is faster with them.

Variables, batch-norm statistics, scores, loss and optimizer stay in float32 always; what is cast
are images and kernels on their way into a convolution, and so every feature between.

Source: Micikevicius et al., Mixed Precision Training, 2018, https://arxiv.org/abs/1710.03740.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from fcnlib.runtime.compat import device_name, gpu_libraries, tf
from fcnlib.runtime.run_record import machine

_FAST_BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # instructions that multiply it
_AMPERE, _VOLTA = (8, 0), (7, 0)  # compute capability of the first GPUs that do


def compute_dtype(precision: str) -> tf.DType:
    """Return the type that convolutions compute in.

    Args:
        precision: "float32", "bfloat16", "float16", or "auto" for the best that the first GPU, or
            else the CPU, multiplies fast.

    Returns:
        One of the three types.
    """
    if precision != "auto":
        return tf.as_dtype(precision)
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return _choice(None, machine()["cpu_flags"])
    details = tf.config.experimental.get_device_details(gpus[0])
    return _choice(details.get("compute_capability", (0, 0)), ())


def describe(precision: str) -> dict[str, str | None]:
    """Say what computes and in which type, for a run record.

    Args:
        precision: as of `compute_dtype`.

    Returns:
        {"device": "CPU" or "GPU: NAME", "computed_in": such as "bfloat16"} and, on a GPU, the
        versions of `compat.gpu_libraries`.
    """
    dtype = compute_dtype(precision).name
    return {"device": device_name(), "computed_in": dtype} | gpu_libraries()


def _choice(capability: Sequence[int] | None, flags: Collection[str]) -> tf.DType:
    if capability is None:
        return tf.bfloat16 if _FAST_BFLOAT16 & set(flags) else tf.float32
    if tuple(capability) >= _AMPERE:
        return tf.bfloat16
    return tf.float16 if tuple(capability) >= _VOLTA else tf.float32


def float32_variables(getter, *arguments, **options) -> tf.Tensor:
    """Keep variables that a 16-bit layer asks for in float32, and give it a cast of them.

    A custom getter for `tf.compat.v1.variable_scope`; the gradient passes through the cast.

    Args:
        getter: makes or finds the variable.
        *arguments: of the getter.
        **options: of the getter; `dtype` is what the layer wants.

    Returns:
        The variable, or its value in the wanted type.
    """
    wanted = tf.as_dtype(options.get("dtype") or tf.float32)
    if wanted.size >= tf.float32.size:
        return getter(*arguments, **options)
    return tf.cast(getter(*arguments, **{**options, "dtype": tf.float32}), wanted)
