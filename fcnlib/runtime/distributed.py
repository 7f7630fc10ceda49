"""Several processes that train one network together, each on a device of its own.

A process is alone until `joined`; from then on these functions reach the others through the
collectives of MultiWorkerMirroredStrategy. The variables are each process's own: they start as the
first one's and take the same summed gradients, so they stay alike. Whatever is summed must be
summed by all, in the same order.

Source: https://www.tensorflow.org/api_docs/python/tf/distribute/MultiWorkerMirroredStrategy
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np

from fcnlib.errors import InputError
from fcnlib.runtime import progress
from fcnlib.runtime.compat import tf
from fcnlib.runtime.environment import LAUNCHED, SLURM_TASKS, TF_CONFIG, scheduled

_resolvers = tf.distribute.cluster_resolver
_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError)
_LOST += (tf.errors.InternalError, tf.errors.DeadlineExceededError)
_PORTS = (12000, 20000)  # of Slurm jobs: the first, and how many
_GRACE = 10.0  # seconds in which the launcher, which knows who died, stops its processes
_Tensors = TypeVar("_Tensors")


class _Team:
    """The processes that this one works with, one team a process as TensorFlow has one cluster."""

    strategy: tf.distribute.Strategy | None = None
    rank, size = 0, 1


def rank() -> int:
    """Return the number of this process among those that work together, from 0."""
    return _Team.rank


def size() -> int:
    """Return how many processes work together; 1 is a process alone."""
    return _Team.size


def cluster() -> tuple[tuple[str, ...], int] | None:
    """Read from the environment which processes work together, as the scheduler set it.

    Returns:
        (host:port of each, the number of this one), from TF_CONFIG or the variables of a Slurm step
        with more than one task; None where there are none.

    Raises:
        InputError: the variables do not make sense.
    """
    try:
        if scheduled():
            return _from_tf_config() if TF_CONFIG in os.environ else _from_slurm()
    except (ValueError, TypeError, AttributeError, KeyError, RuntimeError, IndexError) as error:
        name = TF_CONFIG if TF_CONFIG in os.environ else "SLURM_*"
        raise InputError(f"{name} in the environment describes no cluster: {error}") from None
    return None


def _from_tf_config() -> tuple[tuple[str, ...], int] | None:
    told = _resolvers.TFConfigClusterResolver()
    jobs = told.cluster_spec().as_dict()
    nodes = [(job, i) for job in ("chief", "worker") for i in range(len(jobs.get(job, ())))]
    if len(nodes) < 2:
        return None
    return tuple(jobs[job][i] for job, i in nodes), nodes.index((told.task_type, told.task_id))


def _from_slurm() -> tuple[tuple[str, ...], int]:
    first, many = _PORTS
    port = first + int(os.environ.get("SLURM_JOB_ID", 0)) * 64 % many
    # As many GPUs as a node may have: the resolver would ask nvidia-smi, and `_choose_device` does.
    told = _resolvers.SlurmClusterResolver(
        port_base=port, gpus_per_node=64, gpus_per_task=1, auto_set_gpu=False
    )
    nodes = told.cluster_spec().as_dict()["worker"]
    # It sorts n10 before n2 and Slurm does not, so its own number may be that of another task.
    mine = f"{os.environ['SLURMD_NODENAME']}:{port + int(os.environ['SLURM_LOCALID'])}"
    return tuple(nodes), nodes.index(mine)


@contextlib.contextmanager
def joined(workers: int, batch_size: int) -> Iterator[None]:
    """Work with the other processes of the environment's cluster; alone where it names none.

    Args:
        workers: how many the user asked for; 1 for whatever the environment says.
        batch_size: images in a step, of all processes together.

    Yields:
        Nothing, once all have come.

    Raises:
        InputError: the cluster does not fit its environment, or a process was lost.
    """
    found = cluster()
    nodes, number = found or ((), 0)
    if workers not in (1, len(nodes)):
        raise InputError(f"--workers {workers}, but the environment names {len(nodes)}; leave it")
    if not nodes:
        yield
        return
    part(batch_size, len(nodes))
    _choose_device([node.rpartition(":")[0] for node in nodes], number)
    _check_port(nodes[number])
    if LAUNCHED in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    if number:
        progress.mute()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first saves and ends, and so all do
    tf.get_logger().setLevel("ERROR")  # or it warns that a sum outside a function is slow
    spec = tf.train.ClusterSpec({"worker": list(nodes)})
    told = _resolvers.SimpleClusterResolver(spec, "", "worker", number, rpc_layer="grpc")
    try:
        _Team.strategy = tf.distribute.MultiWorkerMirroredStrategy(told)
        _Team.rank, _Team.size = number, len(nodes)
        yield
    except _LOST as error:
        if LAUNCHED in os.environ:
            time.sleep(_GRACE)
        word = re.sub(r"\s+", " ", error.message.partition("aborted by: ")[2] or error.message)
        raise InputError(f"a worker was lost ({word[:120]}); --resume goes on") from None


def _choose_device(hosts: list[str], number: int) -> None:
    """Keep the GPU whose number is that of this process on its machine."""
    gpus = tf.config.list_physical_devices("GPU")
    here = [i for i, host in enumerate(hosts) if host == hosts[number]]
    bound = len(gpus) == 1 and SLURM_TASKS in os.environ  # Slurm shows each task its own
    if not gpus or bound:
        return
    if len(here) > len(gpus):
        raise InputError(f"{len(here)} workers on a machine of {len(gpus)} GPUs; one has one each")
    tf.config.set_visible_devices(gpus[here.index(number)], "GPU")


def _check_port(node: str) -> None:
    port = node.rpartition(":")[2]
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", int(port)))
    except (OSError, ValueError, OverflowError) as error:
        raise InputError(f"worker {node}: port {port} cannot be had ({error})") from None


def _end_with_launcher() -> None:
    os.read(int(os.environ[LAUNCHED]), 1)  # until it closes its end, however it died
    os._exit(1)


def part(count: int, among: int = 0) -> slice:
    """Return which samples of a batch are this process's.

    Args:
        count: samples in the batch, of all processes together.
        among: how many share them; `size` where 0.

    Returns:
        The slice.

    Raises:
        InputError: they cannot be shared out evenly.
    """
    share, rest = divmod(count, among or size())
    if rest:
        raise InputError(f"batch_size = {count} cannot be shared out among {among} workers")
    return slice(rank() * share, (rank() + 1) * share)


def summed(tensors: _Tensors) -> _Tensors:
    """Add up tensors over all processes; every one gets the sums, to the same bits.

    Args:
        tensors: one, or a list; of the same shapes everywhere.

    Returns:
        The sums; alone, what was given.
    """
    if _Team.strategy is None:
        return tensors

    def total(values):
        placed = tf.nest.map_structure(tf.identity, values)  # a sum goes to where its parts are
        return tf.distribute.get_replica_context().all_reduce("SUM", placed)

    return _Team.strategy.run(total, (tensors,))


def of_first(values: list[Any]) -> list[Any]:
    """Return what the first process holds; the others give values of the same shapes and types."""
    arrays = [np.asarray(value) for value in values]  # numbers are int64, which a GPU adds up
    return summed(arrays if rank() == 0 else [np.zeros_like(array) for array in arrays])


def first_only(work: Callable[[], object]) -> None:
    """Let the first process do a piece of work that writes, and the others wait for its end."""
    if rank() == 0:
        work()
    summed(tf.zeros([]))
