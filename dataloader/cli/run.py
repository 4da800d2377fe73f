"""``dataloader run``."""

from __future__ import annotations

from typing import Annotated

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions, Operand


@command(example="dataloader run -p /opt/env -- python train.py", takes=PREFIX, passes_rest=True)
def run(
    options: CommonOptions,
    words: Annotated[list[str], Operand("CMD", "Command and its arguments.")],
) -> int:
    """Run a command in the environment, activated."""
    from dataloader.cli import use

    return use.run(options, tuple(words))
