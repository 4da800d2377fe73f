"""Reading ahead."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from dataloader.base.reporter import Reporter
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.resolve.solve import resolve
from tests.scenarios.test_resolve import DictIndex, make_problem

WHEELS: list[dict[str, Any]] = [
    {"file": "slow-1.0-py3-none-any.whl"},
    {"file": "open-1.0-py3-none-any.whl", "requires": ["child"]},
    {"file": "bound-1.0-py3-none-any.whl", "requires": ["child<2"]},
    {"file": "child-1.0-py3-none-any.whl"},
    {"file": "child-2.0-py3-none-any.whl", "requires": ["grandchild"]},
    {"file": "grandchild-1.0-py3-none-any.whl"},
]


class InTurn(DictIndex):
    """An index in which ``open`` is read first, then ``bound``, then ``child``'s page arrives; ``slow`` comes last.

    The solver is shown all that was asked for at once, so until then only reading ahead goes on.
    """

    def __init__(self) -> None:
        super().__init__(WHEELS)
        self.pages: list[str] = []
        self._child_asked, self._bound_read, self._child_read = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        """Keep the page of ``child`` back."""
        self.pages.append(name)
        if name == "child":
            self._child_asked.set()
            await self._bound_read.wait()
            await asyncio.sleep(0.01)
        return await super().project(name)

    async def variants(self, file: IndexFile) -> None:
        """Nothing here has any."""

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Keep METADATA back: of ``bound`` until ``child``'s page was asked for, of ``slow`` until its METADATA was."""
        if file.name == "child":
            self._child_read.set()
        if file.name == "slow":
            await self._child_read.wait()
        if file.name == "bound":
            await self._child_asked.wait()
            self._bound_read.set()
        return await super().metadata(file)


def test_what_is_said_of_a_project_before_its_page_arrives_counts_for_reading_ahead(tmp_path: Path) -> None:
    async def solved() -> tuple[InTurn, list[str]]:
        index = InTurn()
        problem = make_problem({"requirements": ["open", "bound", "slow"]}, tmp_path)
        resolution = await resolve(problem, index, Reporter())
        return index, [p.version for p in resolution.pypi if p.name == "child"]

    index, versions = asyncio.run(solved())

    assert versions == ["1.0"]
    assert "child-2.0-py3-none-any.whl" not in index.read
    assert "grandchild" not in index.pages
