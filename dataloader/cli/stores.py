"""The actions of ``dataloader cache``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.cli.options import CommonOptions
from dataloader.cli.render import human_size
from dataloader.cli.session import Session, session

if TYPE_CHECKING:
    from dataloader.install.store.caches import Removed


def run(options: CommonOptions, action: str, *, everything: bool) -> int:
    """Do one action on the cache."""
    from dataloader.install.store.caches import prune_cache, verify_cache

    with session(options, f"cache-{action}") as one:
        if action == "info":
            return _info(one)
        if action == "warm":
            return _warm(one)
        removed = (
            verify_cache(one.cache, one.reporter)
            if action == "verify"
            else prune_cache(one.cache, everything=everything)
        )
        _say(one, removed)
    return 0


def _info(one: Session) -> int:
    from dataloader.install.store.caches import cache_entries

    entries = list(cache_entries(one.cache))
    size, used = sum(e.size for e in entries), sum(e.size for e in entries if e.in_use)
    document = {
        "status": "ok",
        "cache": str(one.cache),
        "packages": [
            {"kind": e.kind, "name": e.name, "path": str(e.path), "size": e.size, "in_use": e.in_use} for e in entries
        ],
        "size": size,
        "in_use": used,
    }
    text = f"{one.cache}: {len(entries)} packages, {human_size(size)}, of which {human_size(used)} in use\n"
    one.write(document, text)
    return 0


def _warm(one: Session) -> int:
    """Fetch and unpack all that the lock names, so that syncs elsewhere need no network."""
    import asyncio

    from dataloader.cli.flow import warm
    from dataloader.request import make_request

    request = make_request(one.options, (), None, environ=one.environ, here=one.here)
    fetched = asyncio.run(warm(one, request))
    one.write({"status": "ok", "downloaded_bytes": fetched}, f"{one.cache} holds all of {request.lockfile}\n")
    return 0


def _say(one: Session, removed: Removed) -> None:
    document = {"status": "ok", "cache": str(one.cache), "removed": list(removed.names), "freed": removed.size}
    lines = "".join(f"- {name}\n" for name in removed.names)
    one.write(document, f"{lines}{one.cache}: {len(removed.names)} removed, {human_size(removed.size)} freed\n")
