"""``dataloader verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dataloader.cli.command import VERIFY, command
from dataloader.cli.options import CommonOptions


@command(example="dataloader verify -p /opt/env", takes=VERIFY)
def verify(
    options: CommonOptions,
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PREFIX", help="Environment to check; any prefix, not only ours.", show_default=False),
    ] = None,
) -> int:
    """Check that what is installed can load, without running it."""
    from dataloader.cli import use

    return use.verify(options, path)
