"""``dataloader upgrade``, and ``dataloader lock --upgrade``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from dataloader.base.reporter import Reporter
from dataloader.cli.edits.newer import locked_names, upgrading
from dataloader.cli.edits.said import CHANGING, NoSync, check_no_sync
from dataloader.cli.line.command import command
from dataloader.cli.line.options import CommonOptions, Operand
from dataloader.cli.telling.render import table
from dataloader.prefix.locate import as_seen

if TYPE_CHECKING:
    from dataloader.cli.edits.edit import Edited
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.diff import Change
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.lock import Locked
    from dataloader.locking.upgrade import HeldBack
    from dataloader.request.request import Request


@command(example="dataloader upgrade --dry-run", takes=CHANGING)
def upgrade(
    options: CommonOptions,
    names: Annotated[list[str] | None, Operand("NAME", "Packages of the lock; else all of them.")] = None,
    no_sync: NoSync = False,
) -> int:
    """Take newer versions of some packages, or of all, as far as the manifest admits them.

    For packages that are named, as little else moves as can be. --dry-run changes nothing, and says what holds the
    others back.
    """
    from dataloader.cli.edits.edit import Edit, carry_out
    from dataloader.cli.edits.remembered import remembered_request
    from dataloader.cli.stages.flow import Destination, to_the_end
    from dataloader.cli.stages.session import open_session

    check_no_sync(options, no_sync)
    with open_session(options, "upgrade") as session:
        asked, lock = remembered_request(session, "upgrade")
        named = locked_names(names or (), lock)
        edit = Edit(
            asked=asked,
            wanted=asked,
            solve=upgrading(named),
            asking=lambda there: remembered_request(there, "upgrade")[0],
        )
        place = None if no_sync or options.dry_run else Destination()
        edited = to_the_end(carry_out(session, edit, place))
        held = to_the_end(_held(session, edited, named)) if named or options.dry_run else ()
        changes = _changes(edited)
        document = {
            **edited.document(),
            "changes": [
                {
                    "name": change.name,
                    "kind": change.kind,
                    "old": change.old.version if change.old else None,
                    "new": change.new.version if change.new else None,
                }
                for change in changes
            ],
            "held_back": [
                {
                    "name": held_back.name,
                    "version": held_back.version,
                    "newest": held_back.newest,
                    "why": list(held_back.why),
                }
                for held_back in held
            ],
            "dry_run": options.dry_run,
        }
        session.write(document, _text(edited, changes, held, dry_run=options.dry_run), fold=True)
    return 0


async def _held(session: Session, edited: Edited, names: Collection[str]) -> tuple[HeldBack, ...]:
    """What stays behind its newest release; of the packages that were named, where some were."""
    from dataloader.cli.stages.proof import Proof
    from dataloader.cli.stages.solving import client_of, lock_of
    from dataloader.locking.newer import newest_releases
    from dataloader.locking.upgrade import find_held

    proof = Proof(session)
    async with client_of(session, edited.request) as client:

        async def quietly(wanted: Request, beside: Lockfile | None) -> Locked:
            return await lock_of(session, wanted, client, beside, Reporter(), proof)

        newest: Mapping[str, str | None] = await newest_releases(
            edited.lock, edited.request, client, session.reporter, cache=session.cache, environ=session.environ
        )
        asked = {name: version for name, version in newest.items() if not names or name in names}
        return await find_held(edited.request, edited.lock, asked, quietly)


def _changes(edited: Edited) -> tuple[Change, ...]:
    from dataloader.lockfile.diff import changes_between
    from dataloader.resolve.words.versions import is_newer

    return changes_between(edited.before or replace(edited.lock, packages=()), edited.lock, is_newer)


def _text(edited: Edited, changes: Sequence[Change], held: Sequence[HeldBack], *, dry_run: bool) -> str:
    rows = [
        (change.name, change.old.version if change.old else "", change.new.version if change.new else "", change.kind)
        for change in changes
    ]
    text = table(rows, ("package", "from", "to", "")) if rows else "nothing moves\n"
    if held:
        text += "\nheld back\n"
        text += "".join(f"  {held_back.name} {held_back.newest}: {'; '.join(held_back.why)}\n" for held_back in held)
    if edited.synced is not None:
        prefix, plan = as_seen(edited.asked.prefix), edited.synced.plan
        text += (
            f"{prefix} is ready: {plan.summary(done=True)}\n" if edited.synced.changed else f"{prefix} stays as it is\n"
        )
    elif dry_run:
        text += "nothing was changed\n"
    return text
