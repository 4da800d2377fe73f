"""What says who published a file: provenance documents of indexes (PEP 740), sidecars of conda channels (CEP 50).

What was fetched once is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final
from urllib.parse import urlsplit, urlunsplit

from dataloader.base.errors import IndexUnavailable
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.index.web.addresses import local_path
from dataloader.index.web.failures import Failed, NotFound, check_sha256, offline_missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dataloader.index.settings import IndexSettings
    from dataloader.index.store import IndexStore
    from dataloader.index.web.http import Web

_LARGEST_SIDECAR = 4 << 20
"""Bytes, as rattler has it; a bundle takes some ten thousand."""


@final
@dataclass(frozen=True, slots=True)
class Evidence:
    """Fetches it for an ``IndexClient``."""

    web: Web
    store: IndexStore
    settings: IndexSettings
    indexes: Sequence[str]

    async def provenance(self, project: str, filename: str, sha256: str, index: str | None) -> bytes | None:
        """The provenance document of a wheel; ``None`` when no index has one.

        ``index`` is where the lock has the file from; ``None``: any of the configured ones.

        Raises:
            IndexUnavailable, UsageError: As ``IndexClient.project``.
        """
        from dataloader.index.pages.provenance import provenance_link
        from dataloader.index.pages.simple import ACCEPT

        kept = None if self.settings.refresh else self.store.load_provenance(sha256)
        if kept is not None:
            return kept
        for location in [index] if index else self.indexes:
            if local_path(location) is not None:
                continue
            if self.settings.offline:
                raise offline_missing(f"the provenance of {filename} is not in the cache")
            try:
                page = await self.web.get(f"{location.rstrip('/')}/{normalized(project)}/", {"Accept": ACCEPT})
                link = provenance_link(page.body, page.headers.get("Content-Type", ""), page.url, filename)
                document = (await self.web.get(link, {"Accept": "application/json"})).body if link else None
            except NotFound:
                continue
            if document is not None:
                self.store.save_provenance(sha256, document)
                return document
        return None

    async def sidecar(self, url: str, sha256: str) -> bytes | None:
        """The attestations of the conda package at ``url`` whose repodata names their sha256; ``None``: not there.

        Raises:
            IntegrityError: What is there is something else (``hash-mismatch``).
            IndexUnavailable, UsageError: As ``IndexClient.project``.
        """
        parts = urlsplit(url)
        address = urlunsplit(parts._replace(path=f"{parts.path}.sigs.{sha256}"))
        path = local_path(address)
        if path is not None:
            return _read(path, sha256)
        kept = self.store.load_provenance(sha256)
        if kept is not None:
            return kept
        if self.settings.offline:
            raise offline_missing(f"the attestations of {parts.path.rpartition('/')[2]} are not in the cache")
        try:
            answer = await self.web.get(address, {}, limit=_LARGEST_SIDECAR, sha256=sha256)
        except NotFound:
            return None
        self.store.save_provenance(sha256, answer.body)
        return answer.body


def _read(path: Path, sha256: str) -> bytes | None:
    try:
        body = path.read_bytes()
        check_sha256(body, sha256, str(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IndexUnavailable(f"{path} cannot be read: {error.strerror}", code="channel-unavailable") from error
    except Failed as failure:
        raise failure.error from failure
    return body
