"""Run a coroutine to its end."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, and close it whatever happens: Python complains of one that ^C kept from being begun."""
    try:
        import asyncio

        return asyncio.run(work)
    finally:
        work.close()
