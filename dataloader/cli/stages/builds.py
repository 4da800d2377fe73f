"""What may be built for a command: the builder, on the command's cache and indexes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.cli.stages.session import Session
from dataloader.request.request import Request

if TYPE_CHECKING:
    from dataloader.build.builder import SourceBuilder
    from dataloader.build.shared import SharedBuilds
    from dataloader.index.client import IndexClient
    from dataloader.install.model import WheelBuilder
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.built import Sources


@asynccontextmanager
async def sources_of(session: Session, request: Request, client: IndexClient) -> AsyncIterator[Sources | None]:
    """What a request may have built, for who solves it; nothing where it allows nothing."""
    if not request.built:
        yield None
        return
    builder = _builder(session, request, client)
    try:
        yield builder
    finally:
        await builder.close()


def builder_for(
    session: Session, request: Request, lock: Lockfile, client: IndexClient, layers: tuple[Path, ...] = ()
) -> WheelBuilder | None:
    """Return what builds the sources of a lock: who made the lock allowed them, by name.

    Args:
        layers: Caches that have what builds need, too.
    """
    if not any(package.build for package in lock.pypi()):
        return None
    return _builder(session, request, client, layers)


def _builder(session: Session, request: Request, client: IndexClient, layers: tuple[Path, ...] = ()) -> SourceBuilder:
    from dataloader.build.builder import SourceBuilder
    from dataloader.build.environment import Ground
    from dataloader.build.limits import limits_of

    ground = Ground(
        request=request,
        client=client,
        cache=session.cache,
        environ=session.environ,
        offline=session.options.offline,
        layers=layers,
        limits=limits_of(request.build_limits, session.environ),
        shared=shared_builds(session, request),
    )
    return SourceBuilder(ground, session.reporter)


def shared_builds(session: Session, request: Request) -> SharedBuilds | None:
    """Return the registry of builds that a request, or this machine, names."""
    from dataloader.build.shared import SharedBuilds, registry_of

    repository = registry_of(request.build_registry, session.environ)
    if repository is None:
        return None
    return SharedBuilds(repository=repository, settings=request.settings, reporter=session.reporter)
