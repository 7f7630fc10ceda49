"""The processes of `--workers N` on one machine: started, watched, and stopped together."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from fcnlib.errors import InputError
from fcnlib.runtime.environment import LAUNCHED, TF_CONFIG

_POLL, _GRACE = 0.1, 10.0  # seconds
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def launch(words: Sequence[str], workers: int) -> int:
    """Run `fcnlib WORDS` in several processes that find each other through TF_CONFIG.

    Output, Ctrl-C and the exit status are those of the first. When one ends badly the others are
    stopped at once.

    Raises:
        InputError: there are none to start, or one failed: its error, or how it ended.
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
    before = signal.signal(signal.SIGINT, lambda *_: team[0].send_signal(signal.SIGINT))
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            for rank in range(workers):
                task = {"type": "worker", "index": rank}
                env[TF_CONFIG] = json.dumps({"cluster": {"worker": nodes}, "task": task})
                how = {"env": env, "pass_fds": (held,), "start_new_session": True}
                how |= {"stdout": said, "stderr": said} if rank else {}
                team.append(subprocess.Popen([sys.executable, "-m", "fcnlib", *words], **how))
            failed = _watch(team)
        finally:
            for process in team:
                process.kill()
                process.wait()
            os.close(held)
            os.close(lifeline)
            signal.signal(signal.SIGINT, before)
        status = team[failed].returncode
        if not failed and status >= 0:
            return status
        said.seek(0)
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        lines = [line for line in said if line.startswith("fcnlib: error: ")]
    reason = lines[-1].removeprefix("fcnlib: error: ").strip() if lines else how
    raise InputError(f"worker {failed} of {workers}: {reason}; --resume goes on")


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback that nobody listens on at the moment."""
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in taken]


def _watch(team: list[subprocess.Popen]) -> int:
    """Wait until the first process ends or another fails; return the number of the one that did."""
    late = float("inf")
    while team[0].poll() is None:
        bad = [rank for rank, process in enumerate(team) if process.poll()]
        # A user error stops every rank; wait for rank 0 to report it.
        late = min(late, time.monotonic() + _GRACE) if bad else late
        if bad and (team[bad[0]].returncode != 2 or time.monotonic() > late):
            return bad[0]
        time.sleep(_POLL)
    return 0
