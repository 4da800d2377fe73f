"""The actions of ``dataloader cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions
from dataloader.cli.stages.session import Session, open_session
from dataloader.cli.telling.render import human_size
from dataloader.process.running import to_the_end

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dataloader.install.store.pruning import Fate


def run(options: CommonOptions, action: str, *, everything: bool, listen: str) -> int:
    """Do one action on the cache."""
    if everything and action != "prune":
        raise UsageError(f"--all is for `cache prune`, not for `cache {action}`")
    if options.dry_run and action in ("warm", "serve", "push"):
        raise UsageError(
            "--dry-run is for `cache prune` and `cache verify`",
            suggestions=("`dataloader sync --dry-run` says what an environment lacks",),
        )
    with open_session(options, f"cache-{action}") as session:
        match action:
            case "info":
                _info(session)
            case "warm":
                _warm(session)
            case "serve":
                from dataloader.cli.clusters.serve import serve

                serve(session, listen)
            case "push":
                _push(session)
            case "verify":
                _verify(session)
            case _:
                _prune(session, everything=everything)
    return 0


def _info(session: Session) -> None:
    from dataloader.install.store.caches import cache_entries, shares, unknown_paths

    entries, parts, unknown = list(cache_entries(session.cache)), shares(session.cache), unknown_paths(session.cache)
    size, used = sum(e.size for e in entries), sum(e.size for e in entries if e.in_use)
    document = {
        "status": "ok",
        "cache": str(session.cache),
        "packages": [
            {"kind": e.kind, "name": e.name, "path": str(e.path), "size": e.size, "in_use": e.in_use} for e in entries
        ],
        "size": size,
        "in_use": used,
        "holdings": [
            {
                "kind": p.holding.kind,
                "about": p.holding.about,
                "count": p.count,
                "size": p.size,
                "left_over": p.left_over,
            }
            for p in parts
        ],
        "unknown": list(unknown),
    }
    text = f"{session.cache}: {len(entries)} packages, {human_size(size)}, of which {human_size(used)} in use\n"
    for part in parts:
        left = f", {part.left_over} left over" if part.left_over else ""
        text += f"  {part.holding.kind}: {part.count}, {human_size(part.size)}{left}\n"
    session.write(document, text + _unknown(unknown))


def _warm(session: Session) -> None:
    """Fetch and unpack all that the lock names, so that syncs elsewhere need no network."""

    from dataloader.cli.stages.flow import warm
    from dataloader.request.request import make_request

    request = make_request(session.options, (), None, environ=session.environ, here=session.here)
    fetched = to_the_end(warm(session, request))
    session.write({"status": "ok", "downloaded_bytes": fetched}, f"{session.cache} holds all of {request.lockfile}\n")


def _push(session: Session) -> None:
    """Bring what was built of the lock to the registry of builds."""
    from dataloader.cli.places.pushed_builds import push_builds
    from dataloader.cli.stages.as_it_is import own_part
    from dataloader.request.request import make_request

    request = make_request(session.options, (), None, environ=session.environ, here=session.here)
    push_builds(session, request, own_part(session, request))


def _verify(session: Session) -> None:
    from dataloader.install.store.caches import verify_cache

    dry_run = session.options.dry_run
    removed = verify_cache(session.cache, session.reporter, dry_run=dry_run)
    document = {
        "status": "ok",
        "cache": str(session.cache),
        "dry_run": dry_run,
        "removed": list(removed.names),
        "freed": removed.size,
    }
    lines = "".join(f"- {name}\n" for name in removed.names)
    session.write(document, lines + _sum(session, len(removed.names), removed.size))


def _prune(session: Session, *, everything: bool) -> None:
    from dataloader.install.store.pruning import prune_cache

    dry_run = session.options.dry_run
    pruned = prune_cache(session.cache, everything=everything, dry_run=dry_run)
    document = {
        "status": "ok",
        "cache": str(session.cache),
        "dry_run": dry_run,
        "removed": [_facts(fate) for fate in pruned.removed],
        "freed": pruned.size,
        "kept": [_facts(fate) for fate in pruned.kept],
        "unknown": list(pruned.unknown),
    }
    lines = "".join(f"- {fate.name}: {fate.why}\n" for fate in pruned.removed)
    lines += _sum(session, len(pruned.removed), pruned.size)
    session.write(document, lines + _reasons(pruned.kept, session.options.verbose > 0) + _unknown(pruned.unknown))


def _facts(verdict: Fate) -> Mapping[str, object]:
    return {
        "kind": verdict.kind,
        "name": verdict.name,
        "path": str(verdict.path),
        "size": verdict.size,
        "why": verdict.why,
    }


def _reasons(kept: Iterable[Fate], named: bool) -> str:
    """What stays: how much for each reason; with ``each``, everything by name."""
    by_reason: dict[str, list[Fate]] = {}
    for fate in kept:
        by_reason.setdefault(fate.why, []).append(fate)
    text = ""
    for why, some in by_reason.items():
        text += f"kept {len(some)}, {human_size(sum(kept_fate.size for kept_fate in some))}: {why}\n"
        if named:
            text += "".join(f"  {kept_fate.name}\n" for kept_fate in some)
    return text


def _sum(session: Session, count: int, size: int) -> str:
    if session.options.dry_run:
        return f"{session.cache}: {count} would be removed, {human_size(size)} freed\n"
    return f"{session.cache}: {count} removed, {human_size(size)} freed\n"


def _unknown(paths: Iterable[str]) -> str:
    return "".join(f"? {path}: not this program's, left alone\n" for path in paths)
