"""The processes of `--workers N` on one machine: started, watched, and stopped together."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from fcnlib.errors import InputError
from fcnlib.runtime.environment import LAUNCHED, TF_CONFIG

_POLL, _GRACE = 0.1, 10.0  # seconds
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000  # of linux/sched.h
_SET_FLAGS, _UP = 0x8914, 0x41  # of linux/sockios.h, linux/if.h


def launch(words: Sequence[str], workers: int) -> int:
    """Run a command of ours in several processes that find each other through TF_CONFIG.

    Output and Ctrl-C are the first one's. When one ends badly the others are stopped at once.

    Args:
        words: of the command line, after "fcnlib".
        workers: how many.

    Returns:
        The exit status of the first process, which has said what it had to say.

    Raises:
        InputError: there are none to start, or one failed; what it said, or how it ended.
    """
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1")
    if not fenced():
        print("TensorFlow listens on every address here: trust the network", file=sys.stderr)
    held, lifeline = os.pipe()
    nodes = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    team: list[subprocess.Popen] = []
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            for rank in range(workers):
                quiet = {"stdout": said, "stderr": said} if rank else {}
                team.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "fcnlib", *words],
                        env=_environment(nodes, rank, held),
                        pass_fds=(held,),
                        start_new_session=True,  # Ctrl-C comes here alone, and is passed on
                        **quiet,
                    )
                )
            failed = _watch(team)
        finally:
            for process in team:
                process.kill()
                process.wait()
            os.close(held)
            os.close(lifeline)
        status = team[failed].returncode
        if not failed and status >= 0:
            return status
        said.seek(0)
        lines = [line for line in said if line.startswith("fcnlib: error: ")]
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    reason = lines[-1].removeprefix("fcnlib: error: ").strip() if lines else how
    raise InputError(f"worker {failed} of {workers}: {reason}; --resume goes on")


def fenced() -> bool:
    """Move this process to a network of its own that is loopback alone, if the system lets it.

    TensorFlow's servers listen on every address and do what they are told, without a password.
    """
    user, group = os.getuid(), os.getgid()
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if library.unshare(_NEW_NETWORK):
            if library.unshare(_NEW_NETWORK | _NEW_USER):
                return False
            maps = {"setgroups": "deny", "uid_map": f"{user} {user} 1"}
            for name, text in (maps | {"gid_map": f"{group} {group} 1"}).items():
                with open(f"/proc/self/{name}", "w") as file:
                    file.write(text)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))
    except (OSError, AttributeError):
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return so many ports of loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def _environment(nodes: list[str], rank: int, held: int) -> dict[str, str]:
    task = {"type": "worker", "index": rank}
    threads = str(max((os.cpu_count() or 1) // len(nodes), 1))  # each its share of the processor
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")
    return {
        **dict.fromkeys(names, threads),
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",  # the launcher says who was lost
        TF_CONFIG: json.dumps({"cluster": {"worker": nodes}, "task": task}),
        LAUNCHED: str(held),
    }


def _watch(team: list[subprocess.Popen]) -> int:
    """Wait until the first process ends or another fails; return the one that did."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, lambda *_: team[0].send_signal(signal.SIGINT))
    late = float("inf")
    try:
        while True:
            statuses = [process.poll() for process in team]
            if statuses[0] is not None:
                return 0
            bad = [rank for rank, status in enumerate(statuses) if status]
            # A mistake of the user's meets all alike: the first is about to say it.
            late = min(late, time.monotonic() + _GRACE) if bad else late
            if bad and (statuses[bad[0]] != 2 or time.monotonic() > late):
                return bad[0]
            time.sleep(_POLL)
    finally:
        signal.signal(signal.SIGINT, before)
