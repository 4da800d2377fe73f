"""``dataloader lock``."""

from __future__ import annotations

from dataloader.cli.command import SOLVE, command
from dataloader.cli.options import CommonOptions, Specs, StackFlags


@command(example="dataloader lock -f environment.yml --cuda=12.1", takes=SOLVE)
def lock(stack: StackFlags, options: CommonOptions, specs: Specs = None) -> int:
    """Solve and write the lockfile only."""
    from dataloader.cli import edit

    return edit.lock(options, tuple(specs or ()), stack)
