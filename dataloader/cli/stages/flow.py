"""What a sync does, and the stages of every command that solves and writes."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from dataloader.base.errors import LockOutdated, PrefixError
from dataloader.base.values import dataclass
from dataloader.cli.line.allow import advised_by_install
from dataloader.cli.line.options import CommonOptions, StackFlags
from dataloader.cli.stages.as_it_is import check_nothing_to_solve, check_platform, own_part
from dataloader.cli.stages.ask import confirmation
from dataloader.cli.stages.builds import builder_for
from dataloader.cli.stages.platforms import Elsewhere, PartName, elsewhere, solved_elsewhere, unfit_elsewhere
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.remember import remember_agreement, say_another_lock
from dataloader.cli.stages.saving import manifest_with, put, refuse_unsaved
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.stages.solving import client_of, solve
from dataloader.cli.telling.documents import sync_document, sync_text
from dataloader.lockfile.check import check_lock
from dataloader.lockfile.parts import part_for
from dataloader.lockfile.yaml import lock_bytes, read_locks
from dataloader.prefix.locate import DEFAULT_ENVIRONMENT
from dataloader.request.request import Request, make_request

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.index.client import IndexClient
    from dataloader.install.model import Downloader, Filling, SyncOptions, SyncResult
    from dataloader.lockfile.model import Lockfile
    from dataloader.machine.interpreters import Interpreter

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a sync builds, beyond a plain prefix."""

    root: Path | None = None
    """A shared volume that holds generations; then ``name`` is set too."""
    name: str | None = None
    target_prefix: Path | None = None
    layers: tuple[Path, ...] = ()
    wait_seconds: float | None = None
    durable: bool | None = None
    """Wait until what is switched to is on the disk; ``None``: where there are generations."""
    adopt: bool = False
    """Take over an environment that another tool made."""
    rebuild: bool = False
    """Make the environment anew though nothing differs."""
    strict_records: bool = False
    """Refuse packages that differ from their own records."""
    filling: Filling | None = None
    """What fills the tree, if not indexes and channels."""

    def prefix(self, otherwise: Path) -> Path:
        """Where the environment is: by its name below the root, else where it would be without."""
        return self.root / self.name if self.root is not None and self.name is not None else otherwise

    async def build(
        self, lock: Lockfile, prefix: Path, options: SyncOptions, reporter: Reporter, download: Downloader
    ) -> SyncResult:
        """Build what the lock names: a generation below the root, else in the prefix."""
        from dataloader.install.switch.generations import sync_generation
        from dataloader.install.sync import sync_prefix

        if self.root is not None and self.name is not None:
            return await sync_generation(lock, self.root, self.name, options, reporter, download)
        return await sync_prefix(lock, prefix, options, reporter, download)


def sync(options: CommonOptions, *, frozen: bool, locked: bool, check: bool, place: Destination) -> int:
    """Make the prefix match the lock."""
    with open_session(options, "sync", place.name) as session:
        with advised_by_install():
            request = make_request(options, (), None, environ=session.environ, here=session.here)
            say_another_lock(session, request)
            if frozen or request.manifest is None:
                when = "with --frozen" if frozen else "without a manifest"
                check_nothing_to_solve(options, when, manifest=request.manifest)
            request = replace(request, prefix=place.prefix(request.prefix))
            result, left_out = to_the_end(synced(session, request, place, frozen=frozen, locked=locked, check=check))
        session.write(
            {"status": "ok", **sync_document(result, request.prefix), "left_out": left_out},
            sync_text(result, request.prefix, dry_run=options.dry_run),
        )
        return 0


