"""``dataloader shell-hook``."""

from __future__ import annotations

from typing import Annotated, Literal

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions, own_option


@command(example='eval "$(dataloader shell-hook -p /opt/env)"', takes=PREFIX)
def shell_hook(
    options: CommonOptions,
    shell: Annotated[
        Literal["posix", "bash", "zsh"] | None,
        own_option("--shell", "-s", about="Shell to write for; else $SHELL."),
    ] = None,
) -> int:
    """Print the shell code that activates the environment."""
    from dataloader.cli import use

    return use.shell_hook(options, shell)
