"""The processes of `--workers N` on one machine: started, watched, and stopped together."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from fcnlib.errors import InputError
from fcnlib.runtime.environment import LAUNCHED, TF_CONFIG

_POLL = 0.1  # seconds
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def launch(words: Sequence[str], workers: int) -> int:
    """Run `fcnlib WORDS` in several processes that find each other through TF_CONFIG.

    Output, Ctrl-C and the exit status are those of the first. When one ends badly, which says why,
    the others are stopped at once, and the exit status is its own.

    Raises:
        InputError: there are none to start, or one was killed.
    """
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1")
    print("TensorFlow listens on every address here: trust the network", file=sys.stderr)
    held, lifeline = os.pipe()  # which ends with this process, however it dies
    nodes = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    threads = dict.fromkeys(_THREADS, str(max((os.cpu_count() or 1) // workers, 1)))
    # Who was lost is said here, so TensorFlow is to be quiet.
    env = threads | os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", LAUNCHED: str(held)}
    team: list[subprocess.Popen] = []
    # Ctrl-C comes here alone, and is passed on.
    before = signal.signal(signal.SIGINT, lambda *_: team and team[0].send_signal(signal.SIGINT))
    try:
        for rank in range(workers):
            task = {"cluster": {"worker": nodes}, "task": {"type": "worker", "index": rank}}
            env[TF_CONFIG] = json.dumps(task)
            how = {"env": env, "pass_fds": (held,), "start_new_session": True}
            how |= {"stdout": subprocess.DEVNULL} if rank else {}
            team.append(subprocess.Popen([sys.executable, "-m", "fcnlib", *words], **how))
        while team[0].poll() is None and not any(process.poll() for process in team):
            time.sleep(_POLL)
        ended = [process.poll() for process in team]
    finally:
        for process in team:
            process.kill()
            process.wait()
        os.close(held)
        os.close(lifeline)
        signal.signal(signal.SIGINT, before)
    failed = next((rank for rank, status in enumerate(ended) if status), 0)
    if ended[failed] < 0:
        how = f"was killed by signal {-ended[failed]}"
        raise InputError(f"worker {failed} of {workers}: {how}; --resume goes on")
    return ended[failed]


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in taken]
