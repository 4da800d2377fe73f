"""A lock of another tool, installed as it is: chosen from for this machine, and located where it has no URLs."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.as_it_is import check_nothing_to_solve
from dataloader.cli.stages.flow import Destination, sync_lock, to_the_end
from dataloader.cli.stages.proof import Proof
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.stages.solving import client_of
from dataloader.cli.telling.documents import sync_document, sync_text
from dataloader.formats.content import LOCKS, WITH_SETS, read_content
from dataloader.lockfile.model import CondaPackage, Lockfile, PypiPackage
from dataloader.request.request import Request, make_request

if TYPE_CHECKING:
    from pathlib import Path

    from dataloader.formats.content import Content
    from dataloader.formats.model import LeftOut, LockSelection, Taken
    from dataloader.index.client import IndexClient
    from dataloader.install.model import SyncResult

_OURS = b"\ndataloader:\n"


def foreign_content(path: Path | None) -> Content | None:
    """Return a lock of another tool; ``None`` for ours, and where there is none.

    Raises:
        ManifestError: ``format-unknown``, or it is no lock.
        UsageError: ``path-unusable``; a file that another tool's lock is called after is not there.
    """
    if path is not None and path.name in LOCKS and path.name != "dataloader.lock" and not path.exists():
        raise UsageError(  # else one of ours would be written under another tool's name
            f"there is no file {path}", code="path-unusable", suggestions=("look at the path that was named",)
        )
    if path is None or not path.is_file() or _OURS in path.read_bytes():
        return None
    content = read_content(path)
    if content.form == "dataloader.lock":
        return None
    if content.form not in LOCKS:
        raise UsageError(
            f"{path} is no lock but a {content.form}",
            code="lockfile-invalid",
            suggestions=(f"`dataloader install -r {shlex.quote(str(path))}` solves what it asks for",),
        )
    return content


def without_choices(options: CommonOptions) -> CommonOptions:
    """Return the options without those that choose from the lock: they say nothing of the project here."""
    typed = options.typed - {"extra", "group", "all_extras", "skip_unbuildable"}
    return replace(options, extra=(), group=(), all_extras=None, skip_unbuildable=False, typed=typed)


def sync_foreign(options: CommonOptions, content: Content, *, locked: bool, check: bool, place: Destination) -> int:
    """Make the prefix match another tool's lock, as it is."""
    if locked:
        raise UsageError(
            f"whether {content.path} fits a manifest is for the tool that wrote it to say: --locked can have no effect",
            suggestions=("leave it out",),
        )
    with open_session(options, "sync", place.name) as session:
        request = make_request(without_choices(options), (), None, environ=session.environ, here=session.here)
        asked = without_choices(options)
        if content.form == "export":  # it says of no package where it is
            asked = replace(asked, typed=asked.typed - {"channels"})
        check_nothing_to_solve(asked, f"from {content.path}")
        request = replace(request, prefix=place.prefix(request.prefix))
        return to_the_end(_sync(session, request, content, check=check, place=place))


async def _sync(session: Session, request: Request, content: Content, *, check: bool, place: Destination) -> int:
    proof = Proof(session, place.layers)
    async with client_of(session, request) as client:
        lock = await lock_from(session, content, client, request)

        async def attempt() -> SyncResult:
            return await sync_lock(session, request, lock, {}, client, proof, check=check, place=place, foreign=True)

        result = await proof.until_it_loads(attempt, lambda: lock, again=False)
    session.write(
        {"status": "ok", **sync_document(result, request.prefix), "left_out": proof.left_out},
        sync_text(result, request.prefix, dry_run=session.options.dry_run),
    )
    return 0


def read_foreign(session: Session, content: Content) -> Lockfile:
    """Return another tool's lock as one of ours, for a command that installs nothing."""
    request = make_request(without_choices(session.options), (), None, environ=session.environ, here=session.here)

    async def read() -> Lockfile:
        async with client_of(session, request) as client:
            return await lock_from(session, content, client, request)

    return to_the_end(read())


def wanted_of(session: Session) -> LockSelection:
    """Return what is wanted of a lock: this machine, and the environment, extras and groups that are named."""
    from dataloader.formats.model import LockSelection
    from dataloader.machine.detect import detect_target
    from dataloader.machine.interpreters import find_interpreters

    options = session.options
    target = detect_target(options.platform, session.environ, ask=())
    running = ".".join(str(part) for part in sys.version_info[:3])
    others = [i.version for i in find_interpreters(session.cache, session.environ) if i.takes_usual_wheels]
    return LockSelection(
        platform=target.platform,
        pythons=tuple(dict.fromkeys((running, *others))),
        glibc=_version(target.glibc),
        macos=_version(target.macos),
        environment=options.environment or "default",
        extras=options.extra,
        groups=options.group or (() if options.all_extras is False else None),
        all_extras=options.all_extras is True,
    )


