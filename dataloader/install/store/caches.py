"""Look at a cache: what is in it, how large that is, whether the packages are whole."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from dataloader.base.names import World
from dataloader.base.reporter import Reporter
from dataloader.base.sealed import is_sealed
from dataloader.base.values import dataclass
from dataloader.install.conda.cache import find_difference, notes_of
from dataloader.install.store.holdings import HOLDINGS, Found, Holding, is_left_over, survey
from dataloader.install.store.layers import is_whole
from dataloader.install.store.leftovers import remove, take_out
from dataloader.install.store.recipe import Recipe
from dataloader.install.store.store import StoredWheel, examined, recipe_of
from dataloader.install.store.users import users_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """One unpacked package."""

    kind: World | Literal["layer"]
    name: str
    """``name version``, for a conda package its build too; of a layer, and a wheel that cannot be read, its sha256."""
    path: Path
    size: int
    """Bytes on disk."""
    in_use: bool
    """Whether an environment shares files with it. Environments that hold copies or clones cannot be told."""
    used: float
    """When a sync last used it: seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was taken out of a cache."""

    names: tuple[str, ...]
    size: int
    """Bytes on disk that this freed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How much of a cache one kind of holding is."""

    holding: Holding
    count: int
    size: int
    """Bytes on disk."""
    left_over: int
    """How many of them are of no use to anybody."""


def cache_entries(cache_dir: Path) -> Iterator[CacheEntry]:
    """Every unpacked package and layer of a cache, conda packages last, by path."""
    paths = [found.path for found in survey(cache_dir) if found.holding and found.holding.stay == "package"]
    for path in sorted(paths, key=lambda path: (path.startswith("pkgs/"), path)):
        with suppress(FileNotFoundError):  # another process has just removed it
            yield _entry(cache_dir / path)


def shares(cache_dir: Path) -> list[Share]:
    """What a cache holds, by kind."""
    users = users_of(cache_dir)
    found_by_kind: dict[str, list[Found]] = defaultdict(list)
    for found in survey(cache_dir):
        if found.holding is not None:
            found_by_kind[found.holding.kind].append(found)
    kinds = {holding.kind: holding for holding in reversed(HOLDINGS)}
    return [
        Share(
            holding=holding,
            count=len(found_by_kind[kind]),
            size=sum(size_of(cache_dir / found.path) for found in found_by_kind[kind]),
            left_over=sum(is_left_over(cache_dir, found, users) for found in found_by_kind[kind]),
        )
        for kind, holding in reversed(kinds.items())
        if kind in found_by_kind
    ]


def unknown_paths(cache_dir: Path) -> tuple[str, ...]:
    """What lies in a cache that is not this program's: paths below it."""
    return tuple(sorted(found.path for found in survey(cache_dir) if found.holding is None))


def verify_cache(cache_dir: Path, reporter: Reporter, *, dry_run: bool = False) -> Removed:
    """Read every file, and remove packages and records that are not what was written. The next sync makes them anew.

    Args:
        dry_run: Change nothing; tell what would be removed.
    """
    names, size = [], 0
    entries = list(cache_entries(cache_dir))
    reporter.start("verify-cache", "Reading the cache", len(entries), "packages")
    for entry in entries:
        # What another process removes meanwhile is not damaged.
        if _is_damaged(entry) and entry.path.exists() and (dry_run or take_out(entry.path)):
            if not dry_run:
                remove_notes(entry.path)
            names.append(entry.name)
            size += entry.size
        reporter.advance("verify-cache", 1)
    reporter.finish("verify-cache")
    for path in _damaged_records(cache_dir):
        names.append(os.fspath(path.relative_to(cache_dir)))
        size += size_of(path)
        if not dry_run:
            remove(path)
    return Removed(names=tuple(names), size=size)


def remove_notes(package: Path) -> None:
    """What the cache keeps beside a conda package goes after it."""
    for note in notes_of(package):
        remove(note)


def size_of(path: Path) -> int:
    """Bytes on disk of a file, or of a folder with all that is in it."""
    return _extent(path)[0]


def _damaged_records(cache_dir: Path) -> Iterator[Path]:
    for found in survey(cache_dir):
        if found.holding and found.holding.stay in {"record", "lock"} and found.holding.is_sealed:
            path = cache_dir / found.path
            with suppress(OSError), path.open("rb") as file:  # another process has just removed it
                if not is_sealed(file):
                    yield path


def _is_damaged(entry: CacheEntry) -> bool:
    if entry.kind == "conda":
        return find_difference(entry.path) is not None
    if entry.kind == "layer":
        return not is_whole(entry.path)
    recipe = recipe_of(entry.path)
    if recipe is None:
        return True
    return bool(examined(_stored(entry.path, recipe))[1])


def _stored(path: Path, recipe: Recipe) -> StoredWheel:
    return StoredWheel(sha256=path.name, layer=path.parents[2], files=path / "files", recipe=recipe)


def _entry(path: Path) -> CacheEntry:
    used = path.lstat().st_mtime
    size, links = _extent(path)
    kind: World | Literal["layer"] = "conda" if path.parent.name == "pkgs" else "pypi"
    if path.parents[1].name == "layers":
        kind = "layer"
    recipe = recipe_of(path) if kind == "pypi" else None
    return CacheEntry(
        kind=kind,
        name=f"{recipe.name} {recipe.version}" if recipe else path.name,
        path=path,
        size=size,
        in_use=links > 1,
        used=used,
    )


def _extent(path: Path) -> tuple[int, int]:
    """Bytes on disk, and the most names that one of the files has."""
    size, links = 0, 1
    folders = [os.fspath(path)]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                        continue
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_blocks * 512
                    links = max(links, status.st_nlink)
        except NotADirectoryError:
            return os.lstat(folder).st_blocks * 512, 1
        except OSError:
            continue  # another process removes it; or it is not ours to read
    return size, links
