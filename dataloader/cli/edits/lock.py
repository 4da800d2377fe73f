"""``dataloader lock``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import SOLVE_FOR_SEVERAL, command
from dataloader.cli.line.options import CommonOptions, Specs, StackFlags, own_option


@command(example="dataloader lock -f environment.yml --cuda=12.1", takes=SOLVE_FOR_SEVERAL)
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
    platform: Annotated[
        list[str] | None,
        own_option(
            "--platform",
            metavar="SUBDIR",
            about="Platform to solve for, linux-64 say; else the manifest's, or this machine's. May be repeated.",
        ),
    ] = None,
) -> int:
    """Solve and write the lockfile only, for all its platforms."""
    from dataloader.cli.edits import edit

    if upgrade and upgrade_package:
        raise UsageError(
            "--upgrade takes newer versions of everything, --upgrade-package of one package",
            suggestions=("leave one of them out",),
        )
    first, *more = platform or (None,)
    options = replace(options, platform=first)
    moving = () if upgrade else upgrade_package
    return edit.lock(options, tuple(specs or ()), stack, upgrade=moving, more=tuple(more))
