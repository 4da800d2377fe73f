"""The other platforms that a lock is for: what a command solves for one it solves for each, and writes together.

The manifest as it will be says what is asked for there, so that what one platform was changed to holds for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dataloader.base.errors import ResolutionFailure
from dataloader.cli.stages.saving import unsaid
from dataloader.cli.stages.solving import client_of
from dataloader.lockfile.check import check_lock
from dataloader.lockfile.parts import part_for
from dataloader.request.request import make_request

if TYPE_CHECKING:
    from dataloader.cli.stages.proof import Proof
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.lock import Locked
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.request import Request

Solve: TypeAlias = Callable[
    ["Session", "Request", "IndexClient", "Lockfile | None", "Proof"], Awaitable[tuple["Request", "Locked"]]
]
"""What a request, and the lock that was there, come to: the request that was met in the end, and its lock."""
Asking: TypeAlias = Callable[["Session"], "Request"]
"""What a command asks for where there is no manifest: on the platform that the session names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The platforms of a lock beside the one that a command is about."""

    held: tuple[Lockfile, ...]
    """The locks of the file as it is."""
    platforms: tuple[str, ...]
    """What is solved for besides."""
    asking: Asking | None = None
    whole: bool = False
    """Whether what is not solved for goes."""

    def kept(self, request: Request) -> tuple[Lockfile, ...]:
        """The locks that stay in the file as they are: what nobody lists any more goes."""
        listed = request.platforms
        solved = {request.platform, *self.platforms}
        return tuple(
            part
            for part in self.held
            if part.platform not in solved and not self.whole and (not listed or part.platform in listed)
        )

    def own(self, request: Request) -> Lockfile | None:
        """The lock as it is for the platform that the command is about."""
        return part_for(self.held, request.platform)


def elsewhere(
    session: Session,
    request: Request,
    held: Sequence[Lockfile],
    *,
    more: Collection[str] = (),
    asking: Asking | None = None,
    whole: bool = False,
) -> Elsewhere:
    """Return the other platforms that a command solves for.

    Those that it names; where it names none, those of the manifest, and without any there those of the lock.

    Args:
        session: Of the command.
        request: What is asked for, on the platform that the command is about.
        held: The locks of the file as it is.
        more: Platforms that the command names besides.
        asking: What is asked for on another platform, where there is no manifest.
        whole: Whether the lock holds nothing but what the command asks for.
    """
    named = session.options.platform is not None or session.options.target is not None
    if named or whole:
        wanted = (*more, *_of_targets(session))
    else:
        wanted = request.platforms or tuple(part.platform for part in held)
    platforms = tuple(dict.fromkeys(platform for platform in wanted if platform != request.platform))
    return Elsewhere(held=tuple(held), platforms=platforms, asking=asking, whole=whole)


def _of_targets(session: Session) -> tuple[str, ...]:
    if session.options.target is None or session.options.platform is not None:
        return ()
    from dataloader.request.target_file import platforms_in

    return platforms_in(session.options.target)


def on(session: Session, platform: str) -> Session:
    """Return the session of the same command, about another platform."""
    return replace(session, options=replace(session.options, platform=platform, fix=None), is_elsewhere=True)


async def solved_elsewhere(
    session: Session,
    request: Request,
    others: Elsewhere,
    files: Mapping[Path, bytes],
    proof: Proof,
    solve: Solve,
    *,
    stale_only: bool = False,
) -> tuple[Lockfile, ...]:
    """Solve for the other platforms; return all the locks that are to stand beside this one's.

    Args:
        session: Of the command.
        request: What was met on this platform.
        others: The other platforms.
        files: What will be written: the manifest, where it changes.
        proof: What the command has learned of package files.
        solve: Solves, as the command does.
        stale_only: Keep what fits already.

    Raises:
        ResolutionFailure: there is no solution for one of them; it says for which.
    """
    manifest = _as_it_will_be(request, files)
    found = list(others.kept(request))
    for part in found if manifest else ():
        if check_lock(part, _asked(on(session, part.platform), manifest, others).inputs()):
            session.reporter.warn(f"what is locked for {part.platform} no longer fits: `dataloader lock` makes it anew")
    for platform in others.platforms:
        old = part_for(others.held, platform)
        there = on(session, platform)
        wanted = _asked(there, manifest, others)
        if stale_only and old is not None and not check_lock(old, wanted.inputs()):
            found.append(old)
            continue
        session.reporter.info(f"solving for {platform}")
        async with client_of(there, wanted) as client:
            try:
                _, locked = await solve(there, wanted, client, old, proof)
            except ResolutionFailure as failure:
                failure.causes = (f"this is of {platform}, for which the lock is too", *failure.causes)
                failure.suggestions = (*failure.suggestions, f"leave {platform} out: --platform {request.platform}")
                raise
        found.append(locked.lock)
    return tuple(found)


def unfit_elsewhere(session: Session, request: Request, others: Elsewhere) -> Iterator[str]:
    """Yield why the locks for other platforms do not fit what is asked for there."""
    for platform in others.platforms:
        old = part_for(others.held, platform)
        if old is None:
            yield f"{platform}: there is no lock for it"
            continue
        wanted = _asked(on(session, platform), request.manifest, others)
        yield from (f"{platform}: {reason}" for reason in check_lock(old, wanted.inputs()))


def _asked(there: Session, manifest: Manifest | None, others: Elsewhere) -> Request:
    if manifest is None:
        assert others.asking is not None
        return others.asking(there)
    return make_request(unsaid(there), (), None, environ=there.environ, here=there.here, manifest=manifest)


def _as_it_will_be(request: Request, files: Mapping[Path, bytes]) -> Manifest | None:
    manifest = request.manifest
    if manifest is None or manifest.path not in files:
        return manifest
    from dataloader.request.manifests.manifest import parse_manifest

    return parse_manifest(files[manifest.path].decode("utf-8-sig"), manifest.path)
