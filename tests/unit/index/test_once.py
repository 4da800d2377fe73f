"""Work that several ask for at once is done once; whether a failure is remembered is said."""

from __future__ import annotations

import asyncio

import pytest

from dataloader.index.once import Once


@pytest.mark.parametrize(("failures", "times"), [(False, 2), (True, 1)])
def test_a_failure_is_remembered_where_that_is_wanted(failures: bool, times: int) -> None:
    done: list[str] = []

    async def work() -> None:
        done.append("begun")
        await asyncio.sleep(0)
        raise ValueError("no")

    async def ask() -> list[BaseException | None]:
        once = Once(failures=failures)
        first = await asyncio.gather(*(once(("key",), work) for _ in range(3)), return_exceptions=True)
        second = await asyncio.gather(once(("key",), work), return_exceptions=True)
        await once.close()
        return [*first, *second]

    said = asyncio.run(ask())

    assert [str(error) for error in said] == ["no"] * 4
    assert len(done) == times
