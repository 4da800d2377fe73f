"""What the commands that change a project are told alike."""

from __future__ import annotations

from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions, own_option

NoSync = Annotated[bool, own_option("--no-sync", about="Write manifest and lock only; leave the prefix as it is.")]

_OF_PREFIX = ("prefix", "yes")


def check_no_sync(options: CommonOptions, no_sync: bool) -> None:
    """Refuse what says how a prefix is changed where none is.

    Raises:
        UsageError: ``usage``.
    """
    if no_sync and (said := options.spelled(_OF_PREFIX)):
        raise UsageError(
            f"with --no-sync the prefix stays as it is: {', '.join(said)} can have no effect",
            suggestions=("Leave it out.",),
        )
