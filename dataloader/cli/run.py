"""``dataloader run``."""

from __future__ import annotations

from typing import Annotated

import typer

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions


@command(example="dataloader run -p /opt/env -- python train.py", takes=PREFIX, passes_rest=True)
def run(
    options: CommonOptions,
    words: Annotated[list[str], typer.Argument(metavar="CMD", help="Command and its arguments.", show_default=False)],
) -> int:
    """Run a command in the environment, activated."""
    from dataloader.cli import use

    return use.run(options, tuple(words))
