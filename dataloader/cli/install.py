"""``dataloader install``."""

from __future__ import annotations

from dataloader.cli.command import SOLVE, command
from dataloader.cli.options import CommonOptions, Specs, StackFlags


@command(example="dataloader install --cuda=11.8 --torch=2.1.0", takes=SOLVE)
def install(stack: StackFlags, options: CommonOptions, specs: Specs = None) -> int:
    """Add packages, lock, and make the prefix match the lock.

    With a manifest, specs and stack options are added to it; without one they are the whole environment.
    """
    from dataloader.cli import flow

    return flow.install(options, tuple(specs or ()), stack)
