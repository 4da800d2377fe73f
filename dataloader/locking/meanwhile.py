"""What passes while the network answers: the solver gets ready, and a name that nobody has is refused without it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

from dataloader.base.errors import DataloaderError
from dataloader.locking.asking import requirements_of
from dataloader.resolve.refused.unknown import INDEXES, unknown_project

if TYPE_CHECKING:
    from dataloader.compat.matrix import Matrix
    from dataloader.index.client import IndexClient
    from dataloader.request.request import Request

_PIECES = (
    "dataloader.index.pages.plain_json",
    "dataloader.locking.stacks",
    "rattler",
    "dataloader.resolve.offered.knowledge",
    "dataloader.resolve.solve",
    "dataloader.locking.ready",
)
"""What solving needs: 0.15 s of imports."""


@asynccontextmanager
async def solver_ready(prepare: Callable[[], object]) -> AsyncIterator[None]:
    """Import the solver in a thread meanwhile, then ``prepare``; when the block fails, it is left half-way.

    What ``prepare`` refuses is for who asks it next to tell: what the block refuses comes first.
    """
    if _PIECES[-1] in sys.modules:
        yield
        return
    unwanted = threading.Event()

    def work() -> None:
        for piece in _PIECES:
            if unwanted.is_set():
                return
            import_module(piece)
        if not unwanted.is_set():
            with suppress(DataloaderError):
                prepare()

    importing = asyncio.create_task(asyncio.to_thread(work))
    try:
        yield
    except BaseException:
        unwanted.set()
        raise
    finally:
        await importing


async def refuse_unknown(request: Request, client: IndexClient, matrix: Matrix, channels: Sequence[str]) -> None:
    """Refuse a project that no index has, where no channel could have it, before there is a solver.

    Raises:
        ResolutionFailure: ``unknown-package``.
        IndexUnavailable: an index did not answer.
    """
    if channels:
        return
    placed = {r.name for r in (*request.pypi, *request.overrides) if r.url or r.index}
    asked = [r for r in requirements_of(request) if not (r.marker or r.constraint or r.name in placed)]

    pages = [asyncio.ensure_future(client.project(asked_for.name)) for asked_for in asked]
    try:
        for requirement, page in zip(asked, pages, strict=True):
            if not await page and requirement.name not in _elsewhere(matrix):
                raise await unknown_project(requirement.name, requirement.origin, [INDEXES], client)
    finally:
        for page in pages:
            page.cancel()
        await asyncio.gather(*pages, return_exceptions=True)


def _elsewhere(matrix: Matrix) -> set[str]:
    """Return the projects that an index which nobody configured may have."""
    served = {project for index in matrix.indexes.values() for project in index.projects}
    return {*matrix.frameworks, *served, *(row.project for row in matrix.further)}
