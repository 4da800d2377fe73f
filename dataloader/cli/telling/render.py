"""Values -> text for people or JSON for programs. Pure; ``console`` writes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dataloader.base.errors import DataloaderError

JSON_VERSION = 1


def to_json(document: Mapping[str, object]) -> str:
    """One JSON document, ``"version": 1`` added, keys sorted, ending with a newline."""
    return json.dumps({"version": JSON_VERSION, **document}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def error_document(error: DataloaderError) -> dict[str, object]:
    """What ``--json`` says of a failure, of any command."""
    return {
        "status": "error",
        "error": {
            "code": error.code,
            "message": error.message,
            "causes": list(error.causes),
            "suggestions": list(error.suggestions),
        },
    }


def error_text(error: DataloaderError) -> str:
    """What people read of a failure: message, causes, what to try, where it is explained.

    >>> from dataloader.base.errors import UsageError
    >>> print(error_text(UsageError("No such file", code="usage", suggestions=("Look again.",))))
    error[usage]: No such file
      try: Look again.
      see: dataloader help usage
    """
    return f"{refusal_text(error)}\n{advice_text(error)}"


def refusal_text(error: DataloaderError) -> str:
    """The first part of :func:`error_text`: message and causes."""
    return "\n".join([f"error[{error.code}]: {error.message}", *(_indented(cause, "  - ") for cause in error.causes)])


def advice_text(error: DataloaderError) -> str:
    """The second part of :func:`error_text`: what to try, and where it is explained."""
    tries = [_indented(suggestion, "  try: ") for suggestion in error.suggestions]
    return "\n".join([*tries, f"  see: dataloader help {error.code}"])


def _indented(text: str, first: str) -> str:
    return first + text.replace("\n", "\n" + " " * len(first))


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """Aligned columns, as many as the widest row has; no trailing blanks, ending with a newline.

    >>> print(table([["torch", "2.1.0"], ["numpy", "1.26.4"]], ["name", "version"]), end="")
    name   version
    torch  2.1.0
    numpy  1.26.4
    """
    table = [list(header), *map(list, rows)] if header else [list(row) for row in rows]
    if not table:
        return ""
    widths = [0] * max(map(len, table))
    for row in table:
        widths[: len(row)] = [max(width, len(cell)) for width, cell in zip(widths, row, strict=False)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in table)
    return "\n".join(lines) + "\n"


def human_size(size: int) -> str:
    """Bytes in binary units.

    >>> human_size(512), human_size(835_900_000), human_size(4_700_000_000)
    ('512 B', '797.2 MiB', '4.4 GiB')
    """
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def human_time(seconds: float) -> str:
    """Seconds, with as many digits as matter.

    >>> human_time(0.0421), human_time(12.34), human_time(125.0)
    ('0.04 s', '12.3 s', '125 s')
    """
    if seconds < 1:
        return f"{seconds:.2f} s"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
