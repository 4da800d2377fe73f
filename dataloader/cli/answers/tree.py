"""``dataloader tree``."""

from __future__ import annotations

from typing import Annotated

from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, Operand, own_option


@command(example="dataloader tree torch", takes=(*LOCK, "prefix", "platform"))
def tree(
    options: CommonOptions,
    names: Annotated[list[str] | None, Operand("NAME", "Begin at these packages.")] = None,
    invert: Annotated[bool, own_option("--invert", "-i", about="Show what needs them instead.")] = False,
) -> int:
    """Show what brings in what."""
    from dataloader.cli.answers import show

    return show.tree(options, tuple(names or ()), invert=invert)
