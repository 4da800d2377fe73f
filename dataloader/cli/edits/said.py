"""What the commands that change a project are told alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from dataloader.base.errors import UsageError
from dataloader.cli.line.options import CommonOptions, own_option

if TYPE_CHECKING:
    from dataloader.cli.edits.edit import Edited
    from dataloader.cli.stages.session import Session

NoSync = Annotated[bool, own_option("--no-sync", about="Write manifest and lock only; leave the prefix as it is.")]

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
            f"this is so for {', '.join(others)} too: the feature {feature} is theirs as well. A feature of its own, "
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
            suggestions=("Leave it out.",),
        )
