"""The cache of unpacked conda packages: rattler's, in layers, with a cheap look at each entry before it is linked.

rattler checks an archive's hash when it unpacks it, and trusts the entry from then on. Files of an environment may be
hard links to it, though, so whoever writes to one in place changes the cache. Here each entry's sizes and times are
noted when it is new (``pkgs-seen/``), and one that differs is compared with the hashes of its ``info/paths.json``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dataloader.base.digests import hex_digest
from dataloader.base.files import keep_file, read_kept
from dataloader.install.store.leftovers import take_out
from dataloader.install.store.store import touch
from dataloader.lockfile.model import CondaPackage

if TYPE_CHECKING:
    from rattler.package_cache import PackageCache

Seen: TypeAlias = dict[str, tuple[int, int]]
"""Path in the entry to size in bytes and time in nanoseconds."""

_DESCRIPTION = ("info/index.json", "info/paths.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """An entry that is not what was unpacked."""

    package: CondaPackage
    layer: Path
    path: str
    """The first file that differs."""


def entry_name(package: CondaPackage) -> str:
    """The folder that rattler gives a package in its cache."""
    return f"{package.name}-{package.version}-{package.build}"


def find_damage(packages: Iterable[CondaPackage], cache_dir: Path, layers: tuple[Path, ...]) -> list[Damage]:
    """The cached packages that must not be linked. Those that nobody has noted down yet are read in full, once."""
    damages = []
    for package in packages:
        for layer in (cache_dir, *layers):
            entry = layer / "pkgs" / entry_name(package)
            if not entry.is_dir():
                continue
            if layer == cache_dir:
                touch(entry)
            path = _first_difference(entry, _note(layer, package))
            if path is None:
                if not _note(layer, package).exists() and layer == cache_dir:
                    _keep_note(entry, _note(layer, package))
                break  # rattler will take this one
            if not entry.is_dir():
                continue  # another process has removed it meanwhile
            damages.append(Damage(package=package, layer=layer, path=path))
    return damages


def note_new(packages: Iterable[CondaPackage], cache_dir: Path) -> None:
    """Note down entries that rattler has just unpacked from archives of the right hash."""
    for package in packages:
        _keep_note(cache_dir / "pkgs" / entry_name(package), _note(cache_dir, package))


def remove_locks(packages: Iterable[CondaPackage], cache_dir: Path) -> None:
    """Remove the locks that rattler made for packages which it has not unpacked; it makes new ones."""
    for package in packages:
        entry = cache_dir / "pkgs" / entry_name(package)
        if not entry.is_dir():
            entry.with_name(f"{entry.name}.lock").unlink(missing_ok=True)


def discard(damage: Damage, cache_dir: Path) -> None:
    """Take a damaged entry of the writable cache away. Environments that were made from it keep their files."""
    if damage.layer == cache_dir:
        _note(cache_dir, damage.package).unlink(missing_ok=True)
        take_out(cache_dir / "pkgs" / entry_name(damage.package))


def missing_of(packages: Iterable[CondaPackage], cache_dir: Path, layers: tuple[Path, ...]) -> list[CondaPackage]:
    """Those that no cache has."""
    return [
        package
        for package in packages
        if not any((layer / "pkgs" / entry_name(package)).is_dir() for layer in (cache_dir, *layers))
    ]


def find_difference(entry: Path) -> str | None:
    """The first file of an entry whose content differs from its own ``info/paths.json`` (reads everything)."""
    return _first_difference(entry, entry / "no-note")


def notes_of(entry: Path) -> list[Path]:
    """What the cache keeps beside an entry: rattler's lock, and notes of its files."""
    notes = entry.parents[1] / "pkgs-seen"
    lock = entry.with_name(f"{entry.name}.lock")
    return [lock, *(note for note in notes.glob("*.json") if note.name.rpartition("-")[0] == entry.name)]


def package_cache(cache_dir: Path, layers: tuple[Path, ...], damages: Iterable[Damage] = ()) -> PackageCache:
    """rattler's cache: ``pkgs/`` of the writable cache, then of the layers without their damaged entries."""
    from rattler import MatchSpec
    from rattler.package_cache import PackageCache, PackageCacheLayer

    (cache_dir / "pkgs").mkdir(parents=True, exist_ok=True)
    stack = []
    for folder in (cache_dir, *layers):
        if not (folder / "pkgs").is_dir():
            continue
        layer = PackageCacheLayer(folder / "pkgs")
        for damage in damages:
            if damage.layer == folder != cache_dir:
                spec = f"{damage.package.name}=={damage.package.version}={damage.package.build}"
                layer = layer.excluding(MatchSpec(spec))
        stack.append(layer)
    return PackageCache.from_layers(stack)


def _note(layer: Path, package: CondaPackage) -> Path:
    return layer / "pkgs-seen" / f"{entry_name(package)}-{(package.sha256 or package.md5 or '')[:16]}.json"


def _first_difference(entry: Path, note: Path) -> str | None:
    try:
        seen: Seen = json.loads(read_kept(note) or b"{}")
    except ValueError:
        seen = {}
    try:
        rows = json.loads((entry / "info" / "paths.json").read_bytes())["paths"]
    except (OSError, ValueError, KeyError, TypeError):
        return "info/paths.json"
    hashes: dict[str, str | None] = {row["_path"]: row.get("sha256") for row in rows}
    root = os.fspath(entry)
    for path in (*_DESCRIPTION, *hashes):
        try:
            status = os.lstat(f"{root}/{path}")
            if (status.st_size, status.st_mtime_ns) == tuple(seen.get(path, ())):
                continue
            expected = hashes.get(path)
            if (expected and hex_digest(f"{root}/{path}") != expected) or (seen and path in _DESCRIPTION):
                return path
        except OSError:
            return path
    return None


def _keep_note(entry: Path, note: Path) -> None:
    """Without a note the entry is read in full the next time, so one that cannot be written is no error."""
    try:
        rows = json.loads((entry / "info" / "paths.json").read_bytes())["paths"]
        seen: Seen = {}
        for path in (*_DESCRIPTION, *(row["_path"] for row in rows)):
            status = os.lstat(entry / path)
            seen[path] = (status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        return  # another process has removed the entry
    keep_file(note, json.dumps(seen).encode())
