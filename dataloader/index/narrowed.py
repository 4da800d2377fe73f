"""The indexes, narrowed for one resolution to the files that its requirements and its stack name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from dataloader.index.model import IndexFile, WheelMetadata

if TYPE_CHECKING:
    from dataloader.index.client import IndexClient
    from dataloader.inputs.model import PypiRequirement


class NarrowedIndex:
    """The indexes, narrowed to what requirements name: the one wheel of a URL, the files with given hashes."""

    def __init__(
        self, client: IndexClient, requirements: tuple[PypiRequirement, ...], only: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._client = client
        self._only = {**only, **{r.name: (r.index,) for r in requirements if r.index}}
        self._urls = {r.name: r for r in requirements if r.url}
        self._hashes = {r.name: {h.removeprefix("sha256:") for h in r.hashes} for r in requirements if r.hashes}

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        """Return the files of a project that may be used."""
        if (direct := self._urls.get(name)) is not None:
            return (_direct_file(direct),)
        files = await self._client.project(name, only=self._only.get(name))
        wanted = self._hashes.get(name)
        return files if wanted is None else tuple(f for f in files if f.sha256 in wanted)

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA of a wheel."""
        return await self._client.metadata(file)


def _direct_file(requirement: PypiRequirement) -> IndexFile:
    assert requirement.url is not None
    sha256 = next((h.removeprefix("sha256:") for h in requirement.hashes if h.startswith("sha256:")), None)
    return IndexFile(
        name=requirement.name,
        version=requirement.specifier.removeprefix("=="),
        filename=unquote(requirement.url.rsplit("/", 1)[-1]),
        url=requirement.url,
        sha256=sha256,
    )
