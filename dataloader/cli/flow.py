"""The commands that solve and write: install, lock, sync. Each is a short list of stages."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dataloader.cli.console import Style, make_reporter, write_result
from dataloader.cli.options import CommonOptions, StackFlags
from dataloader.cli.render import table
from dataloader.errors import LockOutdated, PrefixError, UsageError
from dataloader.lockfile.model import CondaPackage, Lockfile, Package, PypiPackage
from dataloader.lockfile.yaml import parse_lock, read_lock, write_lock
from dataloader.request import Request, make_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dataloader.index.client import IndexClient
    from dataloader.install.model import SyncOptions, SyncResult
    from dataloader.locking import Locked
    from dataloader.reporter import Reporter

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What every command works with."""

    options: CommonOptions
    style: Style
    reporter: Reporter
    environ: Mapping[str, str]
    here: Path
    cache: Path

    def write(self, document: Mapping[str, object], text: str) -> None:
        """Write the result."""
        write_result(self.style, document, text)


@contextmanager
def session(options: CommonOptions) -> Iterator[Session]:
    """Open what a command works with; bars are taken away at the end."""
    from dataloader.cache import cache_root

    style = Style.of(options)
    with make_reporter(style) as reporter:
        yield Session(
            options=options,
            style=style,
            reporter=reporter,
            environ=os.environ,
            here=Path.cwd(),
            cache=cache_root(os.environ),
        )


def install(options: CommonOptions, specs: tuple[str, ...], flags: StackFlags) -> int:
    """Add what is asked for, lock, and make the prefix match."""
    with session(options) as one:
        remembered = _remembered(one)
        request = make_request(
            options,
            specs,
            flags,
            environ=one.environ,
            here=one.here,
            remembered=remembered.inputs if remembered else None,
        )
        if not (request.pypi or request.conda or request.stack):
            raise UsageError(
                "there is nothing to install",
                code="nothing-asked",
                suggestions=(
                    "name packages: `dataloader install torch==2.1.0`",
                    "or write a manifest: `dataloader init`",
                ),
            )
        return _run(_install(one, request, specs, flags))


async def _install(one: Session, request: Request, specs: tuple[str, ...], flags: StackFlags) -> int:
    old = _existing(request.lockfile)
    async with _client(one, request) as client:
        locked = await _solve(one, request, client, old)
        if one.options.dry_run:
            result = await _sync(one, request, locked.lock, None, client, check=False)
        else:
            _add_to_manifest(one, request, specs, flags)
            write_lock(locked.lock, request.lockfile)
            data = request.lockfile.read_bytes()
            result = await _sync(one, request, locked.lock, data, client, check=False)
    one.write(
        {**lock_document(locked.lock), **sync_document(result, request.prefix)},
        sync_text(result, request, dry_run=one.options.dry_run),
    )
    return 0


def lock(options: CommonOptions, specs: tuple[str, ...], flags: StackFlags) -> int:
    """Solve and write the lock only."""
    with session(options) as one:
        request = make_request(options, specs, flags, environ=one.environ, here=one.here)
        return _run(_lock(one, request))


async def _lock(one: Session, request: Request) -> int:
    old = _existing(request.lockfile)
    async with _client(one, request) as client:
        locked = await _solve(one, request, client, old)
    changed = False if one.options.dry_run else write_lock(locked.lock, request.lockfile)
    one.write(lock_document(locked.lock), lock_text(locked.lock, old))
    one.reporter.info(f"{request.lockfile} {'written' if changed else 'unchanged'}: {_count(locked.lock)}")
    return 0


def sync(options: CommonOptions, *, frozen: bool, locked: bool, check: bool) -> int:
    """Make the prefix match the lock."""
    with session(options) as one:
        request = make_request(options, (), None, environ=one.environ, here=one.here)
        return _run(_sync_command(one, request, frozen=frozen, locked=locked, check=check))


async def _sync_command(one: Session, request: Request, *, frozen: bool, locked: bool, check: bool) -> int:
    async with _client(one, request) as client:
        lockfile = await _current_lock(one, request, client, frozen=frozen, locked=locked or check)
        data = request.lockfile.read_bytes()
        result = await _sync(one, request, lockfile, data, client, check=check)
    if not (frozen or one.options.dry_run):
        _remember_agreement(one, request, data)
    one.write(
        {"status": "ok", **sync_document(result, request.prefix)},
        sync_text(result, request, dry_run=one.options.dry_run),
    )
    return 0


