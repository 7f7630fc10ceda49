"""Every locked package may be asked for by a program under MIT, and the page of them is current."""

from supply import PAGE, PASSES, REFUSED, locked, table


def test_every_licence_is_known_to_pass():
    assert table()[1] == []


def test_the_page_names_every_locked_package():
    rows = [line.split(" | ")[:2] for line in PAGE.read_text().splitlines() if "| " in line]
    named = {name.removeprefix("| "): version for name, version in rows}
    assert locked().items() <= named.items(), "run `make audit`"


def test_what_passes_and_what_does_not():
    for words in ("MIT", "BSD-3-Clause", "GNU Lesser General Public License v3", "MPL-2.0"):
        assert PASSES.search(words)
    for words in ("GPL-3.0-only", "GNU Affero General Public License v3", "AGPL-3.0"):
        assert REFUSED.search(words)
