"""What earlier looks at releases kept in the cache, and with which of them an installed package loads: no network."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zipfile import ZipInfo

from dataloader.abi.model import Release, ReleaseVerdict, judge, said
from dataloader.abi.releases import read_members, releases_of
from dataloader.abi.wheel import RELEASE_SUFFIX, beside_system, own_symbols, read_needs
from dataloader.base.cache import EXPORTS
from dataloader.base.errors import IndexUnavailable, IntegrityError
from dataloader.base.files import read_kept
from dataloader.index.model import IndexFile
from dataloader.loader.system import host_system

if TYPE_CHECKING:
    from dataloader.abi.model import FileNeeds
    from dataloader.prefix.records import InstalledPackage


def window_of(cache: Path, prefix: Path, package: InstalledPackage, project: str) -> tuple[str, tuple[str, ...]]:
    """With which releases of a framework an installed package loads, of those whose symbols are kept.

    Returns:
        In words, ``loads with torch 2.1.2 to 2.3.1``, and those releases, oldest first; empty where nothing is known.
    """
    kept = dict(_kept(cache, project))
    if not kept:
        return "", ()
    try:
        verdicts = asyncio.run(_verdicts(cache, kept, prefix, package))
    except (IntegrityError, OSError):
        return "", ()  # what cannot be read is said elsewhere
    loads = tuple(verdict.version for verdict in verdicts if verdict.loads)
    known = [verdict for verdict in verdicts if verdict.loads is not None]
    return (said(known, project), loads) if loads else ("", ())


async def _verdicts(
    cache: Path, kept: Mapping[IndexFile, Mapping[str, int]], prefix: Path, package: InstalledPackage
) -> list[ReleaseVerdict]:
    from packaging.specifiers import SpecifierSet

    paths = [path for path in package.files.columns[0] if ".so" in path.rpartition("/")[2]]
    compiled = await read_needs(_Installed(prefix, paths), cache)
    if not compiled.needs:
        return []
    machine = min(compiled.machines)
    folders = (part.removeprefix("python") for part in package.path.split("/") if part.startswith("python3."))
    python = next((f"cp{version.replace('.', '')}" for version in folders), "")
    needs = beside_system(compiled.needs, host_system(machine))
    wanted = releases_of(list(kept), SpecifierSet(""), python, machine)
    found = [
        await _release(version, file, kept[file], needs, cache) for version, file in wanted.items() if file is not None
    ]
    project = next(iter(kept)).name
    return judge(needs, found, own_symbols(needs, project))


async def _release(
    version: str, file: IndexFile, libraries: Mapping[str, int], needs: Sequence[FileNeeds], cache: Path
) -> Release:
    try:
        return await read_members(_Noted(libraries), version, file.sha256 or file.url, needs, cache)
    except IndexUnavailable as error:
        return Release(version, frozenset(), frozenset(), {}, error.message)


def _kept(cache: Path, project: str) -> Iterator[tuple[IndexFile, Mapping[str, int]]]:
    for path in sorted((cache / EXPORTS).glob(f"*{RELEASE_SUFFIX}")):
        data = read_kept(path)
        if data is None:
            continue
        row = json.loads(data)
        if row["project"] == project:
            file = IndexFile(project, row["version"], row["filename"], url="", sha256=row["key"])
            yield file, row["libraries"]


class _Noted:
    """The libraries of a release, of which only those can be told about whose symbols are kept."""

    def __init__(self, libraries: Mapping[str, int]) -> None:
        self.infos: Mapping[str, ZipInfo] = {path: _info(path, size) for path, size in libraries.items()}

    async def read_into(self, name: str, destination: BinaryIO) -> None:  # noqa: ARG002
        """As :class:`dataloader.index.wheels.members.Members`; it has none."""
        raise IndexUnavailable(f"the symbols of {name} are not kept", code="index-unreachable")


class _Installed:
    """The files of a package in an environment."""

    def __init__(self, prefix: Path, paths: Sequence[str]) -> None:
        self._prefix = prefix
        there = [path for path in paths if (prefix / path).is_file()]
        self.infos: Mapping[str, ZipInfo] = {path: _info(path, (prefix / path).stat().st_size) for path in there}

    async def read_into(self, name: str, destination: BinaryIO) -> None:
        """As :class:`dataloader.index.wheels.members.Members`."""
        with (self._prefix / name).open("rb") as file:
            shutil.copyfileobj(file, destination)


def _info(path: str, size: int) -> ZipInfo:
    info = ZipInfo(path)
    info.compress_size = info.file_size = size
    return info
