"""``dataloader plan``."""

from __future__ import annotations

from dataloader.cli.line.command import PLAN, command
from dataloader.cli.line.options import CommonOptions, StackFlags


@command(example="dataloader plan --cuda --torch=2.1", takes=PLAN)
def plan(stack: StackFlags, options: CommonOptions) -> int:
    """Choose the stack (CUDA, cuDNN, NCCL, GCC, Python, frameworks), offline, and say why."""
    from dataloader.cli.answers import show

    return show.plan(options, stack)
