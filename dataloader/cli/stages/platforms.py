"""What a lock is for beside the platform, and the environment, that a command is about.

What a command solves for one it solves for each, and writes together. The manifest as it will be says what is asked
for there, so that what one was changed to holds for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from dataloader.base.errors import ResolutionFailure
from dataloader.base.platforms import check_known
from dataloader.base.values import dataclass
from dataloader.cli.stages.saving import unsaid
from dataloader.cli.stages.solving import client_of
from dataloader.lockfile.check import check_lock
from dataloader.lockfile.parts import of_environment, part_for
from dataloader.locking.together import before
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT, as_seen, own_lock
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


class PartName(NamedTuple):
    """One of the locks of a file."""

    environment: str
    platform: str

    def told(self, own: str) -> str:
        """What it is called, beside the environment that a command is about."""
        return self.platform if self.environment == own else f"{self.environment} on {self.platform}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """The locks of a file beside the one that a command is about."""

    held: tuple[Lockfile, ...]
    """The locks of the file as it is."""
    places: tuple[PartName, ...]
    """What is solved for besides."""
    lasting: frozenset[PartName] = frozenset()
    """Those of them that are solved for only where they no longer fit."""
    asking: Asking | None = None
    whole: bool = False
    """Whether what is not solved for goes."""

    def kept(self, request: Request) -> tuple[Lockfile, ...]:
        """The locks that stay in the file as they are: what nobody lists any more goes."""
        solved = {PartName(request.environment, request.platform), *self.places}
        return tuple(
            part
            for part in self.held
            if PartName(part.environment, part.platform) not in solved and not self.whole and _is_listed(part, request)
        )

    def own(self, request: Request) -> Lockfile | None:
        """The lock as it is for what the command is about."""
        return part_for(self.held, request.platform, request.environment)

    def start(self, request: Request) -> Lockfile | None:
        """What solving a request starts from: its lock as it is, with what those of its solve-group hold."""
        mates = (part_for(self.held, request.platform, mate.environment) for mate in request.mates)
        return before(part_for(self.held, request.platform, request.environment), tuple(filter(None, mates)))


def _is_listed(part: Lockfile, request: Request) -> bool:
    """Whether the manifest, where there is one, still has a lock's environment, for its platform."""
    manifest = request.manifest
    if part.environment == request.environment:
        return not request.platforms or part.platform in request.platforms
    if manifest is None:
        return True
    listed = _platforms_of(manifest, part.environment, part.platform)
    return listed is not None and (not listed or part.platform in listed)


def _platforms_of(manifest: Manifest, environment: str, platform: str) -> tuple[str, ...] | None:
    """Return the platforms that an environment is for, ``()`` where nobody says; ``None``: there is no such one."""
    return manifest.environment(environment, platform).platforms if environment in manifest.environments else None


def elsewhere(
    session: Session,
    request: Request,
    held: Sequence[Lockfile],
    *,
    more: Collection[str] = (),
    asking: Asking | None = None,
    whole: bool = False,
    every: bool = False,
) -> Elsewhere:
    """Return what else a command solves for.

    The other platforms that it names; where it names none, those of the manifest, and without any there those of the
    lock. The other environments of its solve-group that the lock holds, and, where the command names none, all that it
    holds, where they no longer fit.

    Args:
        session: Of the command.
        request: What is asked for, on the platform that the command is about.
        held: The locks of the file as it is.
        more: Platforms that the command names besides.
        asking: What is asked for on another platform, where there is no manifest.
        whole: Whether the lock holds nothing but what the command asks for.
        every: Whether all environments of the manifest are solved for.
    """
    own = of_environment(held, request.environment)
    if _is_named(session) or whole:
        wanted = (request.platform, *more, *_of_targets(session))
    else:
        wanted = request.platforms or tuple(part.platform for part in own)
    places = [PartName(request.environment, subdir) for subdir in wanted]
    lasting: list[PartName] = []
    if request.manifest is not None:
        mates = {mate.environment for mate in request.mates}
        for name in _environments(session, request, held, mates, every=every):
            found = [PartName(name, subdir) for subdir in _on(session, request, held, name, wanted)]
            places += found
            lasting += () if every or name in mates else found
    places = [place for place in dict.fromkeys(places) if place != (request.environment, request.platform)]
    for place in places:
        check_known(place.platform)
    return Elsewhere(held=tuple(held), places=tuple(places), lasting=frozenset(lasting), asking=asking, whole=whole)


def _is_named(session: Session) -> bool:
    options = session.options
    return (options.platform is not None and not session.is_of_manifest) or options.target is not None


