"""What install, add, remove, upgrade and lock share: manifest, lock and prefix change together or not at all."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.platforms import detect_platform
from dataloader.base.values import dataclass
from dataloader.cli.edits.said import say_shared, say_unread
from dataloader.cli.line.first_steps import without_manifest
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.as_it_is import check_installable
from dataloader.cli.stages.flow import Destination, locks_in, sync_lock, to_the_end
from dataloader.cli.stages.platforms import (
    Asking,
    Elsewhere,
    PartName,
    Solve,
    as_it_will_be,
    elsewhere,
    solved_elsewhere,
)
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.remember import remember_agreement, remembered_lock
from dataloader.cli.stages.saving import as_they_are, manifest_with, not_saved, put, unsaid
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.stages.solving import client_of, solve
from dataloader.cli.telling.documents import (
    count_text,
    lock_document,
    lock_text,
    part_document,
    sync_document,
    sync_text,
)
from dataloader.lockfile.model import Lockfile
from dataloader.lockfile.parts import beside, part_for
from dataloader.lockfile.yaml import lock_bytes
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT, as_seen
from dataloader.request.places import find
from dataloader.request.request import Request, make_request

if TYPE_CHECKING:
    from dataloader.index.client import IndexClient
    from dataloader.install.model import SyncResult
    from dataloader.locking.lock import Locked
    from dataloader.request.manifests.manifest import Manifest


async def plainly(
    session: Session, request: Request, client: IndexClient, old: Lockfile | None, proof: Proof
) -> tuple[Request, Locked]:
    """Solve; what the old lock holds stays where it can."""
    return await solve(session, request, client, old, proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What one command makes of a project, or of an environment without a manifest."""

    asked: Request
    """What manifest, or memory, and this command say."""
    wanted: Request
    """What is solved for: less than that, where something is taken out."""
    gone: tuple[str, ...] = ()
    """What is taken out, as :class:`~dataloader.request.manifests.additions.Additions` has it."""
    flags: StackFlags = field(default_factory=StackFlags)
    solve: Solve = plainly
    asking: Asking | None = None
    """What is wanted on another platform, where there is no manifest."""
    more: tuple[str, ...] = ()
    """Platforms that are named beside the one that the command is about."""
    all_environments: bool = False
    """Whether all environments of the manifest are solved for."""
    whole: bool = False
    """Whether the lock is to hold nothing else."""

    def others(self, session: Session) -> Elsewhere:
        """What else is solved for."""
        return elsewhere(
            session,
            self.asked,
            locks_in(self.asked.lockfile),
            more=self.more,
            asking=self.asking,
            whole=self.whole,
            every=self.all_environments,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """What has come of an edit."""

    asked: Request
    request: Request
    """What was met."""
    before: Lockfile | None
    locked: Locked
    files: Mapping[Path, bytes]
    """Manifest and lock, as they are now."""
    synced: SyncResult | None
    """What became of the prefix; None: it was not looked at."""
    left_out: tuple[str, ...]
    beside: tuple[Lockfile, ...] = ()
    """The locks for other platforms that stand in the file too."""

    @property
    def lock(self) -> Lockfile:
        """The lock, as it is now."""
        return self.locked.lock

    def document(self) -> dict[str, object]:
        """What ``--json`` says of it."""
        synced = sync_document(self.synced, self.asked.prefix) if self.synced else {"prefix": None, "changed": None}
        return {**self.document_of_lock(), **synced, "left_out": list(self.left_out)}

    def document_of_lock(self) -> dict[str, object]:
        """What ``--json`` says of the lock, for all its platforms."""
        others = [part_document(part) for part in self.beside]
        return {**lock_document(self.lock, self.locked.stack), **({"others": others} if others else {})}

    def text(self, *, dry_run: bool) -> str:
        """What people read of it."""
        if self.synced:
            return sync_text(self.synced, self.asked.prefix, dry_run=dry_run)
        return lock_text(self.lock, self.before)


async def carry_out(session: Session, edit: Edit, place: Destination | None) -> Edited:
    """Solve; write manifest and lock, together with the change of the prefix where there is a ``place`` for it.

    Args:
        session: Of the command.
        edit: What to do.
        place: How the prefix is built; None: it stays as it is.
    """
    if place is not None:
        check_installable(edit.asked.platform, "add, remove and upgrade change the lock alone with --no-sync")
    others = edit.others(session)
    old, proof = others.own(edit.asked), Proof(session, place.layers if place else ())
    stand_by: tuple[Lockfile, ...] = ()
    seen = as_they_are(edit.asked)
    # What a manifest cannot say is refused before it is solved for.
    ahead = manifest_with(session, edit.asked, edit.wanted, edit.flags, edit.gone)
    wanted = _with_mates(session, edit.wanted, as_it_will_be(edit.wanted, ahead))
    chosen: list[tuple[Request, Locked]] = []
    files: dict[Path, bytes] = {}

    async def attempt() -> SyncResult | None:
        nonlocal stand_by
        chosen.append(await edit.solve(session, wanted, client, others.start(wanted), proof))
        request, locked = chosen[-1]
        files.clear()
        files.update(manifest_with(session, edit.asked, request, edit.flags, edit.gone))
        stand_by = await solved_elsewhere(session, request, others, files, proof, edit.solve)
        files[request.lockfile] = lock_bytes(locked.lock, request.lockfile, stand_by)
        if place is not None:
            return await sync_lock(
                session, request, locked.lock, files, client, proof, check=False, place=place, seen=seen
            )
        if not session.options.dry_run:
            with put(files, seen):
                pass
        return None

    async with client_of(session, edit.asked) as client:
        synced = await proof.until_it_loads(attempt, lambda: chosen[-1][1].lock, again=True)
    if synced is not None and synced.held is None and not session.options.dry_run:
        request = chosen[-1][0]
        remember_agreement(session, request, files[request.lockfile], fits=True)
    return Edited(
        asked=edit.asked,
        request=chosen[-1][0],
        before=old,
        locked=chosen[-1][1],
        files=files,
        synced=synced,
        beside=stand_by,
        left_out=tuple(proof.left_out),
    )


def _with_mates(session: Session, wanted: Request, manifest: Manifest | None) -> Request:
    """Return what is wanted beside what the environments of its solve-group will ask for."""
    if manifest is None or not wanted.mates:
        return wanted
    options = replace(unsaid(session), platform=wanted.platform)
    again = make_request(options, (), None, environ=session.environ, here=session.here, manifest=manifest)
    return replace(wanted, mates=again.mates)


def say_saved(session: Session, edited: Edited) -> None:
    """Say that the manifest has changed, if it has."""
    manifest = edited.asked.manifest
    if manifest is not None and manifest.path in edited.files and not session.options.dry_run:
        session.reporter.info(f"{as_seen(manifest.path)} says so now")
        for note in not_saved(session.options, edited.asked):
            session.reporter.warn(note)
        say_shared(session, edited)


def say_next(session: Session, edited: Edited) -> None:
    """Say how to use an environment that has just been made."""
    if edited.synced is None or not edited.synced.changed or edited.synced.plan.keep or session.options.dry_run:
        return
    where: list[str] = []
    for name in ("manifest", "environment", "prefix"):
        value = getattr(session.options, name)
        where += [f"--{name}", str(value)] if value is not None else []
    running = shlex.join(["dataloader", "run", *where, "--", "python"])
    looking = shlex.join(["dataloader", "verify", *where])
    session.reporter.info(f"next: `{running}` runs in it, `{looking}` looks at it again")


def install(options: CommonOptions, specs: tuple[str, ...], flags: StackFlags, place: Destination) -> int:
    """Add what is asked for, lock, and make the prefix match."""
    with open_session(options, "install") as session:
        request = _added(session, specs, flags)
        _something(request, "install")
        say_unread(session, request)
        asking = partial(_added, specs=specs, flags=flags)
        edited = to_the_end(carry_out(session, Edit(asked=request, wanted=request, flags=flags, asking=asking), place))
        say_saved(session, edited)
        session.write(edited.document(), edited.text(dry_run=options.dry_run))
        say_next(session, edited)
        return 0


def _added(session: Session, specs: tuple[str, ...], flags: StackFlags) -> Request:
    """Return what is asked for beside what was remembered."""
    remembered = remembered_lock(session)
    return _asked(session, specs, flags, remembered.inputs if remembered else None)


def _asked(
    session: Session, specs: tuple[str, ...], flags: StackFlags, remembered: Mapping[str, object] | None = None
) -> Request:
    return make_request(
        session.options, specs, flags, environ=session.environ, here=session.here, remembered=remembered
    )


def lock(
    options: CommonOptions,
    specs: tuple[str, ...],
    flags: StackFlags,
    *,
    upgrade: Sequence[str] | None = None,
    more: tuple[str, ...] = (),
) -> int:
    """Solve and write the lock only.

    Args:
        options: What is said.
        specs: What is asked for.
        flags: What is asked of the stack.
        upgrade: Packages that are to be newer; all of them where it is empty, none where it is None.
        more: Platforms beside that of ``options``.
    """
    from dataloader.cli.edits.newer import locked_names, upgrading

    with open_session(options, "lock") as opened:
        session = _on_one_of_its_platforms(opened)
        request = _asked(session, specs, flags)
        if request.manifest is None:
            _something(request, "lock", upgrade=upgrade if request.lockfile.is_file() else None)
        say_unread(session, request)
        before = request.lockfile.read_bytes() if request.lockfile.is_file() else None
        held = locks_in(request.lockfile)
        how = plainly if upgrade is None else upgrading(locked_names(upgrade, _part(held, request)))
        edit = Edit(
            asked=request,
            wanted=request,
            flags=flags,
            solve=how,
            asking=partial(_asked, specs=specs, flags=flags),
            more=more,
            whole=request.manifest is None,
            all_environments=request.manifest is not None and options.environment is None,
        )
        edited = to_the_end(carry_out(session, edit, None))
        say_saved(session, edited)
        session.write(edited.document_of_lock(), lock_text(edited.lock, edited.before))
        changed = edited.files[request.lockfile] != before
        if request.manifest is None and (left := sorted(_platforms(held) - _platforms((edited.lock, *edited.beside)))):
            session.reporter.info(f"{request.lockfile} was for {', '.join(left)} too, and no longer is")
        if edited.before and request.manifest is None and (gone := _dropped(edited.before, edited.lock)):
            session.reporter.info(f"{as_seen(request.lockfile)} asked for {', '.join(gone)} too, and no longer does")
        done = "unchanged" if not changed else "would be written" if options.dry_run else "written"
        session.reporter.info(f"{as_seen(request.lockfile)} {done}: {_count_of(edited)}")
        return 0


def _on_one_of_its_platforms(session: Session) -> Session:
    """Return the session of a lock on the first platform of the manifest, where this machine's is not among them."""
    options, manifest = session.options, find(session.options, session.here)
    if options.platform is not None or options.target is not None or manifest is None:
        return session
    platform = detect_platform()
    listed = manifest.environment(options.environment or DEFAULT_ENVIRONMENT, platform).platforms
    if not listed or platform in listed:
        return session
    return replace(session, options=replace(options, platform=listed[0]), is_of_manifest=True)


def _part(held: Iterable[Lockfile], request: Request) -> Lockfile | None:
    return part_for(held, request.platform, request.environment)


def _platforms(parts: Iterable[Lockfile]) -> set[str]:
    return {part.platform for part in parts}


def _count_of(edited: Edited) -> str:
    if not edited.beside:
        return count_text(edited.lock)
    parts = beside(edited.beside, [edited.lock])
    own = edited.lock.environment
    return "; ".join(f"{PartName(part.environment, part.platform).told(own)} {count_text(part)}" for part in parts)


def _dropped(before: Lockfile, now: Lockfile) -> list[str]:
    """What an earlier lock was asked for by name, and this one was not: `lock` writes what it is told alone."""
    return sorted(set(before.requested) - set(now.requested))


def _something(request: Request, verb: str, *, upgrade: Sequence[str] | None = None) -> None:
    """Refuse a command that asks for nothing; ``upgrade`` are the names that were to move in the lock that is there."""
    if request.pypi or request.conda or request.stack:
        return
    ways = [f"name packages: `dataloader {verb} torch==2.1.0`"]
    if upgrade is not None:
        ways = [f"without a manifest: `{shlex.join(['dataloader', 'upgrade', '--no-sync', *upgrade])}`"]
    elif request.manifest is None:
        ways += without_manifest(Path.cwd(), verb)
    raise UsageError(f"there is nothing to {verb}", code="nothing-asked", suggestions=tuple(ways))
