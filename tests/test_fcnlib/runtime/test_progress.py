"""The bar: live on a terminal and before a person's notebook, sparse lines elsewhere."""

import io
import re
import sys

import nbformat
import papermill
import pytest

from fcnlib.runtime import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
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
    assert lines[0] == "FCN-32s: 15/100 [00:15<01:25,  1.00step/s, loss=0.0667]"
    assert lines[-1] == "FCN-32s: 100/100 [01:40<00:00,  1.00step/s, loss=0.01]"


def test_slow_steps_print_one_line_each(clock, capsys):
    run(clock, 3, 20.0)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]


def test_a_resumed_run_counts_on_but_its_rate_is_its_own(clock, capsys):
    run(clock, 20, 1.0, total=1000, initial=900)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == "FCN-32s: 915/1000 [00:15<01:25,  1.00step/s, loss=0.0667]"


def test_what_stops_early_says_so(clock, capsys):
    with pytest.raises(KeyError), progress.bar(10, "work", "image") as bar:
        bar.update(2)
        raise KeyError
    assert capsys.readouterr().err == "work: 2/10 [00:00<?, ?image/s]\n"


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
    assert "4/4" in last and "FCN-32s: 100%" in last and "loss=0.31" in last


def seen(text):
    """Return the lines that a terminal shows after this text of lines, returns and "one up"."""
    lines, row, column = {}, 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", text):
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
        elif part == "\x1b[A":
            row -= 1
        else:
            old = lines.get(row, "").ljust(column)
            lines[row] = old[:column] + part + old[column + len(part) :]
            column += len(part)
    return [lines[row].rstrip() for row in sorted(lines) if lines[row].strip()]


def test_a_bar_inside_a_bar_leaves_nothing_and_a_message_its_own_line(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.bar(2, "predict", "image") as outer:
        for name in ("a.png", "b.png"):
            with progress.bar(2, name, "tile") as inner:
                inner.update(1)
                outer.say(f"{name} is grey")
                assert seen(screen.getvalue())[-1].startswith(f"{name}:  50%")
                inner.update(1)
            outer.update(1)
    *above, last = seen(screen.getvalue())
    assert above == ["a.png is grey", "b.png is grey"]
    assert last.startswith("predict: 100%") and "2/2" in last


CELL = """
import os
from fcnlib.runtime import progress
{}
with progress.bar(4, "<a> & b", "step") as bar:
    for _ in range(4):
        bar.update(1, loss=0.5)
    bar.say("read on")
"""


def test_a_person_gets_a_bar_below_the_cell_and_our_runner_lines_which_it_reads(
    monkeypatch, tmp_path
):
    monkeypatch.delenv("FCNLIB_HEADLESS", raising=False)
    sources = CELL.format(""), CELL.format("os.environ['FCNLIB_HEADLESS'] = '1'")
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "in.ipynb")
    executed = papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", kernel_name="python3", progress_bar=False
    )
    shown, printed = (cell.outputs for cell in executed.cells)
    assert {output.name for output in shown} == {"stdout", "stderr"}
    text = "".join(output.text for output in printed)
    assert re.fullmatch(r"read on\n<a> & b: 4/4 \[.*, loss=0.5\]\n", text)