async def synced(
    session: Session,
    request: Request,
    place: Destination,
    *,
    frozen: bool = False,
    locked: bool = False,
    check: bool = False,
) -> tuple[SyncResult, list[str]]:
    """Make the prefix match the lock, which is made anew where it no longer fits; return also what was left out.

    Args:
        one: The session.
        request: What the manifest says.
        place: How the prefix is built.
        frozen: Take the lock as it is.
        locked: Fail where it does not fit.
        check: Change nothing, and fail where there is work.
    """
    proof = Proof(session, place.layers)
    chosen: list[Lockfile] = []
    may_solve = not (frozen or locked or check or request.manifest is None)

    files: dict[Path, bytes] = {}

    async def attempt() -> SyncResult:
        files.clear()
        if chosen:  # what the lock holds does not go together
            others = elsewhere(session, request, locks_in(request.lockfile))
            solved, fresh = await solve(session, request, client, others.start(request) or chosen[0], proof)
            chosen.append(fresh.lock)
            files.update(await _files_of(session, request, solved, fresh.lock, others, proof))
        else:
            lock, fresh_files = await _current_lock(
                session, request, client, proof, frozen=frozen, locked=locked or check
            )
            chosen.append(lock)
            files.update(fresh_files)
        return await sync_lock(session, request, chosen[-1], files, client, proof, check=check, place=place)

    async with client_of(session, request) as client:
        result = await proof.until_it_loads(attempt, lambda: chosen[-1], again=may_solve)
    if not session.options.dry_run and result.held is None:
        data = request.lockfile.read_bytes()
        remember_agreement(session, request, data, fits=request.manifest is None or not frozen)
    return result, proof.left_out


async def _current_lock(
    session: Session, request: Request, client: IndexClient, proof: Proof, *, frozen: bool, locked: bool
) -> tuple[Lockfile, dict[Path, bytes]]:
    """Return the lock to sync from, and what is to be written with it.

    A stale one is made anew unless ``locked`` forbids or ``frozen`` does not care.
    """
    if request.manifest is None or frozen:
        return own_part(session, request), {}
    held = locks_in(request.lockfile)
    old, others = part_for(held, request.platform, request.environment), elsewhere(session, request, held)
    reasons = [str(reason) for reason in check_lock(old, request.inputs())] if old else []
    if held and old is None:
        reasons.append(
            f"there is no lock for {PartName(request.environment, request.platform).told(DEFAULT_ENVIRONMENT)}"
        )
    reasons += unfit_elsewhere(session, request, others) if held else ()
    if old and not reasons:
        return old, {}
    if locked:
        raise LockOutdated(
            f"{request.lockfile} no longer fits {request.manifest.path}" if held else f"there is no {request.lockfile}",
            causes=tuple(reasons),
            suggestions=("run `dataloader lock`",),
        )
    refuse_unsaved(session, request)
    for reason in reasons:
        session.reporter.info(f"locking again: {reason}")
    solved, fresh = await solve(session, request, client, others.start(request), proof)
    return fresh.lock, await _files_of(session, request, solved, fresh.lock, others, proof)


async def _files_of(
    session: Session, request: Request, solved: Request, lock: Lockfile, others: Elsewhere, proof: Proof
) -> dict[Path, bytes]:
    """Return what is written beside an environment, with what other platforms' locks are made anew for it."""
    files = manifest_with(session, request, solved, StackFlags())
    beside = await solved_elsewhere(session, solved, others, files, proof, solve, stale_only=True)
    return {**files, solved.lockfile: lock_bytes(lock, solved.lockfile, beside)}


# -- stages


