"""``dataloader install``."""

from __future__ import annotations

from typing import Annotated

from dataloader.cli.line.command import INSTALL, command
from dataloader.cli.line.options import CommonOptions, Specs, StackFlags, own_option

Adopt = Annotated[bool, own_option("--adopt", about="Take over a conda or virtual environment that another tool made.")]
Reinstall = Annotated[
    bool, own_option("--reinstall", about="Make the environment anew, though nothing differs from the lock.")
]
StrictRecords = Annotated[
    bool,
    own_option("--strict-records", about="Refuse packages that differ from their own records; else they are told."),
]


@command(example="dataloader install --cuda=11.8 --torch=2.1.0", takes=INSTALL)
def install(
    stack: StackFlags,
    options: CommonOptions,
    specs: Specs = None,
    adopt: Adopt = False,
    reinstall: Reinstall = False,
    strict_records: StrictRecords = False,
) -> int:
    """Add packages, lock, and make the prefix match the lock.

    With a manifest, specs and stack options are added to it; without one, to what the lock was asked for before.
    """
    from dataloader.cli.edits import edit
    from dataloader.cli.stages.flow import Destination

    place = Destination(adopt=adopt, rebuild=reinstall, strict_records=strict_records)
    return edit.install(options, tuple(specs or ()), stack, place)