async def _current_lock(one: Session, request: Request, client: IndexClient, *, frozen: bool, locked: bool) -> Lockfile:
    """Return the lock to sync from; a stale one is made anew unless ``locked`` forbids or ``frozen`` does not care."""
    from dataloader.lockfile.check import check_lock

    if request.manifest is None or frozen:
        return read_lock(request.lockfile)
    old = _existing(request.lockfile)
    reasons = check_lock(old, request.inputs()) if old else ()
    if old and not reasons:
        return old
    if locked:
        raise LockOutdated(
            f"{request.lockfile} no longer fits {request.manifest.path}" if old else f"there is no {request.lockfile}",
            causes=tuple(str(reason) for reason in reasons),
            suggestions=("run `dataloader lock`",),
        )
    for reason in reasons:
        one.reporter.info(f"locking again: {reason}")
    fresh = await _solve(one, request, client, old)
    write_lock(fresh.lock, request.lockfile)
    return fresh.lock


# -- stages


async def _solve(one: Session, request: Request, client: IndexClient, old: Lockfile | None) -> Locked:
    from dataloader.locking import make_lock

    one.reporter.start("solve", "solving", None, "packages")
    try:
        return await make_lock(request, client, one.reporter, cache=one.cache, environ=one.environ, old=old)
    finally:
        one.reporter.finish("solve")


def _client(one: Session, request: Request) -> IndexClient:
    from dataloader.index.client import IndexClient

    return IndexClient(request.settings, one.reporter, cache_dir=one.cache)


async def _sync(
    one: Session, request: Request, lock: Lockfile, data: bytes | None, client: IndexClient, *, check: bool
) -> SyncResult:
    from dataloader.install.sync import sync_prefix

    return await sync_prefix(
        lock, request.prefix, sync_options(one, lock, data, check=check), one.reporter, client.download
    )


def sync_options(one: Session, lock: Lockfile, data: bytes | None, *, check: bool = False) -> SyncOptions:
    """Return how a prefix is made to match ``lock``, whose bytes are ``data``."""
    from dataloader.install.model import SyncOptions
    from dataloader.install.status import lock_digest

    return SyncOptions(
        cache_dir=one.cache,
        interpreter=_interpreter(one, lock),
        lock_digest=lock_digest(data) if data is not None else None,
        offline=one.options.offline,
        check=check,
        dry_run=one.options.dry_run,
    )


def _interpreter(one: Session, lock: Lockfile) -> Path | None:
    """Return this machine's Python for a lock that stands on one."""
    if lock.python.source != "host" or lock.python.version is None:
        return None
    from dataloader.interpreters import find_interpreters

    for found in find_interpreters(one.cache, one.environ):
        if found.minor == lock.python.version and not (found.free_threaded or found.debug):
            return found.path
    raise PrefixError(
        f"the lock needs Python {lock.python.version}, and this machine has none",
        code="python-missing",
        suggestions=(
            f"install Python {lock.python.version}",
            "or lock again with a conda channel, which brings its own",
        ),
    )


def _add_to_manifest(one: Session, request: Request, specs: tuple[str, ...], flags: StackFlags) -> None:
    if request.manifest is None or not (specs or flags.asked()):
        return
    from dataloader.inputs.spec import parse_spec
    from dataloader.manifest_edit import add_to_manifest

    path = request.manifest.path
    wanted = [parse_spec(spec, base=one.here) for spec in specs]
    text = path.read_text(encoding="utf-8")
    added = add_to_manifest(text, path.name, wanted, flags.asked())
    if added != text:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(added, encoding="utf-8")
        temporary.replace(path)
        one.reporter.info(f"{path} has them now")


def _remembered(one: Session) -> Lockfile | None:
    """Return the lock that the prefix was made from, where no manifest says what was asked for: installs add up."""
    from dataloader.install.status import fast_status
    from dataloader.locate import DEFAULT_PREFIX, LOCK_NAME
    from dataloader.request import find

    if find(one.options, one.here) is not None:
        return None
    path = one.options.lockfile or one.here / LOCK_NAME
    prefix = one.options.prefix or one.here / DEFAULT_PREFIX
    if not path.is_file() or not fast_status(prefix, data := path.read_bytes()):
        return None
    return parse_lock(data, path)


