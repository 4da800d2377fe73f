"""Work that is not left half done when its task is told to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_PATIENCE = 3.0
"""Seconds that who is told to stop waits at most."""


async def to_its_end(work: Awaitable[T]) -> T:
    """Await what goes on in threads when nobody waits any more, or what must be done though one is told to stop.

    Who is told to stop waits for it, and stops then: so nothing is written into a folder after it was removed, and no
    removal is cancelled while it waits for a thread.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may ask how it ended
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        deadline = time.monotonic() + _PATIENCE
        while not task.done() and time.monotonic() < deadline:
            with suppress(asyncio.CancelledError):  # it may be told so again
                await asyncio.wait([task], timeout=_PATIENCE)
        raise
