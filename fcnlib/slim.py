"""tf-slim layers as `tf.Module`s, and the number type that their convolutions compute in.

Variables, batch-norm statistics, scores, loss and optimizer stay in float32 always; with bfloat16
only images and kernels are cast on their way into a convolution, and so every feature between.

Source: Micikevicius et al., Mixed Precision Training, 2018, https://arxiv.org/abs/1710.03740.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from fcnlib.blocks import BACKBONES, Backbone
from fcnlib.runtime.compat import tf

_FAST_BFLOAT16 = {"amx_bf16", "avx512_bf16"}  # CPU instructions that multiply it
_AMPERE = (8, 0)  # compute capability of the first GPUs fast in it


class SlimModule(tf.Module):
    """A function of tf-slim layers as a module that owns its variables.

    `tf.compat.v1.make_template` prefixes every variable ("net/", "net_1/"); names here are without
    the prefix, as in a checkpoint.
    """

    def __init__(self, build: Callable[..., object]):
        """Wrap a function that builds slim layers; its variables appear with the first call."""
        super().__init__()
        owner = threading.get_ident()

        def guarded(*arguments):
            # In another thread a template would silently create new variables.
            if threading.get_ident() != owner:
                raise RuntimeError("a network answers only in the thread that built it")
            return build(*arguments)

        # The scope is made now, eagerly: one made while a tf.function is traced would take later
        # eager calls into that function's graph.
        self._template = tf.compat.v1.make_template("net", guarded, create_scope_now_=True)

    def named_variables(self) -> dict[str, tf.Variable]:
        """Return all variables, moving averages included, by their checkpoint name."""
        return {v.name.split("/", 1)[1].split(":")[0]: v for v in self._template.variables}

    def trainable(self, *, backbone: bool, head: bool) -> dict[str, tf.Variable]:
        """Return {name: variable} of those to train: of the backbone, of all other layers, both."""
        wanted = {True: backbone, False: head}
        named = self.named_variables().items()
        return {n: v for n, v in named if v.trainable and wanted[is_backbone(n)]}


def is_backbone(name: str) -> bool:
    """Return whether a variable of this name belongs to a backbone rather than to a head."""
    return any(
        name.startswith(f"{spec.scope}/") and not name.startswith(classifier_scopes(spec))
        for spec in BACKBONES.values()
    )


def classifier_scopes(spec: Backbone) -> tuple[str, ...]:
    """Return the name prefixes of a backbone's classifier layers, which no FCN has."""
    return spec.logits, f"{spec.scope}/AuxLogits"


def compute_dtype(precision: str, cpu_flags: Collection[str] = ()) -> tf.DType:
    """Return the type that convolutions compute in: float32 or bfloat16.

    "auto" is bfloat16 where the first GPU, or else a CPU of these instruction sets, multiplies it
    fast.
    """
    if precision != "auto":
        return tf.as_dtype(precision)
    fast = bool(_FAST_BFLOAT16 & set(cpu_flags))
    if gpus := tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpus[0])
        fast = details.get("compute_capability", (0, 0)) >= _AMPERE
    return tf.bfloat16 if fast else tf.float32
