"""Less of a cache: packages that nobody needs, and what killed processes left. What stays is told with its reason."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dataloader.base.values import dataclass
from dataloader.install.store.caches import CacheEntry, cache_entries, remove_notes, size_of, unknown_paths
from dataloader.install.store.holdings import DAY, Found, is_left_over, survey
from dataloader.install.store.leftovers import remove, take_out
from dataloader.install.store.users import Users, users_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Something in a cache, and what becomes of it."""

    kind: str
    """``pypi`` or ``conda``; of what is no package, its kind of holding."""
    name: str
    path: Path
    size: int
    """Bytes on disk."""
    goes: bool
    why: str
    """Why it goes, or stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was taken out of a cache, or would be, and what was not."""

    removed: tuple[Fate, ...]
    kept: tuple[Fate, ...]
    """Packages, archives, and what others may be at work on. Records stay, and are not named."""
    unknown: tuple[str, ...]
    """Paths below the cache that are not this program's. They stay."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of what was removed."""
        return tuple(fate.name for fate in self.removed)

    @property
    def size(self) -> int:
        """Bytes on disk that this freed."""
        return sum(fate.size for fate in self.removed)


def prune_cache(cache_dir: Path, *, everything: bool = False, dry_run: bool = False) -> Pruned:
    """Remove packages that nobody needs, and what is left over of processes that died.

    A package stays while a running sync needs it, while an environment shares files with it, and for a day after a sync
    last used it. Nor is a sync harmed that begins meanwhile: what it misses it fetches again.

    Args:
        everything: Remove all that no running sync needs. Environments keep their files, but later ones share none
            with them.
        dry_run: Change nothing; tell what would be removed.
    """
    verdicts = []
    for entry in cache_entries(cache_dir):
        verdict = _judge_package(entry, users_of(cache_dir), everything=everything)
        if verdict.goes and not dry_run:
            verdict = _removed(verdict, cache_dir)
        verdicts.append(verdict)
    rest = list(_judge_rest(cache_dir, everything=everything))
    verdicts += [_swept(verdict) if verdict.goes and not dry_run else verdict for verdict in rest]
    return Pruned(
        removed=tuple(verdict for verdict in verdicts if verdict.goes),
        kept=tuple(verdict for verdict in verdicts if not verdict.goes),
        unknown=unknown_paths(cache_dir),
    )


def _judge_package(entry: CacheEntry, users: Users, *, everything: bool) -> Fate:
    idle = time.time() - entry.used
    if users.need(entry.path.name):
        goes, why = False, "a running sync needs it"
    elif everything:
        goes, why = True, "no running sync needs it"
    elif entry.in_use:
        goes, why = False, "an environment shares files with it"
    elif idle < DAY:
        goes, why = False, "a sync used it within a day"
    else:
        goes, why = True, f"no environment shares files with it, no sync has used it for {idle / DAY:.0f} day(s)"
    return Fate(kind=entry.kind, name=entry.name, path=entry.path, size=entry.size, goes=goes, why=why)


def _removed(verdict: Fate, cache_dir: Path) -> Fate:
    """Remove a package, unless somebody begins to need it at the last moment."""
    try:
        is_gone = take_out(verdict.path, lambda: users_of(cache_dir).need(verdict.path.name))
    except OSError as error:
        return replace(verdict, goes=False, why=f"it cannot be removed: {error.strerror}")
    if not is_gone:
        return replace(verdict, goes=False, why="a sync has just begun to need it")
    if verdict.kind == "conda":
        remove_notes(verdict.path)
    return verdict


def _swept(verdict: Fate) -> Fate:
    """Remove what is no package."""
    remove(verdict.path)
    is_there = os.path.lexists(verdict.path)
    return replace(verdict, goes=False, why=f"{verdict.why}, and cannot be removed") if is_there else verdict


def _judge_rest(cache_dir: Path, *, everything: bool) -> Iterator[Fate]:
    """What is no package."""
    users = users_of(cache_dir)
    for found in survey(cache_dir):
        if found.holding is None or found.holding.stay in {"package", "record"}:
            continue
        if is_left_over(cache_dir, found, users):
            yield _verdict(cache_dir, found, goes=True, why="left over by a process that has ended")
        elif found.holding.stay == "archive" and users.need(found.name.partition(".")[0]):
            yield _verdict(cache_dir, found, goes=False, why="a running sync needs it")
        elif found.holding.stay == "archive":
            why = "no running sync needs it" if everything else "the next sync that needs it goes on with it"
            yield _verdict(cache_dir, found, goes=everything, why=why)
        elif found.holding.stay in {"temporary", "lease"}:
            yield _verdict(cache_dir, found, goes=False, why="a process may be at work on it")


def _verdict(cache_dir: Path, found: Found, *, goes: bool, why: str) -> Fate:
    assert found.holding is not None
    path = cache_dir / found.path
    return Fate(kind=found.holding.kind, name=path.name, path=path, size=size_of(path), goes=goes, why=why)
