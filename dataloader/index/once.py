"""Work that several ask for is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Once:
    """Results by key, in one event loop.

    Args:
        failures: Remember those too, and raise them again.
    """

    def __init__(self, *, failures: bool = False) -> None:
        self._failures = failures
        self._tasks: dict[tuple[str, ...], asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """Cancel what still runs."""
        running = [task for task in self._tasks.values() if not task.done()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def __call__(self, key: tuple[str, ...], work: Callable[[], Coroutine[None, None, T]]) -> T:
        """The result of ``work``, done once for all who ask."""

        def forget_failure(task: asyncio.Task[Any]) -> None:
            # Asking for the exception also keeps asyncio from printing it when nobody waits any more.
            if task.cancelled() or (task.exception() is not None and not self._failures):
                self._tasks.pop(key, None)

        task = self._tasks.get(key)
        if task is None:
            task = asyncio.create_task(work())
            task.add_done_callback(forget_failure)
            self._tasks[key] = task
        # One who stops waiting must not stop the work of the others.
        return await asyncio.shield(task)


async def now(read: Callable[..., T], *arguments: object) -> T:
    """Return what is read at once, as a coroutine has it."""
    return read(*arguments)
