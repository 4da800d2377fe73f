"""What upgrading solves for: newer versions of packages of the lock."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from dataloader.base.errors import UsageError
from dataloader.base.names import normalized
from dataloader.base.reporter import Reporter

if TYPE_CHECKING:
    from dataloader.cli.stages.platforms import Solve
    from dataloader.cli.stages.proof import Proof
    from dataloader.cli.stages.session import Session
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request


def upgrading(names: Collection[str]) -> Solve:
    """Solve for newer versions of the packages, or, where none is named, of all."""

    async def solving(
        session: Session, request: Request, client: IndexClient, old: Lockfile | None, proof: Proof
    ) -> tuple[Request, Locked]:
        from dataloader.cli.stages.solving import lock_of, solve
        from dataloader.locking.upgrade import upgraded

        met = [request]

        async def aloud(wanted: Request, beside: Lockfile | None) -> Locked:
            solved, locked = await solve(session, wanted, client, beside, proof)
            met[0] = solved if wanted is request else request
            return locked

        async def quietly(wanted: Request, beside: Lockfile | None) -> Locked:
            return await lock_of(session, wanted, client, beside, Reporter(), proof)

        locked = await upgraded(request, old, names, aloud, quietly)
        return met[0], locked

    return solving


def locked_names(names: Sequence[str], lock: Lockfile | None) -> tuple[str, ...]:
    """Return the names that packages have in the lock.

    Raises:
        UsageError: ``package-not-locked``.
    """
    known = {package.name for package in lock.packages} if lock else set()
    found = []
    for name in names:
        plain = name.rpartition(":")[2].lower()
        found_name = next((spelling for spelling in (plain, normalized(plain)) if spelling in known), None)
        if found_name is None:
            near = difflib.get_close_matches(plain, known, n=3)
            raise UsageError(
                f"the lock holds no {name}" if lock else f"there is no lock yet, and no {name} to upgrade",
                code="package-not-locked",
                suggestions=(
                    *(f"did you mean {other}?" for other in near),
                    f"`dataloader add {plain or 'NAME'}` adds it",
                ),
            )
        found.append(found_name)
    return tuple(dict.fromkeys(found))
