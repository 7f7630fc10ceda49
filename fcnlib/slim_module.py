"""A function of slim layers as an object that owns its variables, and whose they are by name."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fcnlib.blocks import BACKBONES, Backbone
from fcnlib.compat import tf


class SlimModule(tf.Module):
    """A function of slim layers that owns its variables and can be called again.

    Wraps `tf.compat.v1.make_template`, which prefixes every variable ("net/", "net_1/"); names
    here are without the prefix, as in a checkpoint.
    """

    def __init__(self, build: Callable[..., object]):
        """Wrap a function that builds slim layers; nothing is created before the first call."""
        super().__init__()
        owner = threading.get_ident()

        def guarded(*arguments):
            # A template finds its variables through the thread it was made in; in another it would
            # make new ones and answer with those, without an error.
            if threading.get_ident() != owner:
                raise RuntimeError("a network answers only in the thread that built it")
            return build(*arguments)

        # The scope is made now, eagerly: one made while a tf.function is traced would take later
        # eager calls into that function's graph.
        self._template = tf.compat.v1.make_template("net", guarded, create_scope_now_=True)

    def named_variables(self) -> dict[str, tf.Variable]:
        """Return all variables, moving averages included, by their checkpoint name."""
        variables = self._template.variables
        return {v.name.split("/", 1)[1].split(":")[0]: v for v in variables}

    def trainable(self, *, backbone: bool, head: bool) -> dict[str, tf.Variable]:
        """Return the variables to train, by name.

        Args:
            backbone: take those of the backbone, its classifier left out.
            head: take all others; every trainable variable is in exactly one of the two groups.

        Returns:
            {name: variable} in the order of creation.
        """
        wanted = {True: backbone, False: head}
        everything = self.named_variables()
        ids = {id(v) for v in self._template.trainable_variables}
        return {n: v for n, v in everything.items() if id(v) in ids and wanted[is_backbone(n)]}


def is_backbone(name: str) -> bool:
    """Return whether a variable of this name belongs to a backbone rather than to a head."""
    return any(
        name.startswith(f"{made.scope}/") and not name.startswith(classifier_scopes(made))
        for made in BACKBONES.values()
    )


def classifier_scopes(made: Backbone) -> tuple[str, ...]:
    """Return the name prefixes of a backbone's classifier layers, which no FCN has."""
    return made.logits, f"{made.scope}/AuxLogits"
