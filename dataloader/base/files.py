"""Files that are whole at every moment."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` under another name and rename it into place; a failure leaves what was there."""
    # Processes of several machines may write to one volume: their numbers are not enough to tell them apart.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep_file(path: Path, data: bytes) -> OSError | None:
    """Write a file of a cache as :func:`replace_file` does, and its folder where there is none.

    A full or read-only cache only costs time, so the error is returned, to be told or not.
    """
    try:
        try:
            replace_file(path, data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
    except OSError as error:
        return error
    return None
