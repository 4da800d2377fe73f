"""Reading of indexes: each page and METADATA once, and reading ahead.

Reading ahead only warms: it guesses what will be wanted and starts the requests. What the solver is shown is decided
elsewhere, step by step, so the answer does not depend on which request came back first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol

from dataloader.base.errors import DataloaderError, IntegrityError
from dataloader.base.tasks import together
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.variants import VariantsFile
from dataloader.resolve.words.projects import Described, Project, Wheel
from dataloader.resolve.words.variants import settled


class Index(Protocol):
    """What the resolver asks of package indexes."""

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        """Return every file of a project; ``()`` when no index knows it."""
        ...

    async def further(self, name: str, url: str) -> tuple[IndexFile, ...]:
        """Return every file of a project that another index has."""
        ...

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA of a wheel."""
        ...

    async def variants(self, file: IndexFile) -> VariantsFile | None:
        """Return what a variant wheel's release says of its variants; ``None`` where nothing is there."""
        ...


class Sorter(Protocol):
    """Turns a project's files into candidates."""

    def __call__(self, name: str, files: tuple[IndexFile, ...], variants: Described) -> Project:
        """Return the project."""
        ...


class Guess(Protocol):
    """Says which requirements a wheel's METADATA will bring, and which candidate is likely."""

    def likely(self, project: Project, specifier: str, others: Iterable[str]) -> Wheel | None:
        """Return the candidate that a specifier makes likely, and those that ``others`` want of the project."""
        ...

    def wants(self, wheel: Wheel, metadata: WheelMetadata) -> tuple[tuple[str, str], ...]:
        """Return ``(name, specifier)`` of what the wheel needs on the likely Python."""
        ...


class Reader:
    """Memoised reads over an index."""

    def __init__(self, index: Index, sort: Sorter, guess: Guess) -> None:
        self.broken: dict[str, tuple[IndexFile, str]] = {}
        """URL of a wheel whose METADATA cannot be used -> its file, and why."""
        self.metadata_read = 0
        self._index, self._sort, self._guess = index, sort, guess
        self._projects: dict[str, asyncio.Task[Project]] = {}
        self._files: dict[str, tuple[IndexFile, ...]] = {}
        self._variants: dict[str, Described] = {}
        self._metadata: dict[str, asyncio.Task[WheelMetadata | None]] = {}
        self._warmers: set[asyncio.Task[None]] = set()
        self._warmed: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """Project -> the specifiers that were met while reading ahead."""

    @property
    def pages_read(self) -> int:
        """How many projects' pages have come."""
        return sum(task.done() for task in self._projects.values())

    async def project(self, name: str) -> Project:
        """Return a project's candidates."""
        if name not in self._projects:
            self._projects[name] = asyncio.create_task(self._read_project(name))
        return await asyncio.shield(self._projects[name])

    async def metadata(self, wheel: Wheel) -> WheelMetadata | None:
        """Return a wheel's METADATA; ``None`` when the wheel is broken (then ``broken`` says why)."""
        url = wheel.file.url
        if url not in self._metadata:
            self._metadata[url] = asyncio.create_task(self._read_metadata(wheel))
        return await asyncio.shield(self._metadata[url])

    def warm(self, name: str, specifier: str) -> None:
        """Start reading a project and what its likely candidate needs. Failures wait until somebody asks in earnest."""
        if specifier not in self._warmed[name]:
            self._warmed[name][specifier] = None
            task = asyncio.create_task(self._warm(name, specifier))
            self._warmers.add(task)
            task.add_done_callback(self._warmed_up)

    def _warmed_up(self, task: asyncio.Task[None]) -> None:
        self._warmers.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as seen: whoever asks in earnest gets the same failure

    async def close(self) -> None:
        """Give up everything that is still being read."""
        tasks: list[asyncio.Task[Any]] = [*self._warmers, *self._projects.values(), *self._metadata.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def further(self, name: str, url: str, counts: Callable[[IndexFile], bool]) -> Project:
        """Return a project's candidates together with those that a further index has, of which some ``counts``."""
        more = [file for file in await self._index.further(name, url) if counts(file)]
        known = {file.filename: file for file in (*more, *self._files[name])}
        self._files[name] = tuple(known.values())
        return await self._sorted(name)

    async def _read_project(self, name: str) -> Project:
        self._files[name] = await self._index.project(name)
        return await self._sorted(name)

    async def _sorted(self, name: str) -> Project:
        known = self._variants.get(name, {})
        asked = {f.variants: f for f in self._files[name] if f.variants and f.variants not in known}
        found = await together(self._index.variants(file) for file in asked.values())
        if asked or name not in self._variants:
            self._variants[name] = {**known, **dict(zip(asked, found, strict=True))}
        return self._sort(name, self._files[name], self._variants[name])

    async def _read_metadata(self, wheel: Wheel) -> WheelMetadata | None:
        try:
            metadata = await self._index.metadata(wheel.file)
        except IntegrityError as error:
            self.broken[wheel.file.url] = (wheel.file, error.message)
            return None
        self.metadata_read += 1
        requires = tuple(settled(metadata.requires_dist, wheel.variant))
        return metadata if requires == metadata.requires_dist else replace(metadata, requires_dist=requires)

    async def _warm(self, name: str, specifier: str) -> None:
        try:
            project = await self.project(name)  # meanwhile others may have said what they want of it
            wheel = self._guess.likely(project, specifier, self._warmed[name])
            metadata = await self.metadata(wheel) if wheel else None
        except DataloaderError:
            return  # the same task is awaited again by whoever needs it, and raises there
        if wheel and metadata:
            for wanted in self._guess.wants(wheel, metadata):
                self.warm(*wanted)
