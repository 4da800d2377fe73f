"""The list of what a cache may hold: docs/cache.md shows it, and each name leads to one row."""

from __future__ import annotations

import re
from pathlib import Path

from dataloader.install.store.holdings import HOLDINGS

DOCS = Path(__file__).parents[3] / "docs"


def table() -> str:
    """The list as a table, to be pasted into the page."""
    return "".join(
        f"| {holding.kind} | {', '.join(f'`{path}`' for path in holding.paths)} | {holding.stay} | {holding.about} |\n"
        for holding in HOLDINGS
    )


def test_the_documentation_shows_the_whole_list() -> None:
    text = (DOCS / "cache.md").read_text()
    rows = re.findall(r"^\| (?!what \||---).*\n", text, re.MULTILINE)

    assert "".join(rows) == table()
