"""The layer store: each layer of an image unpacked once, under its digest; one writable cache over others.

layers/<first two digits>/<sha256>/recipe      what it holds, checksummed
layers/<first two digits>/<sha256>/files/...   its files, relative to the prefix
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

from dataloader.base.digests import hex_digest
from dataloader.base.files import keep_file, read_kept
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.install.store.entries import Entries, make_entry


class LayerFile(NamedTuple):
    """One file, or link, of a layer, as it lies in the cache. A tuple, because there are ten thousands."""

    path: str
    """Relative to the prefix, with ``/``."""
    size: int
    sha256: str
    """Hexadecimal; empty for a link."""
    mtime_ns: int
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLayer:
    """One unpacked layer."""

    sha256: str
    cache: Path
    """The cache it lies in."""
    files: Path
    entries: tuple[LayerFile, ...]

    def is_intact(self, entry: LayerFile) -> bool:
        """Whether a file is what was unpacked: by size and time, else by its content."""
        path = self.files / entry.path
        try:
            if entry.target is not None:
                return _leads(path, entry.target)
            status = path.lstat()
            if (status.st_size, status.st_mtime_ns) == (entry.size, entry.mtime_ns):
                return True
            return hex_digest(path) == entry.sha256
        except OSError:
            return False


class LayerStore:
    """Looks layers up in the writable cache, then in the others; adds to the writable one."""

    def __init__(self, cache: Path, others: tuple[Path, ...] = ()) -> None:
        self.cache = cache
        self._entries = Entries((cache, *others), _place, entries_of)

    def find(self, sha256: str) -> StoredLayer | None:
        """The layer of that digest; ``None`` where there is none that is whole."""
        found = self._entries.find(sha256)
        if found is None:
            return None
        cache, entries = found
        return StoredLayer(sha256=sha256, cache=cache, files=_place(cache, sha256) / "files", entries=entries)

    async def add(
        self, sha256: str, bring: Callable[[Path], Awaitable[list[LayerFile]]], reporter: Reporter
    ) -> StoredLayer:
        """Make the entry of a layer.

        Args:
            bring: Unpacks the layer into an empty folder, checked by its hash.
        """
        final = _place(self.cache, sha256)

        async def fill(temporary: Path) -> StoredLayer:
            files = temporary / "files"
            files.mkdir()
            entries = await bring(files)
            if error := keep_file(temporary / "recipe", json.dumps(entries).encode()):
                raise error
            return StoredLayer(sha256=sha256, cache=self.cache, files=final / "files", entries=tuple(entries))

        return await make_entry(final, fill, lambda: self.find(sha256), reporter)

    def forget(self, stored: StoredLayer) -> None:
        """Use a damaged layer no more."""
        self._entries.forget(stored.cache, stored.sha256)


def entries_of(place: Path) -> tuple[LayerFile, ...] | None:
    """What an entry of the store holds; ``None`` where there is none, or it is damaged."""
    data = read_kept(place / "recipe")
    if data is None:
        return None
    return tuple(LayerFile(*row) for row in json.loads(data))


def is_whole(place: Path) -> bool:
    """Whether an entry holds what was unpacked, byte for byte."""
    entries = entries_of(place)
    if entries is None:
        return False
    try:
        return all(_content(place / "files" / entry.path, entry) for entry in entries)
    except OSError:
        return False


def _content(path: Path, entry: LayerFile) -> bool:
    return _leads(path, entry.target) if entry.target is not None else hex_digest(path) == entry.sha256


def _leads(path: Path, target: str) -> bool:
    """Whether a link is as it was unpacked; on a volume without links it is in the recipe alone."""
    try:
        return str(path.readlink()) == target
    except FileNotFoundError:
        return True


def _place(cache: Path, sha256: str) -> Path:
    return cache / "layers" / sha256[:2] / sha256
