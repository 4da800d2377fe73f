"""The stage that solves: the first pages are asked for before anything is imported; a refusal names what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.cli.stages.builds import sources_of

if TYPE_CHECKING:
    from dataloader.cli.stages.proof import Proof
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.fixes import Fix
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request

_UNDER_WAY = 0.01
"""Seconds for requests to be sent, besides what the import of httpx takes."""


async def solve(
    session: Session, request: Request, client: IndexClient, old: Lockfile | None, proof: Proof
) -> tuple[Request, Locked]:
    """Solve; where there is no solution and ``--fix`` says which change to make, return the changed request too."""
    import asyncio

    session.reporter.start("solve", "solving", None, "packages")
    # The first pages are on their way before the solver is imported; two threads that import hinder each other.
    ahead = [asyncio.create_task(client.project(name)) for name in sorted(_plain_names(request))]
    if ahead:
        await asyncio.wait(ahead, timeout=_UNDER_WAY)
    try:
        locked = await lock_of(session, request, client, old, session.reporter, proof)
    except ResolutionFailure as failure:
        if session.is_elsewhere:
            raise
        fix = await _fixed(session, request, client, old, failure, proof)
        return fix.request, fix.locked
    else:
        if session.options.fix is not None:
            session.reporter.warn(f"--fix {session.options.fix} was not needed: there is a solution without it")
        return request, locked
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
        session.reporter.finish("solve")


def _plain_names(request: Request) -> set[str]:
    """Return the projects that any index may serve."""
    return {r.name for r in request.pypi} - {r.name for r in request.pypi if r.url or r.index}


def client_of(session: Session, request: Request) -> IndexClient:
    """Return the indexes of a request."""
    from dataloader.index.client import IndexClient

    return IndexClient(request.settings, session.reporter, cache_dir=session.cache, known=request.known)


async def lock_of(
    session: Session, request: Request, client: IndexClient, old: Lockfile | None, reporter: Reporter, proof: Proof
) -> Locked:
    from dataloader.locking.lock import make_lock

    async with sources_of(session, request, client) as sources:

        async def make(wanted: Request, old: Lockfile | None) -> Locked:
            return await make_lock(
                wanted,
                client,
                reporter,
                cache=session.cache,
                environ=session.environ,
                old=old,
                learned=proof.learned.contradictions(),
                sources=sources,
            )

        if not request.mates:
            return await make(request, old)
        from dataloader.locking.together import lock_together

        known = session.solved.setdefault(repr(proof.learned.contradictions()), {})
        return await lock_together(request, make, old, known)


async def _fixed(
    session: Session,
    request: Request,
    client: IndexClient,
    old: Lockfile | None,
    failure: ResolutionFailure,
    proof: Proof,
) -> Fix:
    """Return the change that ``--fix`` names; without it raise the failure, with the changes that work."""
    from dataloader.locking.fixes import MOST, MOST_SECONDS, find_fixes, may_be_mended

    async def quietly(changed: Request) -> Locked:
        return await lock_of(session, changed, client, old, Reporter(), proof)

    wanted = session.options.fix
    if wanted is None and may_be_mended(failure):
        session.reporter.refused(failure)
        session.reporter.info(f"looking for changes that work, for up to {MOST_SECONDS:.0f} s")
    fixes = await find_fixes(request, failure, quietly, most=max(wanted or 0, MOST))
    if wanted is not None and 0 < wanted <= len(fixes):
        fix = fixes[wanted - 1]
        session.reporter.info(f"applying fix {wanted}: {fix.text}")
        return fix
    offered = tuple(f"--fix {number}: {fix.text}" for number, fix in enumerate(fixes, 1))
    replaced = [getattr(repair, "text", "") for repair in getattr(failure, "repairs", ())]
    replaced += failure.untried if offered else ()
    failure.suggestions = (*offered, *(s for s in failure.suggestions if s not in replaced))
    if wanted is not None:
        found = {0: "none was found", 1: "there is one, 1"}.get(
            len(fixes), f"there are {len(fixes)}, 1 to {len(fixes)}"
        )
        failure.causes = (f"--fix {wanted} names no change that works: {found}", *failure.causes)
    raise failure
