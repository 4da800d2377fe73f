"""``dataloader shell-hook``."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions


@command(example='eval "$(dataloader shell-hook -p /opt/env)"', takes=PREFIX)
def shell_hook(
    options: CommonOptions,
    shell: Annotated[
        Literal["posix", "bash", "zsh", "fish", "csh"] | None,
        typer.Option(
            "--shell", "-s", envvar="DATALOADER_SHELL", help="Shell to write for; else $SHELL.", show_default=False
        ),
    ] = None,
) -> int:
    """Print the shell code that activates the environment."""
    from dataloader.cli import flow

    return flow.shell_hook(options, shell)
