"""RECORD of a distribution, as rows (PEP 376)."""

from __future__ import annotations

from collections.abc import Sequence


class BadRecord(Exception):
    """A record that cannot be read; the message says why."""


def record_rows(text: str) -> list[list[str]]:
    """Return path, hash and size of each row, as they are written; what a row lacks is empty.

    Raises:
        BadRecord: it is not CSV.
    """
    lines = text.splitlines()
    # A name with a comma or a quotation mark is quoted; nearly no RECORD has one.
    rows = _quoted(lines) if '"' in text else [line.rsplit(",", 2) for line in lines]
    return [row if len(row) == 3 else [*row, "", ""][:3] for row in rows if row and row[0]]


def _quoted(lines: Sequence[str]) -> list[list[str]]:
    import csv  # 3 ms

    try:
        return list(csv.reader(lines))
    except csv.Error as error:
        raise BadRecord(str(error)) from error
