"""``dataloader explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataloader.cli.command import SOLVE, command
from dataloader.cli.options import CommonOptions


@command(example="dataloader explain numpy", takes=SOLVE)
def explain(
    options: CommonOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A package of the lock.", show_default=False)],
) -> int:
    """Say why a package is there, in this version, and what bounds it."""
    from dataloader.cli import show

    return show.explain(options, name)
