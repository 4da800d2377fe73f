"""``dataloader tree``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions


@command(example="dataloader tree torch", takes=PREFIX)
def tree(
    options: CommonOptions,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Begin at these packages.", show_default=False)
    ] = None,
) -> int:
    """Show what brings in what."""
    from dataloader.cli import show

    return show.tree(options, tuple(names or ()))
