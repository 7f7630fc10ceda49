"""Several processes that train one network together, each on a device of its own.

Outside `joined` a process is alone. Inside, these functions reach the others through the
collectives of MultiWorkerMirroredStrategy. Every process owns its variables: they start as those of
rank 0 and take the same summed gradients, so they stay equal. All processes must call the same
collectives in the same order.

Source: https://www.tensorflow.org/api_docs/python/tf/distribute/MultiWorkerMirroredStrategy
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from fcnlib.errors import InputError
from fcnlib.runtime import progress
from fcnlib.runtime.compat import tf
from fcnlib.runtime.environment import LAUNCHED, TF_CONFIG

_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
_LOST += (tf.errors.InternalError, tf.errors.DeadlineExceededError)
_GRACE = 10.0  # seconds in which the launcher, which knows who died, stops its processes


class _Group:
    """The processes that work together; TensorFlow has one cluster a process."""

    strategy: tf.distribute.Strategy | None = None
    rank, size = 0, 1


def rank() -> int:
    """Return the number of this process among those that work together, from 0."""
    return _Group.rank


def size() -> int:
    """Return how many processes work together; 1 outside `joined`."""
    return _Group.size


def cluster() -> tuple[tuple[str, ...], int] | None:
    """Read from TF_CONFIG which processes work together.

    Returns:
        (host:port of each, the number of this one); None where there is one at most.

    Raises:
        InputError: the variable does not make sense.
    """
    if TF_CONFIG not in os.environ:
        return None
    try:
        told = json.loads(os.environ[TF_CONFIG])
        ((_, nodes),) = told["cluster"].items()  # workers alone
        number = told["task"]["index"]
        nodes[number]  # is there
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise InputError(f"{TF_CONFIG} in the environment describes no cluster: {error}") from None
    return (tuple(nodes), number) if len(nodes) > 1 else None


@contextlib.contextmanager
def joined(workers: int, batch_size: int) -> Iterator[None]:
    """Work with the other processes of the environment's cluster; alone where it names none.

    Args:
        workers: how many the user asked for; 1 for whatever the environment says.
        batch_size: images in a step, of all processes together.

    Raises:
        InputError: the cluster does not fit its environment, or a process was lost.
    """
    nodes, number = cluster() or ((), 0)
    if workers not in (1, len(nodes)):
        raise InputError(f"--workers {workers}, but the environment names {len(nodes)}; leave it")
    if not nodes:
        yield
        return
    if batch_size % len(nodes):
        raise InputError(f"batch_size = {batch_size} is no multiple of {len(nodes)} workers")
    _choose_gpu([node.rpartition(":")[0] for node in nodes], number)
    if LAUNCHED in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    if number:
        progress.mute()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 saves and ends, and so all do
    tf.get_logger().setLevel("ERROR")  # or it warns that a sum outside a function is slow
    try:
        _Group.strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise InputError(f"{nodes[number]}: {error.message}; is the port in use?") from None
    _Group.rank, _Group.size = number, len(nodes)
    try:
        yield
    except _LOST as error:
        if LAUNCHED in os.environ:
            time.sleep(_GRACE)
        reason = error.message.partition("aborted by: ")[2] or error.message
        reason = " ".join(reason.split())[:120]
        raise InputError(f"a worker was lost ({reason}); --resume goes on") from None


def _choose_gpu(hosts: list[str], number: int) -> None:
    """Keep the GPU whose number is that of this process on its machine."""
    gpus = tf.config.list_physical_devices("GPU")
    here = [i for i, host in enumerate(hosts) if host == hosts[number]]
    if not gpus or (len(gpus) == 1 and "SLURM_JOB_ID" in os.environ):  # each task sees its own
        return
    if len(here) > len(gpus):
        raise InputError(f"{len(here)} workers on a machine of {len(gpus)} GPUs; one has one each")
    tf.config.set_visible_devices(gpus[here.index(number)], "GPU")


def _end_with_launcher() -> None:
    os.read(int(os.environ[LAUNCHED]), 1)  # until it closes its end, however it died
    os._exit(1)


def all_reduce_sum(tensors: Any) -> Any:
    """Add up a tensor, or a list, over all processes; every one gets the same bits."""
    if _Group.strategy is None:
        return tensors

    def total(values):
        placed = tf.nest.map_structure(tf.identity, values)  # a sum goes to where its parts are
        return tf.distribute.get_replica_context().all_reduce("SUM", placed)

    return _Group.strategy.run(total, (tensors,))


def broadcast(values: list[Any]) -> list[Any]:
    """Return the values of rank 0; the others give values of the same shapes and types."""
    arrays = [np.asarray(value) for value in values]  # numbers are int64, which a GPU adds up
    return all_reduce_sum(arrays if rank() == 0 else [np.zeros_like(array) for array in arrays])
