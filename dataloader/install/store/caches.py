"""Look after the caches of unpacked packages: how large they are, whether they are whole, what nobody uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataloader.base.reporter import Reporter
from dataloader.install.conda.cache import is_damaged
from dataloader.install.store.store import WheelStore, damaged_files
from dataloader.install.switch.owner import is_abandoned
from dataloader.prefix.model import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One unpacked package."""

    kind: Kind
    name: str
    """``name version``, for a conda package its build too."""
    path: Path
    size: int
    """Bytes on disk."""
    in_use: bool
    """Whether an environment shares files with it. Environments that hold copies or clones cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was taken out of a cache."""

    names: tuple[str, ...]
    size: int
    """Bytes on disk that this freed."""


def cache_entries(cache_dir: Path) -> Iterator[CacheEntry]:
    """Every unpacked package of a cache, wheels first, by path."""
    store = WheelStore(cache_dir)
    for folder in store.entries():
        stored = store.find(folder.name)
        if stored is not None:
            yield _entry("pypi", f"{stored.recipe.name} {stored.recipe.version}", folder)
    for folder in sorted((cache_dir / "pkgs").glob("*/info/index.json")):
        yield _entry("conda", folder.parent.parent.name, folder.parent.parent)


def verify_cache(cache_dir: Path, reporter: Reporter) -> Removed:
    """Read every file, and remove the entries that are not what was unpacked; the next sync fetches them again."""
    names, size = [], 0
    store = WheelStore(cache_dir)
    whole = {folder.name for folder in store.entries()}
    entries = list(cache_entries(cache_dir))  # takes away wheels whose recipe cannot be read
    names += sorted(whole - {folder.name for folder in store.entries()})
    reporter.start("verify-cache", "Reading the cache", len(entries), "packages")
    for entry in entries:
        if _is_damaged(entry, store):
            _remove(entry.path, cache_dir)
            names.append(entry.name)
            size += entry.size
        reporter.advance("verify-cache", 1)
    reporter.finish("verify-cache")
    return Removed(names=tuple(names), size=size)


def prune_cache(cache_dir: Path, *, everything: bool = False) -> Removed:
    """Remove packages that no environment shares files with, archives half downloaded, and what the dead left.

    With ``everything`` also those in use: environments keep their files, but later ones share none with them.
    """
    names, size = [], 0
    for entry in cache_entries(cache_dir):
        if everything or not entry.in_use:
            _remove(entry.path, cache_dir)
            names.append(entry.name)
            size += entry.size
    WheelStore(cache_dir).sweep()
    for path in sorted((cache_dir / "pkgs").glob(".*")):  # rattler's, when its process was killed while unpacking
        if is_abandoned(path):
            shutil.rmtree(path, ignore_errors=True)
    for path in sorted((cache_dir / "downloads").glob("*")):
        if path.suffix != ".lease" and (everything or is_abandoned(path)):
            size += path.lstat().st_size
            path.unlink()
            names.append(path.name)
    return Removed(names=tuple(names), size=size)


def _is_damaged(entry: CacheEntry, store: WheelStore) -> bool:
    if entry.kind == "conda":
        return is_damaged(entry.path)
    stored = store.find(entry.path.name)
    return stored is None or any(damaged_files(stored))


def _entry(kind: Kind, name: str, folder: Path) -> CacheEntry:
    size, links = 0, 1
    for where, _, files in os.walk(folder):
        for file in files:
            status = os.lstat(f"{where}/{file}")
            size += status.st_blocks * 512
            links = max(links, status.st_nlink)
    return CacheEntry(kind=kind, name=name, path=folder, size=size, in_use=links > 1)


def _remove(folder: Path, cache_dir: Path) -> None:
    """Under another name first: what is half removed must not be taken for whole."""
    doomed = folder.with_name(f".old-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
    for note in (cache_dir / "pkgs-seen").glob(f"{folder.name}-*.json"):
        note.unlink(missing_ok=True)
