"""The releases of a framework on an index, each read as far as a wheel's needs take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataloader.abi.model import FileNeeds, Release
from dataloader.abi.wheel import keep_release, read_exports
from dataloader.base.errors import IndexUnavailable, IntegrityError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

    from dataloader.index.client import IndexClient
    from dataloader.index.model import IndexFile
    from dataloader.index.wheels.members import Members

_SMALL: Final = 16 << 20
"""Bytes, packed: so much is read whether or not something is still looked for."""


def releases_of(
    files: Sequence[IndexFile], specifier: SpecifierSet, python: str, machine: str
) -> dict[str, IndexFile | None]:
    """Version -> the wheel of each release for a Python and a machine, oldest first; ``None`` where it has none.

    Args:
        python: A tag (``cp311``), or empty where any Python's serves.
        machine: As ``uname -m`` has it.
    """
    from packaging.version import InvalidVersion, Version

    found: dict[Version, IndexFile | None] = {}
    for file in files:
        try:
            version = Version(file.version)
        except InvalidVersion:
            continue
        if file.yanked or not specifier.contains(version, prereleases=specifier.prereleases or None):
            continue
        if version.is_prerelease and not specifier.prereleases:
            continue
        known = found.setdefault(version, None)
        if _serves(file, python, machine) and (known is None or _rank(file) > _rank(known)):
            found[version] = file
    return {str(version): file for version, file in sorted(found.items())}


def _serves(file: IndexFile, python: str, machine: str) -> bool:
    if file.kind != "wheel":
        return False
    pythons, abis, platforms = file.tags
    is_linux = any("linux" in platform and platform.endswith(machine) for platform in platforms.split("."))
    return is_linux and (not python or python in pythons.split(".") or "abi3" in abis or pythons.startswith("py3"))


def _rank(file: IndexFile) -> tuple[tuple[int, ...], str]:
    """The newest Python's, and of several builds the last."""
    digits = "".join(character for character in file.tags[0].split(".")[0] if character.isdigit())
    parts = file.filename.removesuffix(".whl").rsplit("-", 3)[0].split("-")
    return (int(digits or 0), int("".join(filter(str.isdigit, parts[2])) or 0) if len(parts) > 2 else 0), file.filename


async def read_release(
    client: IndexClient, version: str, file: IndexFile | None, needs: Sequence[FileNeeds], cache: Path
) -> Release:
    """What a release lacks of what is needed; of its large libraries only those are read that may still have it."""
    if file is None:
        return Release(version, frozenset(), frozenset(), {}, "it has no wheel for this Python and machine")
    try:
        members = await client.members(file)
        keep_release(cache, file, members)
        return await read_members(members, version, file.sha256 or file.url, needs, cache)
    except (IndexUnavailable, IntegrityError) as error:
        return Release(version, frozenset(), frozenset(), {}, error.message)


async def read_members(members: Members, version: str, key: str, needs: Sequence[FileNeeds], cache: Path) -> Release:
    """The same of a wheel whose files are at hand.

    Args:
        key: Stands for the wheel: its sha256.

    Raises:
        IndexUnavailable, IntegrityError: as ``Members`` has it.
    """
    offers = {path.rpartition("/")[2]: path for path in members.infos if ".so" in path.rpartition("/")[2]}
    lacks: dict[str, frozenset[bytes]] = {}
    needed: set[str] = set()
    for need in needs:
        missing = need.asked_of(offers)
        seen: set[str] = set()
        pending = {name for name in need.needed if name in offers}
        while pending:
            name = min(pending, key=lambda soname: (_size(members, offers[soname]), soname))
            pending.discard(name)
            seen.add(name)
            if not missing and _size(members, offers[name]) > _SMALL:
                break  # the others are larger
            exports = await read_exports(members, offers[name], key, cache)
            needed.update(exports.needed)
            missing = frozenset(symbol for symbol in missing if not exports.has(symbol))
            pending |= {soname for soname in exports.needed if soname in offers} - seen
        lacks[need.file] = missing
    return Release(version, frozenset(offers), frozenset(needed), lacks)


def _size(members: Members, path: str) -> int:
    return members.infos[path].compress_size
