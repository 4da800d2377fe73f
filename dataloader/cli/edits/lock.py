"""``dataloader lock``."""

from __future__ import annotations

from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import SOLVE, command
from dataloader.cli.line.options import CommonOptions, Specs, StackFlags, own_option


@command(example="dataloader lock -f environment.yml --cuda=12.1", takes=SOLVE)
def lock(
    stack: StackFlags,
    options: CommonOptions,
    specs: Specs = None,
    upgrade: Annotated[
        bool, own_option("--upgrade", "-U", about="Take newer versions of everything, whatever the old lock holds.")
    ] = False,
    upgrade_package: Annotated[
        list[str] | None,
        own_option(
            "--upgrade-package", "-P", metavar="NAME", about="Take a newer version of this package. May be repeated."
        ),
    ] = None,
) -> int:
    """Solve and write the lockfile only."""
    from dataloader.cli.edits import edit

    if upgrade and upgrade_package:
        raise UsageError(
            "--upgrade takes newer versions of everything, --upgrade-package of one package",
            suggestions=("Leave one of them out.",),
        )
    return edit.lock(options, tuple(specs or ()), stack, upgrade=() if upgrade else upgrade_package)
