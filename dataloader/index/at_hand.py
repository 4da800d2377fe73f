"""Files of addresses that lie in folders of this machine: those of find-links, and mirrors that are folders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from dataloader.base.digests import hex_digest
from dataloader.base.names import file_name_of
from dataloader.index.web.addresses import local_path
from dataloader.index.web.mirrors import Mirrors


class AtHand:
    """Where no network is asked."""

    def __init__(self, find_links: Sequence[str], mirrors: Mirrors) -> None:
        self._folders = [path for location in find_links if (path := local_path(location)) is not None]
        self._mirrors = mirrors

    def has(self, url: str) -> bool:
        """Whether a file of that name is there; whether it is the right one, only its hash says."""
        return next(self._files(url), None) is not None

    async def find(self, url: str, sha256: str | None) -> Path | None:
        """Return the file that is the one at ``url``: by its name and its hash."""
        if sha256 is None or local_path(url) is not None:
            return None
        for file in self._files(url):
            if await asyncio.to_thread(hex_digest, file) == sha256:
                return file
        return None

    def _files(self, url: str) -> Iterator[Path]:
        name = file_name_of(url)
        linked = [folder if folder.name == name else folder / name for folder in self._folders]
        mirrored = map(local_path, self._mirrors.addresses(url))
        yield from (path for path in (*linked, *mirrored) if path is not None and path.is_file())
