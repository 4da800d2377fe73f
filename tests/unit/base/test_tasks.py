"""What must be done is done, though its task is told to stop, and however often."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from dataloader.base.tasks import in_thread, to_its_end, together


@pytest.mark.parametrize("times", [1, 3])
def test_who_is_told_to_stop_waits_for_the_end(times: int) -> None:
    done: list[str] = []

    async def main() -> None:
        # One thread, and busy: work that waits for it is cancelled with its task, if nobody sees to it.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        busy = asyncio.ensure_future(asyncio.to_thread(time.sleep, 0.2))
        await asyncio.sleep(0.05)
        task = asyncio.ensure_future(to_its_end(asyncio.to_thread(done.append, "removed")))
        for _ in range(times):
            await asyncio.sleep(0.02)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await busy

    asyncio.run(main())

    assert done == ["removed"]


def test_results_and_errors_come_through() -> None:
    async def fail() -> None:
        raise OSError("no room")

    assert asyncio.run(to_its_end(asyncio.sleep(0, "result"))) == "result"
    with pytest.raises(OSError, match="no room"):
        asyncio.run(to_its_end(fail()))


@pytest.mark.parametrize("several", [2, 7])
def test_a_failure_is_raised_when_no_thread_works_any_more(several: int) -> None:
    """What the threads use, such as a connection, may be closed by whoever is told of the failure."""
    begun = threading.Barrier(several)
    ended: list[int] = []

    def work(number: int) -> None:
        begun.wait(timeout=30)
        if number == 0:
            raise OSError("no room")
        time.sleep(0.2)
        ended.append(number)

    async def main() -> list[int]:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(several))
        with pytest.raises(OSError, match="no room"):
            await together(in_thread(work, number) for number in range(several))
        return sorted(ended)

    assert asyncio.run(main()) == list(range(1, several))
