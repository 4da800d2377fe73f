"""Wait for a volume that shows what was written only after a while.

Some network file systems write back in the background, and lose sight of a file for as long as its directory has been
renamed meanwhile (rclone mounts: seconds). A small directory that goes the same way tells whether this volume is of
that kind; if it is, the folder in question is renamed there and back until all of it can be read.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dataloader.errors import TryAgain
from dataloader.reporter import Reporter

_PATIENCE = 300.0
"""Seconds. The write-back delay of the file systems in question is a few, and large files take their time."""


async def settle(folder: Path, reporter: Reporter) -> None:
    """Return when ``folder``, which is about to be renamed, will be whole under its new name.

    Raises:
        TryAgain: it is not, for minutes (``volume-unsettled``).
    """
    if _probe(folder):
        return
    reporter.info(f"Waiting for the volume of {folder.parent} to write back.")
    sizes = await asyncio.to_thread(_lengths, folder)
    aside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    await _until(lambda: _moved(folder, aside), folder)
    await _until(lambda: _lengths(aside) == sizes, folder)
    await _until(lambda: _moved(aside, folder), folder)


def _probe(folder: Path) -> bool:
    """Whether a file beside ``folder`` can be read at once after its directory was renamed."""
    token = uuid.uuid4().hex[:8]
    # Named after the folder, so that whoever clears up after a killed process finds them.
    written, renamed = folder.with_name(f"{folder.name}-{token}-a"), folder.with_name(f"{folder.name}-{token}-b")
    written.mkdir()
    try:
        (written / "file").write_text(token, encoding="ascii")
        written.rename(renamed)
        return (renamed / "file").read_text(encoding="ascii") == token
    except OSError:
        return False
    finally:
        for path in (written, renamed):
            shutil.rmtree(path, ignore_errors=True)


async def _until(done: Callable[[], bool], folder: Path) -> None:
    deadline, pause = time.monotonic() + _PATIENCE, 0.05
    while not await asyncio.to_thread(done):
        if time.monotonic() > deadline:
            raise TryAgain(f"{folder.parent} does not show what is written to it.", code="volume-unsettled")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


def _moved(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError:
        return target.exists() and not source.exists()
    return True


def _lengths(folder: Path) -> dict[str, int]:
    """Bytes that can be read of every file; -1 where it cannot be read now."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            try:
                found[str(path.relative_to(folder))] = -2 if path.is_symlink() else _length(path)
            except OSError:
                found[str(path.relative_to(folder))] = -1
    return found


def _length(path: Path) -> int:
    length = 0
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            length += len(block)
    return length
