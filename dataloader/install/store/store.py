"""The wheel store: each wheel unpacked once, under its archive's sha256; one writable cache over read-only layers.

    wheels/<first two digits>/<sha256>/recipe      what it installs (``recipe.py``), checksummed
    wheels/<first two digits>/<sha256>/files/...   the archive's members

An entry is made in a folder of its own beside the others and renamed into place, so that one that is there is whole.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from dataloader.base.digests import crc32, hexadecimal, record_digest
from dataloader.base.files import replace_file
from dataloader.base.reporter import Reporter
from dataloader.install.store.leftovers import take_out
from dataloader.install.store.recipe import Recipe, StoredFile
from dataloader.install.switch.owner import signed
from dataloader.install.switch.settle import settle, wait_for_all
from dataloader.prefix.walk import is_library_name

T = TypeVar("T")

_TEMPORARY = ".new-"

_ATTEMPTS = 5
"""Times that an entry is put in its place where something else is, which is gone when it is looked at."""


class VanishedEntry(Exception):
    """Another process has removed a package from the cache before it was used; it has to be fetched again."""

    def __init__(self, entry: Path) -> None:
        super().__init__(f"{entry} is gone")
        self.entry = entry


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWheel:
    """One unpacked wheel."""

    sha256: str
    layer: Path
    """The cache it lies in."""
    files: Path
    """The folder of its members."""
    recipe: Recipe

    def libraries(self) -> Iterator[tuple[str, str]]:
        """Absolute path of what is named like a library, and its key; not of what was changed since."""
        for file in self.recipe.files:
            if is_library_name(file.source):
                path = self.files / file.source
                with suppress(FileNotFoundError):  # whoever installs it says so
                    status = path.stat()
                    if (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns):
                        yield str(path), self.key_of(file)

    def key_of(self, file: StoredFile) -> str:
        """What a library's facts are kept under: 64 hexadecimal digits that stand for its content.

        SHA-256 of it, if it was computed. Else of where it comes from, which is as exact: a digest that RECORD alone
        vouches for must not speak for another package's library.
        """
        if file.crc is None:
            return hexadecimal(file.digest)
        return hashlib.sha256(f"{self.sha256}/{file.source}".encode("utf-8", "surrogateescape")).hexdigest()


class WheelStore:
    """Looks wheels up in the writable cache, then in the layers; adds to the writable one."""

    def __init__(self, cache_dir: Path, layers: tuple[Path, ...] = ()) -> None:
        self._writable = cache_dir
        self._layers = layers
        self._forgotten: set[Path] = set()

    def find(self, sha256: str) -> StoredWheel | None:
        """The entry of that archive hash, or ``None``. A damaged one counts as absent."""
        for layer in (self._writable, *self._layers):
            entry = entry_of(layer, sha256)
            if entry in self._forgotten:
                continue
            recipe = recipe_of(entry)
            if recipe is None:
                if layer == self._writable:
                    self.discard(sha256)
                continue
            if layer == self._writable:
                touch(entry)
            return StoredWheel(sha256=sha256, layer=layer, files=entry / "files", recipe=recipe)
        return None

    async def add(self, sha256: str, unpack: Callable[[Path], Awaitable[Recipe]], reporter: Reporter) -> StoredWheel:
        """Make the entry of an archive.

        Args:
            unpack: Unpacks an archive of that hash into an empty folder and returns what it installs.

        When another process was quicker, its entry is used.
        """
        final = entry_of(self._writable, sha256)

        async def fill(temporary: Path) -> StoredWheel:
            files = temporary / "files"
            files.mkdir()
            recipe = await unpack(files)
            (temporary / "recipe").write_bytes(recipe.to_bytes())
            return StoredWheel(sha256=sha256, layer=self._writable, files=final / "files", recipe=recipe)

        return await make_entry(final, fill, lambda: self.find(sha256), reporter)

    def examine(self, stored: StoredWheel, reporter: Reporter, *, all_files: bool) -> StoredWheel | None:
        """Hash an entry's files, and keep what turns out; ``None``, and it is used no more, when it is damaged.

        Args:
            all_files: As ``examined`` has it.
        """
        now, damaged = examined(stored, all_files=all_files)
        if damaged:
            reporter.warn(f"A cache entry is damaged ({damaged[0]} in {stored.files}); fetching it again.")
            self.forget(stored)
            return None
        if now != stored and stored.layer == self._writable:
            with suppress(OSError):  # it is hashed again the next time
                replace_file(stored.files.parent / "recipe", now.recipe.to_bytes())
        return now

    def forget(self, stored: StoredWheel) -> None:
        """Use a damaged entry no more: taken away where it can be, passed over in a read-only layer."""
        if stored.layer == self._writable:
            self.discard(stored.sha256)
        else:
            self._forgotten.add(entry_of(stored.layer, stored.sha256))

    def discard(self, sha256: str) -> None:
        """Take a damaged entry away; environments that were made from it keep their files."""
        take_out(entry_of(self._writable, sha256))


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


def recipe_of(entry: Path) -> Recipe | None:
    """What an entry of a store installs; ``None`` where there is none, or it is damaged."""
    try:
        return Recipe.from_bytes((entry / "recipe").read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


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


def entry_of(layer: Path, sha256: str) -> Path:
    """Where a cache has the wheel of an archive's hash, if it has it."""
    return layer / "wheels" / sha256[:2] / sha256


def examined(stored: StoredWheel, *, all_files: bool = True) -> tuple[StoredWheel, list[str]]:
    """An entry with its files hashed.

    Args:
        all_files: Hash also those whose digest was computed when they were unpacked, not only taken from RECORD.

    Returns:
        The entry with digests that are true of each file, and what its RECORD said of those that differ; and the
        members that are not what was unpacked.
    """
    files, damaged = [], []
    slips = dict(stored.recipe.slips)
    for file in stored.recipe.files:
        found = _hashed(stored, file) if all_files or file.crc is not None else file
        if found is None:
            damaged.append(file.source)
        else:
            files.append(found)
            if found.digest != file.digest:
                slips[file.source] = f"sha256={file.digest}"
    return replace(stored, recipe=replace(stored.recipe, files=tuple(files), slips=slips)), damaged


def _hashed(stored: StoredWheel, file: StoredFile) -> StoredFile | None:
    """A file with the digest that it has; ``None`` when it is not what was unpacked."""
    path = stored.files / file.source
    try:
        if path.stat().st_size != file.size:
            return None
        digest = record_digest(path)
        if digest != file.digest and (file.crc is None or crc32(path) != file.crc):
            return None
    except OSError:
        return None
    return file._replace(digest=digest, crc=None)
