"""The bar: live on a terminal and before a person's notebook, sparse lines elsewhere."""

import io
import sys
import types

import pytest

from fcnlib import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def no_notebook(monkeypatch):
    """Other tests in this process may have loaded what makes a place look like a notebook."""
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def run(clock, steps, seconds, total=None, **settings):
    with progress.bar(total or steps, "FCN-32s", "step", **settings) as bar:
        for step in range(steps):
            clock[0] += seconds
            bar.update(1, loss=1 / (step + 1))


def test_a_log_gets_a_line_at_most_every_quarter_minute_and_a_last_one(clock, capsys):
    run(clock, 100, 1.0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6 + 1
    assert lines[0] == "FCN-32s: 15/100 steps, 1/s, 0:15, 1:25 to go, loss 0.06667"
    assert lines[-1] == "FCN-32s: 100/100 steps, 1/s, 1:40, loss 0.01"


def test_slow_steps_print_one_line_each(clock, capsys):
    run(clock, 3, 20.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


def test_a_resumed_run_counts_on_but_its_rate_is_its_own(clock, capsys):
    run(clock, 20, 1.0, total=1000, initial=900)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "FCN-32s: 915/1000 steps, 1/s, 0:15, 1:25 to go, loss 0.06667"


def test_what_stops_early_says_so(clock, capsys):
    with pytest.raises(KeyError), progress.bar(10, "work", "image") as bar:
        bar.update(2)
        raise KeyError
    assert capsys.readouterr().err == "work: 2/10 images, 2e+09/s, 0:00, stopped\n"


def test_nothing_to_do_shows_nothing(capsys):
    with progress.bar(0, "", "image") as bar:
        bar.update(1, loss=2.0)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_live_bar_that_ends_full(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.bar(4, "FCN-32s", "step", initial=1) as bar:
        for _ in range(3):
            bar.update(1, loss=0.31)
    last = screen.getvalue().split("\r")[-1]
    assert "4/4" in last and "FCN-32s: 100%" in last and "loss 0.31" in last


def test_a_notebook_shows_a_bar_only_to_a_person(monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    monkeypatch.delenv("FCNLIB_HEADLESS", raising=False)
    person = progress.bar(4, "FCN-32s", "step")
    with person:
        person.update(4)
    monkeypatch.setenv("FCNLIB_HEADLESS", "1")
    headless = progress.bar(4, "FCN-32s", "step")
    assert type(person) is not type(headless)
    assert type(headless).__name__ == "_Lines"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (42.4, "0:42"), (725, "12:05"), (3609, "1:00:09")]
)
def test_durations(seconds, text):
    assert progress.duration(seconds) == text
