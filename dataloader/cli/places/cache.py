"""``dataloader cache``: what the cache holds, whether it is whole, and less of it."""

from __future__ import annotations

from typing import Annotated, Literal

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import TO_FETCH, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option

_NOT_TO_PUSH = tuple(name for name in TO_FETCH if name not in {"manifest", "lockfile", "environment"})


@command(example="dataloader cache info", takes=(*TO_FETCH, "dry_run", "Output", "Report"))
def cache(
    options: CommonOptions,
    action: Annotated[
        Literal["info", "verify", "prune", "warm", "serve", "push"],
        Operand(
            "ACTION",
            "info: what is there; verify: read every file, drop what is damaged; prune: drop what nobody needs; "
            "warm: fetch all that the lock names; serve: fetch it, and serve it to peers over http; "
            "push: bring what was built of it to the registry of builds.",
        ),
    ],
    everything: Annotated[bool, own_option("--all", about="prune: drop all that no running sync needs.")] = False,
    listen: Annotated[
        str | None,
        own_option("--listen", metavar="HOST:PORT", about="serve: where peers reach it; else 127.0.0.1:8899."),
    ] = None,
) -> int:
    """Look after the cache of packages."""
    from dataloader.cli.places import stores

    if action != "serve" and listen is not None:
        raise UsageError(f"--listen is for `cache serve`, not for `cache {action}`")
    without = _NOT_TO_PUSH if action == "push" else () if action in ("warm", "serve") else TO_FETCH
    if said := options.spelled(without):
        raise UsageError(
            f"cache {action} fetches nothing: {', '.join(said)} can have no effect", suggestions=("leave it out",)
        )
    return stores.run(options, action, everything=everything, listen=listen or "127.0.0.1:8899")
