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
from contextlib import suppress
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
from dataloader.index.wheels.members import Members
from dataloader.lockfile.model import PypiPackage
from dataloader.prefix.walk import is_library_name
from dataloader.resolve.model import file_of

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
    """What the libraries of a wheel say, as far as they were read."""

    paths: tuple[str, ...] = ()
    """Of all its libraries, the smallest first."""
    read: Mapping[str, MemberSaid] = {}
    """Path -> what the library there says."""
    listed: bool = True
    """Whether the wheel's directory was read: else nothing is known of it."""

    def imported(self) -> Mapping[str, MemberSaid | None]:
        """Return the extension modules, and what each needs of its own wheel: what is loaded whoever imports it.

        ``None``: it was not read; it may be a module, or need more.
        """
        by_name = {path.rpartition("/")[2]: path for path in self.paths}
        found: dict[str, MemberSaid | None] = {}
        pending = [path for path in self.paths if _may_be_imported(path)]
        pending = [path for path in pending if path not in self.read or self.read[path].extension]
        while pending:
            path = pending.pop()
            if path not in found:
                found[path] = said = self.read.get(path)
                pending += [by_name[name] for name in said.needed if name in by_name] if said else ()
        return found

    def missing(self, *, everything: bool) -> list[str]:
        """Return what is to be read yet: of what is imported, or of everything."""
        wanted = self.paths if everything else self.imported()
        return [path for path in self.paths if path in wanted and path not in self.read]


def _may_be_imported(path: str) -> bool:
    """Whether Python may import it: ``_C.so``, ``_C.abi3.so``, and no ``libx.so``."""
    name = path.rpartition("/")[2]
    return name.endswith(".so") and (not name.startswith("lib") or ".cpython-" in name or ".abi3." in name)


class Ahead:
    """Reads wheels of one lock; all of them together stay within the bounds."""

    def __init__(self, client: IndexClient, cache: Path, *, most: int = MOST, seconds: float = SECONDS) -> None:
        self._client, self._cache = client, cache
        self._left, self._until = most, time.monotonic() + seconds

    async def said(self, package: PypiPackage, *, everything: bool) -> WheelSaid:
        """Return what a wheel's libraries say: as many as the bounds, the network and ``--offline`` allow.

        Args:
            package: The wheel.
            everything: Read all of its libraries, not only what is imported.
        """
        key = package.sha256 or package.url
        kept = self._cache / WHEEL_LIBRARIES / f"{sha256(os.fsencode(key)).hexdigest()}.json"
        steps = [_unpack(read_kept(kept))]
        if not steps[0].listed or steps[0].missing(everything=everything):
            reading = self._read(package, steps, everything=everything)
            # Unknown stays unknown: what is wrong with the file is told when it is needed.
            with suppress(IndexUnavailable, IntegrityError, asyncio.TimeoutError):
                await asyncio.wait_for(reading, max(0.0, self._until - time.monotonic()))
            if len(steps) > 1:
                keep_file(kept, _pack(steps[-1]))
        return steps[-1]

    async def _read(self, package: PypiPackage, steps: list[WheelSaid], *, everything: bool) -> None:
        """Read what is not known, the smallest first; each library is a step."""
        members = await self._client.members(file_of(package))
        paths = sorted(filter(is_library_name, members.infos), key=lambda name: (_size(members, name), name))
        steps.append(WheelSaid(tuple(paths), steps[-1].read))
        while missing := steps[-1].missing(everything=everything):
            self._left -= _size(members, missing[0])
            if self._left < 0:
                return
            read = {**steps[-1].read, missing[0]: await _facts(members, missing[0], self._cache)}
            steps.append(steps[-1]._replace(read=read))


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


def _pack(said: WheelSaid) -> bytes:
    return json.dumps({"paths": said.paths, "read": said.read}).encode()


def _unpack(data: bytes | None) -> WheelSaid:
    try:
        values: Mapping[str, Any] = json.loads(data or b"")
        read = {
            str(path): MemberSaid(tuple(map(str, needed)), tuple(map(_code, gpu)), bool(extension))
            for path, (needed, gpu, extension) in values["read"].items()
        }
        return WheelSaid(tuple(map(str, values["paths"])), read)
    except (ValueError, TypeError, KeyError, AttributeError):
        return WheelSaid(listed=False)  # nothing, or of another version of this program


def _code(values: list[Any]) -> GpuCode:
    kind, arch, entries, isa = values
    if kind not in ("ptx", "cubin"):
        raise ValueError(kind)
    return GpuCode(kind, str(arch), int(entries), tuple(map(int, isa)))
