"""Work that ends before who asked for it goes on: when its task is told to stop, or when other work has failed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

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


async def in_thread(work: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Like ``asyncio.to_thread``, but ``to_its_end``: the thread uses no connection or file that was closed since."""
    return await to_its_end(asyncio.to_thread(work, *arguments, **options))


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Like ``asyncio.gather``, but the first failure stops the others, and is raised when they have ended."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