def _remember_agreement(one: Session, request: Request, lock: bytes) -> None:
    """Note in the prefix what it agrees with, so that the next sync with nothing to do is quick."""
    if request.manifest is None:
        return
    from dataloader.cli.fast import SEEN, agreement

    path = request.prefix / SEEN
    text = json.dumps(agreement(request.manifest.path, lock, one.environ))
    try:
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
    except OSError as error:
        one.reporter.debug(f"{path} cannot be written, so every sync takes the long way: {error.strerror}")


def _existing(path: Path) -> Lockfile | None:
    return read_lock(path) if path.is_file() else None


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


# -- results


def package_document(package: Package) -> dict[str, object]:
    """Return what ``--json`` says of one locked package."""
    if isinstance(package, CondaPackage):
        more: dict[str, object] = {
            "kind": "conda",
            "build": package.build,
            "channel": package.channel,
            "subdir": package.subdir,
        }
    else:
        more = {"kind": "pypi", "build": None, "index": package.index, "extras": list(package.extras)}
    return {
        "name": package.name,
        "version": package.version,
        "url": package.url,
        "sha256": package.sha256,
        "size": package.size,
        **more,
    }


def lock_document(lock: Lockfile) -> dict[str, object]:
    """Return the document of ``lock --json``."""
    packages = sorted((package_document(p) for p in lock.packages), key=lambda d: (str(d["name"]), str(d["kind"])))
    return {
        "status": "ok",
        "packages": packages,
        "stack": dict(lock.stack),
        "python": {"source": lock.python.source, "version": lock.python.version},
        "platform": lock.platform,
    }


def sync_document(result: SyncResult, prefix: Path) -> dict[str, object]:
    """Return what ``install --json`` and ``sync --json`` say of the prefix."""
    plan = result.plan
    return {
        "prefix": str(prefix),
        "changed": result.changed,
        "installed": [{"name": s.name, "kind": s.kind, "version": s.new, "reason": s.reason} for s in plan.install],
        "replaced": [
            {"name": s.name, "kind": s.kind, "version": s.new, "old": s.old, "reason": s.reason} for s in plan.replace
        ],
        "removed": [{"name": s.name, "kind": s.kind, "old": s.old, "reason": s.reason} for s in plan.remove],
        "kept": len(plan.keep),
        "downloaded_bytes": result.downloaded_bytes,
        "seconds": round(result.seconds, 3),
        "warnings": list(result.warnings),
    }


def lock_text(lock: Lockfile, old: Lockfile | None) -> str:
    """Return the packages of a lock as people read them, changes marked."""
    before = {(type(p), p.name): p for p in old.packages} if old else {}
    rows = []
    for package in lock.packages:
        earlier = before.get((type(package), package.name))
        mark = "" if old is None or earlier == package else f"was {earlier.version}" if earlier else "new"
        rows.append((package.name, package.version, _origin(package), mark))
    return table(rows, ("package", "version", "from", "")) if rows else ""


def _origin(package: Package) -> str:
    if isinstance(package, PypiPackage):
        return "pypi"
    return f"conda {package.channel.rstrip('/').rsplit('/', 1)[-1]} {package.build}"


def sync_text(result: SyncResult, request: Request, *, dry_run: bool) -> str:
    """Return what changed in the prefix as people read it."""
    plan = result.plan
    rows = [("+", s.name, s.new or "", "") for s in plan.install]
    rows += [("~", s.name, s.new or "", f"was {s.old}") for s in plan.replace]
    rows += [("-", s.name, s.old or "", s.reason) for s in plan.remove]
    text = table(rows) if rows else ""
    if not result.changed and not dry_run:
        return f"{text}{request.prefix} matches the lock already\n"
    verb = "would be changed" if dry_run else "is ready"
    return f"{text}{request.prefix} {verb}: {plan.summary()} ({result.seconds:.1f} s)\n"


def _count(lock: Lockfile) -> str:
    parts = [(len(lock.conda()), "conda packages"), (len(lock.pypi()), "wheels")]
    return ", ".join(f"{count} {what}" for count, what in parts if count) or "no packages"
