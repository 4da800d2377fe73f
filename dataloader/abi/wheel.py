"""Reads libraries out of wheels: a companion's needs, and a release's exports, which are kept in the cache."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final, NamedTuple

from dataloader.abi.model import Exports, FileNeeds, is_own
from dataloader.base.cache import EXPORTS
from dataloader.base.errors import IntegrityError
from dataloader.base.files import keep_file, read_kept
from dataloader.elf.definitions import AskedNames, Definitions, bare
from dataloader.elf.facts import ElfFacts, read_definitions, read_elf
from dataloader.elf.frameworks import framework_of
from dataloader.elf.image import MalformedElf
from dataloader.index.model import IndexFile
from dataloader.index.wheels.members import Members
from dataloader.loader.system import LoaderSystem
from dataloader.prefix.walk import is_library_name

_SETS: Final = ("exact", "plain", "base")


RELEASE_SUFFIX: Final = ".release"
"""Of the files that name a release's libraries, beside those of what they define."""


class Compiled(NamedTuple):
    """What a compiled wheel needs."""

    needs: tuple[FileNeeds, ...]
    machines: frozenset[str]
    """Of its libraries, as ``uname -m`` has them."""


def keep_release(cache: Path, file: IndexFile, members: Members) -> None:
    """Note which libraries a release has; what they define is kept beside, as it is read."""
    libraries = {path: info.compress_size for path, info in members.infos.items() if ".so" in path.rpartition("/")[2]}
    row = {"project": file.name, "version": file.version, "filename": file.filename, "key": file.sha256 or file.url}
    path = cache / EXPORTS / f"{sha256(str(row).encode()).hexdigest()}{RELEASE_SUFFIX}"
    if not path.exists():
        keep_file(path, json.dumps({**row, "libraries": libraries}).encode())


async def read_needs(members: Members, scratch: Path) -> Compiled:
    """What each library of a wheel needs that the wheel itself has not.

    Args:
        scratch: Folder for one library at a time.

    Raises:
        IntegrityError: One of them is no ELF file that could be loaded (``wheel-malformed``), or as ``Members`` has it.
    """
    read: dict[str, tuple[ElfFacts, frozenset[bytes]]] = {}
    defined: set[bytes] = set()
    for name in sorted(filter(is_library_name, members.infos)):
        facts, undefined, definitions = await _read(members, name, scratch)
        if facts.is_library:
            read[name] = facts, undefined
            defined |= definitions.plain | definitions.exact | definitions.base
    names = {name.rpartition("/")[2] for name in read}
    needs = tuple(
        FileNeeds(
            file=name,
            needed=tuple(soname for soname in facts.needed if soname not in names),
            symbols=frozenset(symbol for symbol in undefined if symbol not in defined and bare(symbol) not in defined),
            versions={os.fsencode(need.version): need.file for need in facts.version_needs},
        )
        for name, (facts, undefined) in read.items()
    )
    return Compiled(needs, frozenset(facts.machine for facts, _ in read.values()))


def beside_system(needs: Sequence[FileNeeds], system: LoaderSystem) -> tuple[FileNeeds, ...]:
    """The same without what this machine's libraries define, in place of those of the machine that will run it."""
    return tuple(_beside(need, system) for need in needs)


def _beside(needs: FileNeeds, system: LoaderSystem) -> FileNeeds:
    found = {name: path for name in needs.needed if (path := system.cached(name)) is not None}
    symbols = needs.symbols
    for path in found.values():
        plain = frozenset(symbol for symbol in symbols if b"@" not in symbol)
        try:
            symbols -= read_definitions(Path(path), AskedNames(plain)).plain & plain
        except (MalformedElf, OSError):
            continue  # it stands for nothing then
    return needs._replace(symbols=symbols, here=frozenset(found))


def own_symbols(needs: Sequence[FileNeeds], project: str) -> frozenset[bytes]:
    """Those of the symbols whose name says that they are the framework's."""
    asked = {symbol for need in needs for symbol in need.symbols}
    return frozenset(symbol for symbol in asked if is_own(symbol, framework_of(os.fsdecode(symbol)) == project))


async def read_exports(members: Members, name: str, key: str, cache: Path) -> Exports:
    """What one library of a release has, from the cache where it was read before.

    Args:
        key: Stands for the release's wheel: its sha256.

    Raises:
        IntegrityError: as :func:`read_needs`.
    """
    kept = cache / EXPORTS / f"{sha256(os.fsencode(f'{key} {name}')).hexdigest()}.exports"
    known = read_kept(kept)
    if known is not None and (exports := _unpack(known)) is not None:
        return exports
    cache.mkdir(parents=True, exist_ok=True)
    facts, _, definitions = await _read(members, name, cache)
    exports = Exports(facts.needed, definitions)
    keep_file(kept, _pack(exports))
    return exports


async def _read(members: Members, name: str, scratch: Path) -> tuple[ElfFacts, frozenset[bytes], Definitions]:
    # Not in memory: it may have a gigabyte, of which the tables lie at both ends.
    with NamedTemporaryFile(dir=scratch, prefix=".", suffix=".tmp") as file:
        await members.read_into(name, file)  # type: ignore[arg-type]
        file.flush()
        path = Path(file.name)
        try:
            facts, undefined = read_elf(path)
            return facts, undefined, read_definitions(path)
        except MalformedElf as error:
            raise IntegrityError(f"{name} cannot be read: {error}", code="wheel-malformed") from error


def _pack(exports: Exports) -> bytes:
    sets = [b"\0".join(sorted(getattr(exports.defines, name))) for name in _SETS]
    head = json.dumps({"needed": exports.needed, "sizes": [len(symbols) for symbols in sets]}).encode()
    return head + b"\n" + zlib.compress(b"".join(sets), 6)


def _unpack(data: bytes) -> Exports | None:
    try:
        head, _, packed = data.partition(b"\n")
        values: Mapping[str, list[str]] = json.loads(head)
        names, found, at = zlib.decompress(packed), [], 0
        for size in map(int, values["sizes"]):
            found.append(frozenset(names[at : at + size].split(b"\0")) if size else frozenset())
            at += size
        return Exports(tuple(map(str, values["needed"])), Definitions(*found))
    except (ValueError, TypeError, KeyError, zlib.error):
        return None  # of another version of this program
