"""Wait for a volume that shows what was written only after a while.

Some network file systems write back in the background and lose sight of a file for as long as its directory has been
renamed meanwhile (rclone mounts: seconds). A small directory that goes the same way, last, tells when it is safe.
"""

from __future__ import annotations

import asyncio
import shutil
import time
import uuid
from pathlib import Path

from dataloader.errors import TryAgain
from dataloader.reporter import Reporter

_PATIENCE = 120.0
"""Seconds. The write-back delay of the file systems in question is a few."""


async def settle(folder: Path, reporter: Reporter) -> None:
    """Return when a directory written and renamed in ``folder`` reads back as it was written.

    Raises:
        TryAgain: it does not, for minutes (``volume-unsettled``).
    """
    token = uuid.uuid4().hex
    written, renamed = folder / f".probe-{token}", folder / f".probe-{token}-"
    written.mkdir()
    try:
        (written / "file").write_text(token, encoding="ascii")
        deadline, pause, told = time.monotonic() + _PATIENCE, 0.01, False
        while not _arrived(written, renamed, token):
            if time.monotonic() > deadline:
                raise TryAgain(f"{folder} does not show what is written to it.", code="volume-unsettled")
            if not told:
                reporter.info(f"Waiting for the volume of {folder} to write back.")
                told = True
            await asyncio.sleep(pause)
            pause = min(2 * pause, 1.0)
    finally:
        shutil.rmtree(written, ignore_errors=True)
        shutil.rmtree(renamed, ignore_errors=True)


def _arrived(written: Path, renamed: Path, token: str) -> bool:
    try:
        if written.exists():
            written.rename(renamed)
        return (renamed / "file").read_text(encoding="ascii") == token
    except OSError:
        return False