def _version(text: str | None) -> tuple[int, int] | None:
    major, _, rest = (text or "").partition(".")
    return (int(major), int(rest.partition(".")[0] or 0)) if major else None


async def lock_from(session: Session, content: Content, client: IndexClient, request: Request) -> Lockfile:
    """Return another tool's lock as one of ours.

    Raises:
        LockfileError: it cannot be read, or is not for this machine.
        UsageError: ``requirement-unsupported``; something of it would have to be built. ``usage``; a part of it is
            named, and locks of that tool have none.
        IndexUnavailable: no index has a file of it.
    """
    from dataloader.formats.locks import take
    from dataloader.locking.located import locate

    _check_choices(session, content)
    wanted = await asyncio.to_thread(wanted_of, session)
    taken = take(content, wanted)
    _tell(session, content, taken)
    conda, located = await locate(
        taken, wanted, request, client, session.reporter, cache=session.cache, environ=session.environ
    )
    packages: list[CondaPackage | PypiPackage] = sorted((*taken.conda(), *conda), key=_name)
    packages += sorted((*taken.pypi(), *located), key=_name)
    if not packages:
        raise UsageError(f"{content.path} has nothing to install for this machine", code="lock-unfit")
    asked = {p.name if isinstance(p, PypiPackage) else f"conda:{p.name}" for p in packages}
    return Lockfile(
        platform=wanted.platform,
        channels=taken.channels or tuple(dict.fromkeys(p.channel for p in conda)),
        indexes=taken.indexes or tuple(dict.fromkeys(p.index for p in located if p.index)),
        python=taken.python,
        packages=tuple(packages),
        requested=tuple(sorted({*taken.roots} & asked)),
        inputs=_asked(taken),
    )


_PARTS = {
    "environment": ("environments", frozenset(["pixi.lock"])),
    **dict.fromkeys(("extra", "group", "all_extras"), ("extras and groups", WITH_SETS)),
}
"""Option -> what parts it names, and the locks that have such parts."""


def _check_choices(session: Session, content: Content) -> None:
    """Refuse to be told of a part of a lock that has no such parts.

    Raises:
        UsageError: ``usage``.
    """
    for name, (parts, forms) in _PARTS.items():
        if content.form not in forms and (said := session.options.spelled((name,))):
            raise UsageError(
                f"{content.path} has no {parts}, as no {content.form} has: {said[0]} can have no effect",
                suggestions=("leave it out",),
            )


def _asked(taken: Taken) -> dict[str, object]:
    """Return what was asked for, as far as the lock tells: what is installed later adds to it."""
    conda = sorted(name.removeprefix("conda:") for name in taken.roots if name.startswith("conda:"))
    wheels = sorted(name for name in taken.roots if not name.startswith("conda:"))
    said = {"requirements": wheels, "conda": conda, "channels": list(taken.channels), "indexes": list(taken.indexes)}
    return {key: value for key, value in said.items() if value}


def _name(package: CondaPackage | PypiPackage) -> str:
    return package.name


def _tell(session: Session, content: Content, taken: Taken) -> None:
    """Say what of a lock is not installed; refuse what would have to be built, unless that is to be left out."""
    for note in taken.notes:
        session.reporter.warn(note)
    own = [left_out for left_out in taken.left_out if left_out.is_project]
    for left_out in own:
        session.reporter.info(f"{left_out.name} is not installed: {left_out.why}")
    unbuildable = [left_out for left_out in taken.left_out if not left_out.is_project]
    if unbuildable and not session.options.skip_unbuildable:
        raise _unbuildable(content, unbuildable)
    for left_out in unbuildable:
        session.reporter.warn(f"{left_out.name} is left out: {left_out.why}")


def _unbuildable(content: Content, left_out: Iterable[LeftOut]) -> UsageError:
    causes = tuple(f"{omitted.name}: {omitted.why}" for omitted in left_out)
    return UsageError(
        f"{content.path} holds {len(causes)} that cannot be installed: nothing is built from source here",
        code="requirement-unsupported",
        causes=causes,
        suggestions=("leave them out, by name: --skip-unbuildable",),
    )
