"""The page of the soak says what was tried, how often and what was lost."""

from ledger import share, table


def test_each_note_is_a_row_and_a_loss_is_seen():
    notes = [
        {"tried": "training, killed", "how": "SIGKILL", "often": 1234, "lost": []},
        {"tried": "a reader", "how": "Hypothesis", "often": 2, "lost": ["KeyError"]},
    ]
    rows = [line for line in table(notes).splitlines() if line.startswith("| ")][1:]
    assert rows == [
        "| a reader | Hypothesis | 2 | KeyError |",
        "| training, killed | SIGKILL | 1,234 | nothing |",
    ]


def test_every_day_takes_a_share(monkeypatch):
    monkeypatch.delenv("FCNLIB_SOAK", raising=False)
    assert share(10_000, 10) == 10
    monkeypatch.setenv("FCNLIB_SOAK", "0.1")
    assert share(10_000, 10) == 1000
