"""The wheel store: each wheel unpacked once, under its archive's sha256; one writable cache over read-only layers.

wheels/<first two digits>/<sha256>/recipe      what it installs (``recipe.py``), checksummed
wheels/<first two digits>/<sha256>/files/...   the archive's members
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dataloader.base.digests import crc32, hexadecimal, record_digest
from dataloader.base.files import replace_file
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.install.store.entries import Entries, make_entry
from dataloader.install.store.recipe import Recipe, StoredFile
from dataloader.prefix.walk import is_library_name


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
        self._entries = Entries((cache_dir, *layers), entry_of, recipe_of)

    def find(self, sha256: str) -> StoredWheel | None:
        """The entry of that archive hash, or ``None``. A damaged one counts as absent."""
        found = self._entries.find(sha256)
        if found is None:
            return None
        layer, recipe = found
        return StoredWheel(sha256=sha256, layer=layer, files=entry_of(layer, sha256) / "files", recipe=recipe)

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
            reporter.warn(f"a cache entry is damaged ({damaged[0]} in {stored.files}); fetching it again")
            self.forget(stored)
            return None
        if now != stored and stored.layer == self._writable:
            with suppress(OSError):  # it is hashed again the next time
                replace_file(stored.files.parent / "recipe", now.recipe.to_bytes())
        return now

    def forget(self, stored: StoredWheel) -> None:
        """Use a damaged entry no more."""
        self._entries.forget(stored.layer, stored.sha256)

    def discard(self, sha256: str) -> None:
        """Take away what the writable cache has of that hash."""
        self._entries.forget(self._writable, sha256)


def recipe_of(entry: Path) -> Recipe | None:
    """What an entry of a store installs; ``None`` where there is none, or it is damaged."""
    try:
        return Recipe.from_bytes((entry / "recipe").read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return None


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