def _environments(
    session: Session, request: Request, held: Sequence[Lockfile], mates: Collection[str], *, every: bool
) -> Iterator[str]:
    """Yield the other environments that are solved for.

    Of the manifest's those that the lock holds, or all; where one is named, those of its solve-group that it holds.
    """
    manifest, options = request.manifest, session.options
    assert manifest is not None
    there = {part.environment for part in held}
    own = options.environment or DEFAULT_ENVIRONMENT
    if request.environment != own:  # it has a lock of its own
        return
    for name in manifest.environments:
        if name == own or (options.environment is not None and name not in mates):
            continue
        if name not in there and not (every and name in manifest.named):
            continue
        if options.lockfile is None and (apart := manifest.path.with_name(own_lock(name))).is_file():
            session.reporter.info(f"{name} has a lock of its own, {as_seen(apart)}, and stays as it is there")
        else:
            yield name


def _on(
    session: Session, request: Request, held: Sequence[Lockfile], environment: str, wanted: Collection[str]
) -> tuple[str, ...]:
    """Return the platforms that another environment is solved for."""
    assert request.manifest is not None
    listed = _platforms_of(request.manifest, environment, request.platform)
    if _is_named(session):
        return tuple(subdir for subdir in wanted if not listed or subdir in listed)
    return listed or tuple(part.platform for part in of_environment(held, environment)) or (request.platform,)


def _of_targets(session: Session) -> tuple[str, ...]:
    if session.options.target is None or session.options.platform is not None:
        return ()
    from dataloader.request.target_file import platforms_in

    return platforms_in(session.options.target)


def on(session: Session, place: PartName, own: str) -> Session:
    """Return the session of the same command, about another platform, or environment than its ``own``."""
    options = replace(session.options, platform=place.platform, fix=None)
    if place.environment != own:
        options = replace(options, environment=place.environment, extra=(), group=(), all_extras=None)
    return replace(session, options=options, is_elsewhere=True)


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
    """Solve for the other places; return all the locks that are to stand beside this one.

    Args:
        session: Of the command.
        request: What was met on this platform.
        others: The other places.
        files: What will be written: the manifest, where it changes.
        proof: What the command has learned of package files.
        solve: Solves, as the command does.
        stale_only: Keep what fits already.

    Raises:
        ResolutionFailure: there is no solution for one of them; it says for which.
    """
    manifest = as_it_will_be(request, files)
    found = list(others.kept(request))
    for part in found if manifest else ():
        place = PartName(part.environment, part.platform)
        if check_lock(part, _asked(session, place, request, manifest, others).inputs()):
            where = place.told(request.environment)
            session.reporter.warn(f"what is locked for {where} no longer fits: `dataloader lock` makes it anew")
    for place in others.places:
        old = part_for(others.held, place.platform, place.environment)
        wanted = _asked(session, place, request, manifest, others)
        if (stale_only or place in others.lasting) and old is not None and not check_lock(old, wanted.inputs()):
            found.append(old)
            continue
        found.append(await _solved(session, place, wanted, request, others.start(wanted), proof, solve))
    return tuple(found)


async def _solved(
    session: Session,
    place: PartName,
    wanted: Request,
    request: Request,
    old: Lockfile | None,
    proof: Proof,
    solve: Solve,
) -> Lockfile:
    there, where = on(session, place, request.environment), place.told(request.environment)
    session.reporter.info(f"solving for {where}")
    async with client_of(there, wanted) as client:
        try:
            _, locked = await solve(there, wanted, client, old, proof)
        except ResolutionFailure as failure:
            way = f"--platform {request.platform}"
            if place.environment != request.environment:
                way = f"--environment {request.environment}"
            failure.causes = (f"this is of {where}, for which the lock is too", *failure.causes)
            failure.suggestions = (*failure.suggestions, f"leave {where} out: {way}")
            raise
    return locked.lock


def unfit_elsewhere(session: Session, request: Request, others: Elsewhere) -> Iterator[str]:
    """Yield why the locks for other places do not fit what is asked for there."""
    for place in others.places:
        old, where = part_for(others.held, place.platform, place.environment), place.told(request.environment)
        if old is None:
            yield f"{where}: there is no lock for it"
            continue
        wanted = _asked(session, place, request, request.manifest, others)
        yield from (f"{where}: {reason}" for reason in check_lock(old, wanted.inputs()))


def _asked(
    session: Session, place: PartName, request: Request, manifest: Manifest | None, others: Elsewhere
) -> Request:
    there = on(session, place, request.environment)
    if manifest is None:
        assert others.asking is not None
        return others.asking(there)
    return make_request(unsaid(there), (), None, environ=there.environ, here=there.here, manifest=manifest)


def as_it_will_be(request: Request, files: Mapping[Path, bytes]) -> Manifest | None:
    """Return the manifest that a request stands under, as files that will be written have it."""
    manifest = request.manifest
    if manifest is None or manifest.path not in files:
        return manifest
    from dataloader.request.manifests.manifest import parse_manifest

    return parse_manifest(files[manifest.path].decode("utf-8-sig"), manifest.path)
