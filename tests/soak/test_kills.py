"""Killed, stopped, out of room, repeated: a command ends with the files of an undisturbed run."""

import contextlib
import math
import signal
import subprocess

import pytest
from killing import CASES, harness
from ledger import SOAK, note, share

TRAINING = CASES[0]
DAILY = CASES if SOAK else CASES[:5]
TRIALS = math.ceil(share(100, len(DAILY)) / len(DAILY))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    with harness(tmp_path_factory.mktemp("kills")) as made:
        yield made


def check(tried, what, how):
    lost = [f"{t['seed']}: {', '.join(t['lost'])}" for t in tried if t["lost"]]
    note(what, how, sum(len(t["kills"]) for t in tried), lost)
    assert not lost, tried


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("case", DAILY, ids=lambda case: case.name)
def test_a_killed_command_ends_as_if_it_had_not_been(bench, case):
    tried = [bench.kill(case, seed) for seed in range(TRIALS)]
    check(tried, f"{case.name}, killed", "SIGKILL at a random moment, called again")


@pytest.mark.timeout(7200)
def test_ctrl_c_saves_and_gives_130(bench):
    tried = [bench.kill(TRAINING, 2 * seed, signal.SIGINT) for seed in range(share(20, 1))]
    check(tried, "training, stopped", "Ctrl-C at a random moment, status 130, resumed")


def test_two_runs_into_one_folder_are_refused_and_a_killed_one_leaves_no_lock(bench, tmp_path):
    first, log = bench.start(TRAINING.words, tmp_path / "out"), tmp_path / "log"
    while not (tmp_path / "out" / ".fcnlib.lock").exists():
        first.join(0.05)
    second = bench.start(TRAINING.words, tmp_path / "out", log)
    second.join()
    assert second.exitcode == 2 and first.is_alive()
    assert log.read_text().count("another run is writing into it") == 1
    first.kill()
    first.join()
    bench.finish(f"{TRAINING.words} --resume", tmp_path / "out")


@contextlib.contextmanager
def disk(place, options):
    """Mount a small disk; only root can."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root; test_training.py has a limit of its own")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(place)], check=True
        )
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


FULL = [c for c in CASES if not c.given and c.name != "notebook run"]
FULL = [c for c in FULL if SOAK or c.name in ("training", "packing")]


@pytest.mark.parametrize("options", ["size=40k", "ro"])
@pytest.mark.parametrize("case", FULL, ids=lambda case: case.name)
def test_a_disk_that_is_full_or_read_only_is_one_line_and_no_loss(bench, case, options, tmp_path):
    _, expected = bench.expected(case)
    log, place = tmp_path / "log", tmp_path / "disk"
    with disk(place, options) as remount:
        process = bench.start(case.words, place / "out", log)
        process.join()
        said = log.read_text().splitlines()
        lines = [line for line in said if line.startswith("fcnlib: error: ")]
        assert process.exitcode == 2 and len(lines) == 1, said
        assert "Traceback" not in "".join(said)
        assert str(place) in lines[0] or "No space left" in lines[0]
        remount("rw,size=40m")
        bench.finish(f"{case.words} {case.again}", place / "out")
        assert bench.contents(place / "out") == expected
    note(f"{case.name}, {options}", "a disk that is full or read-only, then not", 1, [])


def test_a_run_is_repeated_from_its_record_to_the_last_bit(bench, tmp_path):
    _, expected = bench.expected(TRAINING)
    record = bench.root / "training-undisturbed" / "models" / "fcn-32s"
    process = bench.start(f"rerun {record} --out {{out}}", tmp_path / "out", tmp_path / "log")
    process.join()
    said = (tmp_path / "log").read_text()
    assert process.exitcode == 0, said
    assert bench.contents(tmp_path / "out") == expected
    note("a run repeated from its record", "fcnlib rerun, every file compared", 1, [])


def test_another_seed_gives_other_weights(bench, tmp_path):
    checkpoint = "models/fcn-32s/checkpoint.npz"
    bench.finish(f"{TRAINING.words} --set seed=2 --set deterministic=true", tmp_path)
    assert bench.contents(tmp_path)[checkpoint][0] != bench.expected(TRAINING)[1][checkpoint][0]


@pytest.mark.skipif(not SOAK, reason="in `make soak`; without the setting the kills show it")
def test_the_deterministic_mode_gives_the_same_bits_twice(bench, tmp_path):
    for name in ("one", "other"):
        bench.finish(f"{TRAINING.words} --set deterministic=true", tmp_path / name)
    assert bench.contents(tmp_path / "one") == bench.contents(tmp_path / "other")
    note("a training with deterministic=true", "twice, every file compared", 2, [])
