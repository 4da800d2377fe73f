"""``dataloader list``."""

from __future__ import annotations

from dataloader.cli.command import PREFIX, command
from dataloader.cli.options import CommonOptions


@command(example="dataloader list -p /opt/env --json", takes=PREFIX)
def list_packages(options: CommonOptions) -> int:
    """List the packages of the environment, conda's and Python's."""
    from dataloader.cli import use

    return use.list_packages(options)
