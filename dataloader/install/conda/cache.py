"""The cache of unpacked conda packages: rattler's, in layers, with a cheap look at each entry before it is linked.

    pkgs/<name>-<version>-<build>/...         the archive's members
    pkgs/<name>-<version>-<build>.lock        a number, and the archive's hash (rattler's)
    pkgs-seen/<the same>-<hash>.json          sizes and times of the members when they were new, and what they bring

rattler trusts an entry that is there. Files of an environment may be hard links to it, though, so whoever writes to one
in place changes the cache. So an entry whose sizes or times differ from the note is compared with the hashes of its
``info/paths.json``; and only one that was judged (``conda_contents.py``) has a note.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dataloader.base.digests import hex_digest
from dataloader.base.errors import IntegrityError
from dataloader.base.files import keep_file, read_kept, replace_file
from dataloader.base.values import dataclass
from dataloader.install.bounds import Refused
from dataloader.install.conda.contents import INDEX, PATHS, Contents, read_contents
from dataloader.install.store.entries import touch
from dataloader.install.store.leftovers import take_out
from dataloader.install.store.slips import Slip
from dataloader.install.switch.owner import signed
from dataloader.lockfile.model import CondaPackage

if TYPE_CHECKING:
    from rattler.package_cache import PackageCache

Seen: TypeAlias = dict[str, list[int]]
"""Path in the entry to size in bytes and time in nanoseconds."""

_DESCRIPTION = (INDEX, PATHS)
_RULES = 1
"""Of ``bounds.py``, counted: what was judged by others is judged again."""
_TEMPORARY = ".new-"
_REVISION = 8
"""Bytes of the number that rattler's .lock files begin with; the archive's sha256 follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """An unpacked package that may be linked."""

    layer: Path
    contents: Contents


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """An entry that is not what was unpacked."""

    package: CondaPackage
    layer: Path
    path: str
    """The first file that differs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InLayers:
    """What the layers have of the packages that are wanted."""

    entries: dict[CondaPackage, Unpacked]
    damages: list[Damage]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Note:
    described: Seen = field(default_factory=dict)
    """The files of ``_DESCRIPTION``."""
    files: Seen = field(default_factory=dict)
    contents: Contents | None = None
    """``None`` where nobody judged, or by other rules."""


def entry_name(package: CondaPackage) -> str:
    """The folder that rattler gives a package in its cache."""
    return f"{package.name}-{package.version}-{package.build}"


def find(
    packages: Iterable[CondaPackage], cache_dir: Path, layers: tuple[Path, ...], *, anew: bool = False
) -> InLayers:
    """The packages that can be linked from a cache. Those that nobody has noted down yet are read in full, once.

    Args:
        anew: Read all in full, whatever was noted.

    Raises:
        IntegrityError: a package wants what it may not have.
    """
    found = InLayers(entries={}, damages=[])
    for package in packages:
        for layer in (cache_dir, *layers):
            entry = layer / "pkgs" / entry_name(package)
            if not entry.is_dir() or not _is_of(entry, package):
                continue
            if layer == cache_dir:
                touch(entry)
            note = _Note() if anew else _read_note(_note_path(layer, package))
            differing = _first_difference(entry, note)
            if differing is not None and entry.is_dir():  # else another process has removed it meanwhile
                found.damages.append(Damage(package=package, layer=layer, path=differing))
            if differing is not None:
                continue
            contents = note.contents or _judged_late(entry, package, layer, cache_dir)
            if contents is not None:
                found.entries[package] = Unpacked(layer=layer, contents=contents)
                break  # rattler will take this one
    return found


def judged(entry: Path, package: CondaPackage) -> Contents:
    """What an unpacked package brings; IntegrityError where it wants what it may not have."""
    try:
        return read_contents(entry, package)
    except Refused as refusal:
        raise refused(package, refusal) from refusal


def _judged_late(entry: Path, package: CondaPackage, layer: Path, cache_dir: Path) -> Contents | None:
    """Judge an entry that others unpacked; ``None`` when it has gone meanwhile."""
    try:
        contents = judged(entry, package)
        if layer == cache_dir:
            _write_note(entry, _note_path(layer, package), contents)
    except (IntegrityError, OSError):
        if not entry.is_dir():
            return None
        if layer == cache_dir:
            discard(package, cache_dir)
        raise
    return contents


def refused(package: CondaPackage, refusal: Refused) -> IntegrityError:
    """What the user reads of a package that wants what it may not have."""
    return refusal.as_error(package.file_name, code="conda-package-malformed")


def temporary_folder(cache_dir: Path) -> Path:
    """A new folder to unpack into, on the cache's volume."""
    folder = cache_dir / "pkgs" / signed(_TEMPORARY)
    folder.mkdir(parents=True)
    return folder


def take_in(unpacked: Path, package: CondaPackage, cache_dir: Path, contents: Contents) -> Path:
    """Make a folder that was judged the entry of a package; what was unpacked from another archive makes room."""
    entry = cache_dir / "pkgs" / entry_name(package)
    take_out(entry)
    mark = entry.with_name(f"{entry.name}.lock")
    revision = int.from_bytes(mark.read_bytes()[:_REVISION], "big") if mark.is_file() else 0
    digest = bytes.fromhex(package.sha256) if package.sha256 else b""
    replace_file(mark, (revision + 1).to_bytes(_REVISION, "big") + digest)
    try:
        unpacked.rename(entry)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        take_out(entry)  # of another archive, by somebody who was quicker
        unpacked.rename(entry)
    _write_note(entry, _note_path(cache_dir, package), contents)
    return entry


