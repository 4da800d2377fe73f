"""``dataloader sync``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataloader.cli.command import SOLVE, command
from dataloader.cli.options import CommonOptions
from dataloader.errors import UsageError


@command(example="dataloader sync --locked -p /opt/env", takes=SOLVE)
def sync(
    options: CommonOptions,
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen",
            envvar="DATALOADER_FROZEN",
            metavar="",
            help="Use the lock as it is; do not look at the manifest.",
        ),
    ] = False,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", envvar="DATALOADER_LOCKED", metavar="", help="Fail when the lock no longer fits the manifest."
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check", envvar="DATALOADER_CHECK", metavar="", help="Change nothing; fail when there is work to do."
        ),
    ] = False,
) -> int:
    """Make the prefix match the lock, touching only what differs."""
    from dataloader.cli import flow

    if frozen and locked:
        raise UsageError("--frozen and --locked exclude each other")
    return flow.sync(options, frozen=frozen, locked=locked, check=check)
