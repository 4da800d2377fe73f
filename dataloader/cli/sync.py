"""``dataloader sync``."""

from __future__ import annotations

from typing import Annotated

from dataloader.cli.command import SOLVE, command
from dataloader.cli.options import CommonOptions, own_option
from dataloader.errors import UsageError


@command(example="dataloader sync --locked -p /opt/env", takes=SOLVE)
def sync(
    options: CommonOptions,
    frozen: Annotated[
        bool, own_option("--frozen", about="Use the lock as it is; do not look at the manifest.")
    ] = False,
    locked: Annotated[bool, own_option("--locked", about="Fail when the lock no longer fits the manifest.")] = False,
    check: Annotated[bool, own_option("--check", about="Change nothing; fail when there is work to do.")] = False,
) -> int:
    """Make the prefix match the lock, touching only what differs."""
    from dataloader.cli import flow

    if frozen and locked:
        raise UsageError("--frozen and --locked exclude each other", suggestions=("Leave one of them out.",))
    return flow.sync(options, frozen=frozen, locked=locked, check=check)
