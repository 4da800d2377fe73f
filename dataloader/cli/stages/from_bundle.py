"""A bundle, installed: its lock as it is, its archives in the place of downloads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import IntegrityError, UsageError
from dataloader.base.files import remove_tree
from dataloader.base.links import link_or_copy
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.as_it_is import check_nothing_to_solve
from dataloader.cli.stages.flow import Destination, sync_lock, to_the_end
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.session import open_session
from dataloader.cli.stages.solving import client_of
from dataloader.cli.telling.documents import sync_document, sync_text
from dataloader.lockfile.yaml import parse_lock
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dataloader.bundle.tar import Bundle
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.index.web.part import Sink
    from dataloader.install.model import SyncResult
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.request import Request


_OF_ELSEWHERE = ("lockfile", "index_url", "extra_index_url", "find_links", "mirror", "limit_rate", "refresh")
"""Options that say where a lock or an archive comes from."""


def sync_bundle(
    options: CommonOptions,
    source: Path,
    *,
    command: str,
    check: bool = False,
    place: Destination | None = None,
) -> int:
    """Make the prefix match the lock of a bundle, of its archives alone."""
    from dataloader.bundle.tar import opened

    place = place or Destination()
    with open_session(options, command, place.name) as session:
        request = make_request(options, (), None, environ=session.environ, here=session.here)
        check_nothing_to_solve(options, f"from {source}")
        if said := options.spelled(_OF_ELSEWHERE):
            raise UsageError(
                f"{source} holds the lock and all that it names: {', '.join(said)} can have no effect",
                suggestions=("leave it out",),
            )
        request = replace(request, prefix=place.prefix(request.prefix))
        with _aside(session) as folder, opened(source, folder) as made:
            lock = parse_lock(made.lock, source)

            async def work() -> SyncResult:
                async with client_of(session, request) as client:
                    return await _install(session, request, client, lock, made, check=check, place=place)

            result = to_the_end(work())
        session.write(
            {"status": "ok", **sync_document(result, request.prefix), "left_out": []},
            sync_text(result, request.prefix, dry_run=session.options.dry_run),
        )
    return 0


def _aside(session: Session) -> AbstractContextManager[Path]:
    """Return a folder in the cache, so that archives need not be copied; it goes when it is left."""
    from dataloader.install.switch.owner import signed

    @contextmanager
    def made() -> Iterator[Path]:
        folder = session.cache / signed("bundle-")
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            remove_tree(folder)

    return made()


async def _install(
    session: Session,
    request: Request,
    client: IndexClient,
    lock: Lockfile,
    made: Bundle,
    *,
    check: bool,
    place: Destination,
) -> SyncResult:
    proof = Proof(session, place.layers)

    async def attempt() -> SyncResult:
        return await sync_lock(
            session,
            request,
            lock,
            {},
            client,
            proof,
            check=check,
            place=place,
            foreign=True,
            download=_FromBundle(made),
        )

    return await proof.until_it_loads(attempt, lambda: lock, again=False)


class _FromBundle:
    """Hands out the archives of a bundle, each by its hash, in the place of downloads."""

    def __init__(self, made: Bundle) -> None:
        self._made = made

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        del size, task, sink
        source = self._made.archives.get(sha256 or "")
        if source is None:
            raise IntegrityError(
                f"{url.rpartition('/')[2]} is in the lock of {self._made.folder}, and not among its archives",
                code="bundle-damaged",
                suggestions=("make the bundle anew: `dataloader bundle`",),
            )
        destination.parent.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(link_or_copy, os.fspath(source), os.fspath(destination))
