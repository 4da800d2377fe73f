"""Long lines on a terminal, folded between words: what a terminal does by itself cuts words in two."""

# Imported by quick answers, and so next to nothing itself.

from __future__ import annotations

import os
import re

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from typing import TextIO

_WORDS = re.compile(r"(?:`[^`]*`|\S)+")
"""What stays together: a word, or a command between backticks, which somebody may want to copy."""
_HEAD = re.compile(r"\s*(?:\[[A-Z]+\] |- |(?:try|see|fix \d+|or \d+|error|warning|note): )?")
_COLUMNS = re.compile(r"^.*\S\s{2,}(?=\S)")
_LEAST = 24
"""Columns that the last column of a table must have for its text to be folded within it."""


def columns_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal; ``None`` for what is none."""
    try:
        if not stream.isatty():
            return None
        return int(os.environ.get("COLUMNS") or 0) or os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def folded(text: str, columns: int | None) -> str:
    """Return text of lines that fit, as far as its words do; what goes on stands below where it began.

    >>> print(folded("[INFO] a line that is long\\ncuda   12.1   a table with reasons in it, many of them", 44))
    [INFO] a line that is long
    cuda   12.1   a table with reasons in it,
                  many of them
    """
    if columns is None or columns < _LEAST:
        return text
    return "\n".join(_folded(line, columns) if len(line) > columns else line for line in text.split("\n"))


def _folded(line: str, columns: int) -> str:
    head = _HEAD.match(line)
    hang = head.end() if head else 0
    if (cells := _COLUMNS.match(line)) and columns - cells.end() >= _LEAST:
        hang = cells.end()
    lines = [line[:hang]]
    is_first = True
    for found in _WORDS.finditer(line, hang):
        word = found[0]
        if not is_first and len(lines[-1]) + 1 + len(word) > columns:
            lines.append(" " * hang + word)
        else:
            lines[-1] += word if is_first else f" {word}"
        is_first = False
    return "\n".join(lines)
