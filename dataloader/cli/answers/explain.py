"""``dataloader explain``."""

from __future__ import annotations

from typing import Annotated

from dataloader.cli.line.command import LOCK, command
from dataloader.cli.line.options import CommonOptions, Operand


@command(example="dataloader explain numpy", takes=(*LOCK, "prefix", "platform", "matrix"))
def explain(
    options: CommonOptions,
    name: Annotated[str, Operand("NAME", "A package of the lock.")],
) -> int:
    """Say why a package is there, in this version, and what bounds it."""
    from dataloader.cli.answers import show

    return show.explain(options, name)
