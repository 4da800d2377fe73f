"""Files that are whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` under another name and rename it into place; a failure leaves what was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def keep_file(path: Path, data: bytes) -> OSError | None:
    """Write a file of a cache as :func:`replace_file` does, and its folder where there is none.

    A full or read-only cache only costs time, so the error is returned, to be told or not.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
    except OSError as error:
        return error
    return None