def discard(package: CondaPackage, cache_dir: Path) -> None:
    """Take an entry of the writable cache away. Environments that were made from it keep their files."""
    _note_path(cache_dir, package).unlink(missing_ok=True)
    take_out(cache_dir / "pkgs" / entry_name(package))


def missing_of(packages: Iterable[CondaPackage], cache_dir: Path, layers: tuple[Path, ...]) -> list[CondaPackage]:
    """Those that no cache has."""
    return [
        package
        for package in packages
        if not any((layer / "pkgs" / entry_name(package)).is_dir() for layer in (cache_dir, *layers))
    ]


def find_difference(entry: Path) -> str | None:
    """The first file of an entry whose content differs from its own ``info/paths.json`` (reads everything)."""
    return _first_difference(entry, _Note())


def notes_of(entry: Path) -> list[Path]:
    """What the cache keeps beside an entry: rattler's lock, and notes of its files."""
    notes = entry.parents[1] / "pkgs-seen"
    lock = entry.with_name(f"{entry.name}.lock")
    return [lock, *(note for note in notes.glob("*.json") if note.name.rpartition("-")[0] == entry.name)]


def package_cache(cache_dir: Path, layers: tuple[Path, ...], damages: Iterable[Damage] = ()) -> PackageCache:
    """rattler's cache: ``pkgs/`` of the writable cache, then of the layers without their damaged entries."""
    from rattler import MatchSpec
    from rattler.package_cache import PackageCache, PackageCacheLayer, ValidationMode

    (cache_dir / "pkgs").mkdir(parents=True, exist_ok=True)
    stack = []
    for folder in (cache_dir, *layers):
        if not (folder / "pkgs").is_dir():
            continue
        # Entries were looked at already; rattler would fetch one again that it finds amiss, and link it unseen.
        layer = PackageCacheLayer(folder / "pkgs").with_validation_mode(ValidationMode.skip())
        for damage in damages:
            if damage.layer == folder != cache_dir:
                spec = f"{damage.package.name}=={damage.package.version}={damage.package.build}"
                layer = layer.excluding(MatchSpec(spec))
        stack.append(layer)
    return PackageCache.from_layers(stack)


def _note_path(layer: Path, package: CondaPackage) -> Path:
    return layer / "pkgs-seen" / f"{entry_name(package)}-{(package.sha256 or package.md5 or '')[:16]}.json"


def _is_of(entry: Path, package: CondaPackage) -> bool:
    """Whether an entry was unpacked from the archive that is wanted; also where its maker did not say from which."""
    try:
        digest = entry.with_name(f"{entry.name}.lock").read_bytes()[_REVISION:]
    except FileNotFoundError:
        return True
    return not digest or package.sha256 in {None, digest.hex()}


def _read_note(path: Path) -> _Note:
    try:
        content = json.loads(read_kept(path) or b"{}")
        if content.get("rules") != _RULES:
            return _Note()
        contents = Contents(
            paths=tuple(content["files"]),
            links=content["links"],
            commands=tuple(content["commands"]),
            for_any_python=content["for_any_python"],
            slips={path: Slip(*said) for path, said in content.get("slips", {}).items()},
        )
        return _Note(described=content["described"], files=content["files"], contents=contents)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return _Note()


def _write_note(entry: Path, path: Path, contents: Contents) -> None:
    note = {
        "rules": _RULES,
        "described": {name: _status(f"{entry}/{name}") for name in _DESCRIPTION if (entry / name).is_file()},
        "files": {name: _status(f"{entry}/{name}") for name in contents.paths},
        "links": dict(contents.links),
        "commands": contents.commands,
        "for_any_python": contents.for_any_python,
        "slips": dict(contents.slips),
    }
    keep_file(path, json.dumps(note).encode())  # without one the entry is read in full the next time


def _first_difference(entry: Path, note: _Note) -> str | None:
    """The first of an entry's files that is neither as it was noted nor of the hash in ``info/paths.json``."""
    root = os.fspath(entry)
    for path, noted in note.described.items():
        if _status(f"{root}/{path}") != noted:
            return path
    changed = [path for path, noted in note.files.items() if _status(f"{root}/{path}") != noted]
    if note.contents is not None and not changed:
        return None
    hashes = _hashes(entry)
    if hashes is None:
        return PATHS
    for path in hashes if note.contents is None else changed:
        if not _is_whole(f"{root}/{path}", hashes.get(path), may_be_unknown=note.contents is None):
            return path
    return None


def _status(path: str) -> list[int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return [status.st_size, status.st_mtime_ns]


def _hashes(entry: Path) -> dict[str, str | None] | None:
    """Path to hash by ``info/paths.json``; ``None`` where that cannot be read, empty for a package from before it."""
    try:
        rows = json.loads((entry / PATHS).read_bytes())["paths"]
        return {row["_path"]: row.get("sha256") for row in rows}
    except FileNotFoundError:
        return {} if (entry / "info" / "files").is_file() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _is_whole(path: str, expected: str | None, *, may_be_unknown: bool) -> bool:
    try:
        if expected and stat.S_ISREG(os.lstat(path).st_mode):
            return hex_digest(path) == expected
        return may_be_unknown and os.path.lexists(path)
    except (OSError, ValueError):
        return False
