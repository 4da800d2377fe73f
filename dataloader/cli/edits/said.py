"""What the commands that change a project are told alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.command import LOCK
from dataloader.cli.line.options import CommonOptions, own_option

if TYPE_CHECKING:
    from dataloader.cli.edits.edit import Edited
    from dataloader.cli.stages.session import Session
    from dataloader.request.request import Request

NoSync = Annotated[bool, own_option("--no-sync", about="Write manifest and lock only; leave the prefix as it is.")]

CHANGING = (*LOCK, "Sources", "Solving", "dry_run", "Report", "prefix", "yes")
"""Options of a command that solves for what is asked for already, and writes an environment."""

_OF_PREFIX = ("prefix", "yes")


def say_shared(session: Session, edited: Edited) -> None:
    """Say which other environments get what was written for one: they have the feature too whose tables hold it."""
    manifest, name = edited.asked.manifest, session.options.environment
    if manifest is None or name is None or manifest.path not in edited.files:
        return
    feature = manifest.environment(name).feature
    others = [other for other, features in manifest.environments.items() if other != name and feature in features]
    if others:
        session.reporter.warn(
            f"this is so for {', '.join(others)} too: the feature {feature} is theirs as well; a feature of its own, "
            f"named first in [environments], keeps {name} apart"
        )


def check_no_sync(options: CommonOptions, no_sync: bool) -> None:
    """Refuse what says how a prefix is changed where none is.

    Raises:
        UsageError: ``usage``.
    """
    if no_sync and (said := options.spelled(_OF_PREFIX)):
        raise UsageError(
            f"with --no-sync the prefix stays as it is: {', '.join(said)} can have no effect",
            suggestions=("leave it out",),
        )


def say_unread(session: Session, request: Request) -> None:
    """Name the project that lies here, where a command that names packages has nothing to do with it."""
    from dataloader.request.project import project_here

    if request.manifest is not None or session.options.prefix is not None:
        return
    here = project_here(session.here)
    if here is not None and not any(here.samefile(file.path) for file in request.files if Path(file.path).is_file()):
        session.reporter.info(f"{here.name} has no part in this; with --manifest {here.name} it does")
