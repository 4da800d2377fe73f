"""What the libraries of wheels say of CUDA, before the wheels are fetched: each library by a range, within bounds.

Layout below the cache directory::

    wheel-libraries-1/SHA256.json    of the wheel with that hash: facts of those of its libraries that were read
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final, NamedTuple

from dataloader.base.cache import WHEEL_LIBRARIES
from dataloader.base.errors import IndexUnavailable, IntegrityError
from dataloader.base.files import keep_file, read_kept
from dataloader.elf.facts import read_elf
from dataloader.elf.gpucode import GpuCode
from dataloader.elf.image import MalformedElf
from dataloader.index.client import IndexClient
from dataloader.index.model import IndexFile
from dataloader.index.wheels.members import Members
from dataloader.lockfile.model import PypiPackage
from dataloader.prefix.walk import is_library_name

MOST: Final = 128 << 20
"""Bytes, packed, that one lock reads at most: what is larger is judged when it is there."""
SECONDS: Final = 30.0


class MemberSaid(NamedTuple):
    """What one library of a wheel says."""

    needed: tuple[str, ...] = ()
    """DT_NEEDED."""
    gpu: tuple[GpuCode, ...] = ()
    extension: bool = False
    """Python imports it."""


class WheelSaid(NamedTuple):
    """What the libraries of a wheel say."""

    libraries: Mapping[str, MemberSaid]
    """Path in the wheel -> what it says."""
    whole: bool
    """Whether all of them were read."""

    def imported(self) -> Mapping[str, MemberSaid]:
        """Return the extension modules, and what each needs of its own wheel: what is loaded whoever imports it."""
        by_name = {path.rpartition("/")[2]: path for path in self.libraries}
        found: dict[str, MemberSaid] = {}
        pending = [path for path, library in self.libraries.items() if library.extension]
        while pending:
            path = pending.pop()
            if path not in found:
                found[path] = self.libraries[path]
                pending += [by_name[name] for name in found[path].needed if name in by_name]
        return found


class Ahead:
    """Reads wheels of one lock; all of them together stay within the bounds."""

    def __init__(self, client: IndexClient, cache: Path, *, most: int = MOST, seconds: float = SECONDS) -> None:
        self._client, self._cache = client, cache
        self._left, self._until = most, time.monotonic() + seconds

    async def said(self, package: PypiPackage) -> WheelSaid:
        """Return what a wheel's libraries say: all, or as many as the bounds, the network and ``--offline`` allow."""
        key = package.sha256 or package.url
        kept = self._cache / WHEEL_LIBRARIES / f"{sha256(os.fsencode(key)).hexdigest()}.json"
        known = _unpack(read_kept(kept))
        if known is not None and known.whole:
            return known
        found = dict(known.libraries) if known else {}
        try:
            whole = await asyncio.wait_for(self._read(package, found), max(0.0, self._until - time.monotonic()))
        except (IndexUnavailable, IntegrityError, asyncio.TimeoutError):
            whole = False  # unknown stays unknown: what is wrong with the file is told when it is needed
        said = WheelSaid(found, whole)
        if found or whole:
            keep_file(kept, _pack(said))
        return said

    async def _read(self, package: PypiPackage, found: dict[str, MemberSaid]) -> bool:
        """Read what is not known, the smallest first; say whether that was all."""
        members = await self._client.members(_file_of(package))
        libraries = sorted(filter(is_library_name, members.infos), key=lambda name: (_size(members, name), name))
        for name in libraries:
            if name in found:
                continue
            self._left -= _size(members, name)
            if self._left < 0:
                return False
            found[name] = await _facts(members, name, self._cache)
        return True


async def _facts(members: Members, name: str, scratch: Path) -> MemberSaid:
    scratch.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=scratch, prefix=".", suffix=".tmp") as file:
        await members.read_into(name, file)  # type: ignore[arg-type]
        file.flush()
        try:
            facts, _ = read_elf(Path(file.name))
        except MalformedElf:
            return MemberSaid()  # it says nothing, and whether that matters shows when it is opened
    return MemberSaid(facts.needed, facts.gpu, bool(facts.python_init))


def _size(members: Members, name: str) -> int:
    return members.infos[name].compress_size


def _file_of(package: PypiPackage) -> IndexFile:
    return IndexFile(
        name=package.name,
        version=package.version,
        filename=package.file_name,
        url=package.url,
        sha256=package.sha256 or None,
        size=package.size,
    )


def _pack(said: WheelSaid) -> bytes:
    return json.dumps({"whole": said.whole, "libraries": said.libraries}).encode()


def _unpack(data: bytes | None) -> WheelSaid | None:
    try:
        values: Mapping[str, Any] = json.loads(data or b"")
        libraries = {
            str(path): MemberSaid(tuple(map(str, needed)), tuple(map(_code, gpu)), bool(extension))
            for path, (needed, gpu, extension) in values["libraries"].items()
        }
        return WheelSaid(libraries, bool(values["whole"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return None  # of another version of this program


def _code(values: list[Any]) -> GpuCode:
    kind, arch, entries, isa = values
    if kind not in ("ptx", "cubin"):
        raise ValueError(kind)
    return GpuCode(kind, str(arch), int(entries), tuple(map(int, isa)))