async def sync_lock(
    session: Session,
    request: Request,
    lock: Lockfile,
    files: Mapping[Path, bytes],
    client: IndexClient,
    proof: Proof,
    *,
    check: bool,
    place: Destination | None = None,
    seen: Mapping[Path, bytes | None] = MappingProxyType({}),
    foreign: bool = False,
    download: Downloader | None = None,
) -> SyncResult:
    """Make an environment match a lock; ``foreign``: the lockfile is another tool's, for which the lock stands."""
    place = place or Destination()
    check_platform(session, request, lock)
    python = _interpreter(session, lock)
    place = replace(place, strict_records=place.strict_records or request.settings.strict_records)
    data = lock_bytes(lock, request.lockfile) if foreign else _lock_bytes(request, files)
    options = sync_options(session, python, data, check=check, place=place)
    if not foreign:
        manifest = request.manifest.path if request.manifest else None
        options = replace(options, lockfile=request.lockfile, manifest=manifest)
    options = replace(options, bundled=download is not None, at_hand=client.at_hand.has)
    options = replace(options, build=builder_for(session, request, lock, client, place.layers))
    fetch = download or client.download
    session.reporter.event("environment", prefix=str(request.prefix.absolute()), lock=options.lock_digest)
    if request.settings.attestations and not check:
        from dataloader.install.attest.wheels import require_attestations

        await require_attestations(lock, request.settings, client.evidence, session.reporter)
    if not (check or session.options.dry_run):
        options = replace(options, prover=proof.prover(request, lock, python), along=partial(put, files, seen))
    return await place.build(lock, request.prefix, options, session.reporter, fetch)


def _lock_bytes(request: Request, files: Mapping[Path, bytes]) -> bytes | None:
    """Return what the lockfile holds once the environment is there."""
    if request.lockfile in files:
        return files[request.lockfile]
    return request.lockfile.read_bytes() if request.lockfile.is_file() else None


async def warm(session: Session, request: Request) -> int:
    """Bring all that the lock names into the cache, by a sync to a prefix that is thrown away; return bytes fetched."""
    async with built_aside(session, request, own_part(session, request), Destination()) as (_, result):
        return result.downloaded_bytes


@asynccontextmanager
async def built_aside(
    session: Session, request: Request, lock: Lockfile, place: Destination
) -> AsyncIterator[tuple[Path, SyncResult]]:
    """Install a lock into a prefix below the cache that is thrown away: where it is, and what that took."""
    from dataloader.install.switch.owner import signed

    folder = session.cache / signed("warming-")  # a name that tells whether this process still lives
    folder.mkdir(parents=True)
    try:
        async with client_of(session, request) as client:
            aside = replace(request, prefix=folder / "env")
            result = await sync_lock(session, aside, lock, {}, client, Proof(session), check=False, place=place)
        yield aside.prefix, result
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sync_options(
    session: Session, python: Interpreter | None, data: bytes | None, *, check: bool, place: Destination
) -> SyncOptions:
    """Return how an environment on ``python`` is made to match a lock of the bytes ``data``."""
    from dataloader.install.model import SyncOptions
    from dataloader.prefix.unchanged import lock_digest

    options = SyncOptions(
        cache_dir=session.cache,
        interpreter=python,
        lock_digest=lock_digest(data) if data is not None else None,
        offline=session.options.offline,
        confirm=confirmation(session),
        check=check,
        dry_run=session.options.dry_run,
        target_prefix=place.target_prefix,
        layers=place.layers,
        durable=place.root is not None if place.durable is None else place.durable,
        adopt=place.adopt,
        rebuild=place.rebuild,
        strict_records=place.strict_records,
        filling=place.filling,
    )
    return options if place.wait_seconds is None else replace(options, wait_seconds=place.wait_seconds)


def _interpreter(session: Session, lock: Lockfile) -> Interpreter | None:
    """Return this machine's Python for a lock that stands on one."""
    if lock.python.source != "host" or lock.python.version is None:
        return None
    from dataloader.machine.interpreters import each_interpreter

    for found in each_interpreter(session.cache, session.environ):
        if found.minor == lock.python.version and found.takes_usual_wheels:
            return found
    raise PrefixError(
        f"the lock needs Python {lock.python.version}, and this machine has none",
        code="python-missing",
        suggestions=(
            f"install Python {lock.python.version}",
            "or lock again with a conda channel, which brings its own",
        ),
    )


def locks_in(path: Path) -> tuple[Lockfile, ...]:
    """Return the locks of a file, for all its environments and platforms; none where it is not there."""
    return read_locks(path) if path.is_file() else ()


def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    from dataloader.process.running import to_the_end as run
    from dataloader.process.tuning import without_collecting

    try:
        with without_collecting():
            return run(work)
    finally:
        work.close()
