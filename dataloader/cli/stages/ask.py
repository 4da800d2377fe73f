"""The one question: whether packages of an environment may go or be replaced. Only somebody at a terminal is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dataloader.base.errors import Declined
from dataloader.base.redaction import redact
from dataloader.cli.telling.render import table

if TYPE_CHECKING:
    from dataloader.cli.stages.session import Session
    from dataloader.install.model import InstallPlan


def confirmation(session: Session) -> Callable[[InstallPlan], None] | None:
    """Return what asks before an environment is changed; ``None`` where nobody is there to answer, or has answered."""
    is_answered = session.options.yes or session.options.json or session.environ.get("CI")
    return None if is_answered or not (sys.stdin.isatty() and sys.stderr.isatty()) else confirm


def confirm(plan: InstallPlan) -> None:
    """Ask whether packages may be replaced and removed, if any are to be; Enter is yes.

    Raises:
        Declined: they may not.
    """
    rows = [("~", step.name, step.old or "", "->", step.new or "") for step in plan.replace]
    rows += [("-", step.name, step.old or "", "", "") for step in plan.remove]
    if not rows:
        return
    sys.stderr.write(redact(f"{table(rows)}Go on: {plan.summary()}? [Y/n] "))
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if answer.strip().lower() not in ("", "y", "yes") or not answer:
        raise Declined(
            "the environment, its lock and its manifest are left as they were",
            suggestions=("--yes (or DATALOADER_YES=1) does not ask",),
        )
