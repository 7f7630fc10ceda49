"""A function of slim layers as an object that owns its variables, and whose they are by name."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from fcnlib import checkpoints
from fcnlib.blocks import BACKBONES, Backbone
from fcnlib.errors import InputError
from fcnlib.runtime.compat import tf


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
        return {_without_prefix(v.name): v for v in self._template.variables}

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


@contextlib.contextmanager
def initialized_from(arrays: Mapping[str, np.ndarray], source: str) -> Iterator[None]:
    """Let the networks whose first call is in this block take their variables from arrays.

    A variable that the arrays lack is refused before it takes memory, so a small file that names a
    giant network is no danger.

    Args:
        arrays: {name: array}.
        source: what to call the arrays in an error.

    Raises:
        InputError: a variable is missing, of another shape or not finite.
    """

    def create(make: Callable[..., tf.Variable], **given: Any) -> tf.Variable:
        name = _without_prefix(given["name"])
        have = {name: arrays[name]} if name in arrays else {}
        checkpoints.account(have, {name: given["shape"]}, source=source)
        return make(**given | {"initial_value": tf.constant(arrays[name], given["dtype"])})

    try:
        with tf.variable_creator_scope(create):
            yield
    except InputError as error:  # to which a template adds where it was made
        raise InputError(str(error.args[0]).splitlines()[0]) from None


def _without_prefix(name: str) -> str:
    return name.split("/", 1)[1].split(":")[0]


def is_backbone(name: str) -> bool:
    """Return whether a variable of this name belongs to a backbone rather than to a head."""
    return any(
        name.startswith(f"{made.scope}/") and not name.startswith(classifier_scopes(made))
        for made in BACKBONES.values()
    )


def classifier_scopes(made: Backbone) -> tuple[str, ...]:
    """Return the name prefixes of a backbone's classifier layers, which no FCN has."""
    return made.logits, f"{made.scope}/AuxLogits"
