"""What install, add, remove, upgrade and lock share: manifest, lock and prefix change together or not at all."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dataloader.base.errors import UsageError
from dataloader.cli.edits.said import say_shared
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.flow import Destination, client_of, existing_lock, files_of, sync_lock, to_the_end
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.remember import remembered_lock
from dataloader.cli.stages.saving import as_they_are, manifest_with, not_saved, put
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.stages.solving import solve
from dataloader.cli.telling.documents import count_text, lock_document, lock_text, sync_document, sync_text
from dataloader.lockfile.model import Lockfile
from dataloader.request.request import Request, make_request

if TYPE_CHECKING:
    from dataloader.index.client import IndexClient
    from dataloader.install.model import SyncResult
    from dataloader.locking.lock import Locked

Solve: TypeAlias = Callable[
    [Session, Request, "IndexClient", "Lockfile | None", Proof], Awaitable[tuple[Request, "Locked"]]
]
"""What a request, and the lock that was there, come to: the request that was met in the end, and its lock."""


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

    @property
    def lock(self) -> Lockfile:
        """The lock, as it is now."""
        return self.locked.lock

    def document(self) -> dict[str, object]:
        """What ``--json`` says of it."""
        synced = sync_document(self.synced, self.asked.prefix) if self.synced else {"prefix": None, "changed": None}
        return {**lock_document(self.lock, self.locked.stack), **synced, "left_out": list(self.left_out)}

    def text(self, *, dry_run: bool) -> str:
        """What people read of it."""
        if self.synced:
            return sync_text(self.synced, self.asked.prefix, dry_run=dry_run)
        return lock_text(self.lock, self.before)


async def carry_out(session: Session, edit: Edit, place: Destination | None, *, old: Lockfile | None = None) -> Edited:
    """Solve; write manifest and lock, together with the change of the prefix where there is a ``place`` for it.

    Args:
        session: Of the command.
        edit: What to do.
        place: How the prefix is built; None: it stays as it is.
        old: The lock that was there; else it is read.
    """
    old, proof = old or existing_lock(edit.asked.lockfile), Proof(session, place.layers if place else ())
    seen = as_they_are(edit.asked)
    # What a manifest cannot say is refused before it is solved for.
    manifest_with(session, edit.asked, edit.wanted, edit.flags, edit.gone)
    chosen: list[tuple[Request, Locked]] = []
    files: dict[Path, bytes] = {}

    async def attempt() -> SyncResult | None:
        chosen.append(await edit.solve(session, edit.wanted, client, old, proof))
        request, locked = chosen[-1]
        files.clear()
        files.update(files_of(session, edit.asked, request, locked.lock, edit.flags, edit.gone))
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
    return Edited(
        asked=edit.asked,
        request=chosen[-1][0],
        before=old,
        locked=chosen[-1][1],
        files=files,
        synced=synced,
        left_out=tuple(proof.left_out),
    )


def say_saved(session: Session, edited: Edited) -> None:
    """Say that the manifest has changed, if it has."""
    manifest = edited.asked.manifest
    if manifest is not None and manifest.path in edited.files and not session.options.dry_run:
        session.reporter.info(f"{manifest.path} says so now")
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
        remembered = remembered_lock(session)
        request = make_request(
            options,
            specs,
            flags,
            environ=session.environ,
            here=session.here,
            remembered=remembered.inputs if remembered else None,
        )
        _something(request, "install")
        edited = to_the_end(carry_out(session, Edit(asked=request, wanted=request, flags=flags), place))
        say_saved(session, edited)
        session.write(edited.document(), edited.text(dry_run=options.dry_run))
        say_next(session, edited)
        return 0


def lock(
    options: CommonOptions, specs: tuple[str, ...], flags: StackFlags, *, upgrade: Sequence[str] | None = None
) -> int:
    """Solve and write the lock only; with newer versions of the packages in ``upgrade``, of all where it is empty."""
    from dataloader.cli.edits.upgrade import locked_names, upgrading

    with open_session(options, "lock") as session:
        request = make_request(options, specs, flags, environ=session.environ, here=session.here)
        if request.manifest is None:
            _something(request, "lock", upgrade=upgrade if request.lockfile.is_file() else None)
        before = request.lockfile.read_bytes() if request.lockfile.is_file() else None
        how = plainly if upgrade is None else upgrading(locked_names(upgrade, existing_lock(request.lockfile)))
        edited = to_the_end(carry_out(session, Edit(asked=request, wanted=request, flags=flags, solve=how), None))
        say_saved(session, edited)
        session.write(lock_document(edited.lock, edited.locked.stack), lock_text(edited.lock, edited.before))
        changed = edited.files[request.lockfile] != before
        if edited.before and request.manifest is None and (gone := _dropped(edited.before, edited.lock)):
            session.reporter.info(f"{request.lockfile} asked for {', '.join(gone)} too, and no longer does")
        done = "unchanged" if not changed else "would be written" if options.dry_run else "written"
        session.reporter.info(f"{request.lockfile} {done}: {count_text(edited.lock)}")
        return 0


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
        ways.append("or write a manifest: `dataloader init`")
    raise UsageError(f"there is nothing to {verb}", code="nothing-asked", suggestions=tuple(ways))
