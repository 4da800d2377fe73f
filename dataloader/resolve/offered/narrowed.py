"""The indexes, narrowed for one resolution to the files that its requirements and its stack name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name, parse_wheel_filename

from dataloader.base.errors import IntegrityError
from dataloader.base.names import file_name_of
from dataloader.index.model import IndexFile, WheelMetadata

if TYPE_CHECKING:
    from dataloader.index.client import IndexClient
    from dataloader.index.variants import VariantsFile
    from dataloader.request.specs.requirements import PypiRequirement

_NAME = re.compile(r"\s*[A-Za-z0-9._-]*")
_EXTRAS = re.compile(r"\s*[A-Za-z0-9._-]+\s*\[([^\]]*)\]")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


class NeedsOfSources(Protocol):
    """Says what the wheels of sources will need."""

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA that the wheel of a source will have."""
        ...

    async def located(self, name: str, url: str, sha256: str | None) -> IndexFile:
        """Return the source archive at a URL."""
        ...


class NarrowedIndex:
    """The indexes, narrowed to what requirements name: the wheels of URLs, the files with given hashes.

    Requirements of one project that differ in their markers each bind the files of the versions that they admit.
    """

    def __init__(
        self,
        client: IndexClient,
        requirements: Sequence[PypiRequirement],
        overrides: Sequence[PypiRequirement] = (),
        sources: NeedsOfSources | None = None,
    ) -> None:
        self._client, self._sources = client, sources
        self._overrides: defaultdict[str, list[PypiRequirement]] = defaultdict(list)
        for override in overrides:
            self._overrides[override.name].append(override)
        self._by_name: defaultdict[str, list[PypiRequirement]] = defaultdict(list)
        for requirement in requirements:
            self._by_name[requirement.name].append(requirement)

    async def project(self, name: str) -> tuple[IndexFile, ...]:
        """Return the files of a project that may be used.

        Raises:
            IntegrityError: ``hash-mismatch``; nothing that a requirement admits has a hash that it names.
        """
        asked = self._by_name.get(name, [])
        direct = tuple([await self._direct(r) for r in asked if r.url])
        if asked and len(direct) == len(asked):
            return direct
        if any(r.url and r.marker is None for r in asked):
            return direct
        listed = await self._served(name, asked)
        return await self._wanted(name, (*direct, *listed) if direct else listed)

    async def _direct(self, requirement: PypiRequirement) -> IndexFile:
        """Return the file that a requirement names; a source has to be looked into to tell its version."""
        assert requirement.url is not None
        if urlsplit(requirement.url).path.endswith(".whl") or self._sources is None:
            return _direct_file(requirement)
        return await self._sources.located(requirement.name, requirement.url, _sha256(requirement))

    async def _served(self, name: str, asked: Sequence[PypiRequirement]) -> tuple[IndexFile, ...]:
        """Return what the indexes have that requirements name; those of everything too, if one of them names none."""
        named = tuple(dict.fromkeys(r.index for r in asked if r.index))
        if not named:
            return await self._client.project(name)
        files = await self._client.project(name, only=named)
        return files if all(r.index for r in asked) else (*files, *await self._client.project(name))

    async def _wanted(self, name: str, files: tuple[IndexFile, ...]) -> tuple[IndexFile, ...]:
        hashed = [r for r in self._by_name.get(name, []) if r.hashes and not r.url]
        return await self._with_hashes(hashed, files) if hashed else files

    async def further(self, name: str, url: str) -> tuple[IndexFile, ...]:
        """Return the files of a project that another index has, and that may be used."""
        files = await self._client.further(name, url)
        try:
            return await self._wanted(name, files)
        except IntegrityError:
            return ()  # the hashes are of files elsewhere

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA of a wheel, with overrides in the place of what it says of their projects."""
        of_source = self._sources is not None and file.kind == "sdist"
        metadata = await (self._sources if of_source else self._client).metadata(file)  # type: ignore[union-attr]
        if not self._overrides:
            return metadata
        said = tuple(text for entry in metadata.requires_dist for text in self._overridden(entry))
        return metadata if said == metadata.requires_dist else replace(metadata, requires_dist=said)

    async def variants(self, file: IndexFile) -> VariantsFile | None:
        """Return what a variant wheel's release says of its variants."""
        return await self._client.variants(file)

    def _overridden(self, text: str) -> list[str]:
        """Return what stands for an entry of Requires-Dist; as in uv it stays below the extra that it is below."""
        name = canonicalize_name(_NAME.match(text)[0])  # type: ignore[index]
        if name not in self._overrides:
            return [text]
        extra = _EXTRA.search(text.partition(";")[2])
        wanted = _EXTRAS.match(text)
        asked = {part.strip() for part in wanted[1].split(",")} if wanted else set()
        found = []
        for override in self._overrides[name]:
            extras = ",".join(sorted({*override.extras, *asked}))
            markers = [f"({override.marker})"] if override.marker else []
            markers += [f"extra == '{extra[1]}'"] if extra else []
            condition = f" ; {' and '.join(markers)}" if markers else ""
            found.append(f"{override.name}{f'[{extras}]' if extras else ''}{override.specifier}{condition}")
        return found

    async def _with_hashes(
        self, requirements: Sequence[PypiRequirement], files: tuple[IndexFile, ...]
    ) -> tuple[IndexFile, ...]:
        allowed = []
        refused: defaultdict[PypiRequirement, list[str]] = defaultdict(list)
        for file in files:
            binding = [r for r in requirements if _admits(r, file.version)]
            digest = await self._client.digest(file) if binding and file.kind == "wheel" else ""
            hit = [r for r in binding if digest in {h.removeprefix("sha256:") for h in r.hashes}]
            # Markers tell which of several binds; without one a requirement always does.
            if (hit or not binding) and all(r in hit for r in binding if r.marker is None):
                allowed.append(file)
            for requirement in (r for r in binding if r not in hit and digest):
                refused[requirement].append(f"{file.filename} has sha256:{digest}")
        for requirement, told in refused.items():
            if requirement.marker is None and not any(_admits(requirement, file.version) for file in allowed):
                raise _no_such_hash(requirement, told)
        return tuple(allowed)


def _admits(requirement: PypiRequirement, version: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(requirement.specifier).contains(version, prereleases=True)


def _no_such_hash(requirement: PypiRequirement, told: list[str]) -> IntegrityError:
    wanted = ", ".join(requirement.hashes)
    return IntegrityError(
        f"no file of {requirement.name}{requirement.specifier} has the hash that is asked for",
        code="hash-mismatch",
        causes=(f"{requirement.origin} asks for {wanted}", *told),
        suggestions=("if the publisher replaced the file and you trust it, write the hash that it has",),
    )


def _direct_file(requirement: PypiRequirement) -> IndexFile:
    assert requirement.url is not None
    filename = file_name_of(requirement.url)
    return IndexFile(
        name=requirement.name,
        version=str(parse_wheel_filename(filename)[1]),
        filename=filename,
        url=requirement.url,
        sha256=_sha256(requirement),
    )


def _sha256(requirement: PypiRequirement) -> str | None:
    return next((h.removeprefix("sha256:") for h in requirement.hashes if h.startswith("sha256:")), None)
