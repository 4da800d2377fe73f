"""Entries of a store, each under a sha256: made whole, and looked up in one writable cache over others.

An entry is made in a folder of its own beside the others and renamed into place, so that one that is there is whole.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from dataloader.base.reporter import Reporter
from dataloader.install.store.leftovers import take_out
from dataloader.install.switch.owner import signed
from dataloader.install.switch.settle import settle, wait_for_all

T = TypeVar("T")

_TEMPORARY = ".new-"

_ATTEMPTS = 5
"""Times that an entry is put in its place where something else is, which is gone when it is looked at."""


class VanishedEntry(Exception):
    """Another process has removed a package from the cache before it was used; it has to be fetched again."""

    def __init__(self, entry: Path) -> None:
        super().__init__(f"{entry} is gone")
        self.entry = entry


class Entries(Generic[T]):
    """Those of one kind.

    Args:
        caches: Where they are looked for, in this order; the first alone is written to.
        place: Where a cache has the entry of a hash, if it has it.
        read: What an entry says that it holds; ``None`` where there is none, or it is damaged.
    """

    def __init__(
        self, caches: Sequence[Path], place: Callable[[Path, str], Path], read: Callable[[Path], T | None]
    ) -> None:
        self._caches, self._place, self._read = caches, place, read
        self._forgotten: set[Path] = set()

    def find(self, sha256: str) -> tuple[Path, T] | None:
        """The cache that has an entry, and what that holds. A damaged one counts as absent."""
        for cache in self._caches:
            place = self._place(cache, sha256)
            if place in self._forgotten:
                continue
            found = self._read(place)
            if cache == self._caches[0]:
                if found is None:
                    take_out(place)
                else:
                    touch(place)
            if found is not None:
                return cache, found
        return None

    def forget(self, cache: Path, sha256: str) -> None:
        """Use a damaged entry no more: taken away where it can be, passed over in a read-only cache.

        Environments that were made from it keep their files.
        """
        place = self._place(cache, sha256)
        if cache == self._caches[0]:
            take_out(place)
        else:
            self._forgotten.add(place)


async def make_entry(
    final: Path, fill: Callable[[Path], Awaitable[T]], find: Callable[[], T | None], reporter: Reporter
) -> T:
    """Make an entry of a store, whole at every moment; another process's, where that was quicker.

    Args:
        final: Where it goes.
        fill: Fills an empty folder, and returns what will be found at ``final`` then.
        find: Returns what is at ``final``, and takes away what is damaged.

    Raises:
        VanishedEntry: whatever is put there is gone at once.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.parent / signed(_TEMPORARY)
    temporary.mkdir()
    try:
        made = await fill(temporary)
        sizes = await settle(temporary, reporter)
        for _ in range(_ATTEMPTS):
            if _take_place(temporary, final):
                await wait_for_all(final, sizes)
                return made
            if found := find():
                return found
            # What was there is damaged, or was removed by another process: then the place is free now.
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    raise VanishedEntry(final)


def touch(entry: Path) -> None:
    """Note that an entry is used: the time of its folder says when it last was. Who may not write it, does not."""
    with suppress(OSError):
        os.utime(entry)


def _take_place(temporary: Path, final: Path) -> bool:
    """Rename an entry to its name; False where there is one already."""
    try:
        temporary.rename(final)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        return False
    return True
