"""``dataloader outdated``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from dataloader.cli.line.command import LOCK, LOOK, command
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.builds import sources_of
from dataloader.cli.stages.session import open_session
from dataloader.cli.telling.render import table
from dataloader.process.running import to_the_end
from dataloader.request.places import find
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.request import Request


_NOTHING = "everything is as new as it can be"


@command(
    example="dataloader outdated",
    takes=(*LOCK, *LOOK, "platform", "target", "prerelease", "exclude_newer", "matrix"),
)
def outdated(options: CommonOptions) -> int:
    """Show which locked packages have newer releases, and which of those would go together.

    UPGRADE is what solving afresh gives for all that is asked for; NEWEST is what the channel or index has, which the
    other requirements, the matrix or this machine may not admit.
    """
    from dataloader.cli.stages.use import part_of

    with open_session(options) as session:
        lock = part_of(session)
        # Where a manifest says what is asked for, the lock has no say in it: the manifest may have changed since.
        manifest = find(options, session.here)
        remembered = lock.inputs if manifest is None else None
        request = make_request(
            options, (), None, environ=session.environ, here=session.here, remembered=remembered, manifest=manifest
        )
        upgraded, newest = to_the_end(_look(session, request, lock))
        found = []
        for package in lock.packages:
            goal, last = upgraded.get(package.name), newest.get(package.name)
            if (goal not in (None, package.version)) or _is_newer(last, package.version):
                found.append((package.name, package.version, goal, last))
        document = {
            "status": "ok",
            "packages": [
                {"name": name, "version": version, "upgrade": goal, "newest": last}
                for name, version, goal, last in found
            ],
            "checked": len(lock.packages),
        }
        rows = [(name, version, goal or "not needed", last or "unknown") for name, version, goal, last in found]
        nothing = "in the cache is nothing newer; --offline asks nobody" if options.offline else _NOTHING
        text = table(rows, ("package", "locked", "upgrade", "newest")) if rows else f"{nothing}\n"
        session.write(document, text)
    return 0


def _is_newer(version: str | None, than: str) -> bool:
    from dataloader.resolve.words.versions import is_newer

    return version is not None and is_newer(version, than)


async def _look(
    session: Session, request: Request, lock: Lockfile
) -> tuple[Mapping[str, str], Mapping[str, str | None]]:
    """The versions that solving afresh gives, and the newest that there are; ``None`` for one that nobody lists."""
    from dataloader.index.client import IndexClient
    from dataloader.locking.lock import make_lock
    from dataloader.locking.newer import newest_releases

    session.reporter.start("solve", "solving", None, "packages")
    try:
        async with IndexClient(
            request.settings, session.reporter, cache_dir=session.cache, known=request.known
        ) as client:
            async with sources_of(session, request, client) as sources:
                fresh = await make_lock(
                    request,
                    client,
                    session.reporter,
                    cache=session.cache,
                    environ=session.environ,
                    sources=sources,
                )
            newest = await newest_releases(
                lock, request, client, session.reporter, cache=session.cache, environ=session.environ
            )
    finally:
        session.reporter.finish("solve")
    return {package.name: package.version for package in fresh.lock.packages}, newest
