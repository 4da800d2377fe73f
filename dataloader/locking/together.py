"""The environments of a solve-group: what all of them ask for is solved once, and each takes its own from that."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING

from dataloader.base.errors import InternalError, ResolutionFailure
from dataloader.request.solve_group import joined, within

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile
    from dataloader.locking.lock import Locked
    from dataloader.request.request import Request


async def lock_together(
    request: Request,
    make: Callable[[Request, Lockfile | None], Awaitable[Locked]],
    old: Lockfile | None,
    known: MutableMapping[str, Locked],
) -> Locked:
    """Solve a request whose environment shares its versions with others.

    What is found for all of them binds: the same request of the same group has the same answer, whichever of its
    environments it is made for, and what two of them hold is one file.

    Args:
        request: Of one environment, with its ``mates``.
        make: Solves one request, beside an earlier lock.
        old: What the locks of the group hold, where there are any: it is kept where possible.
        known: What was found for groups before, by what they asked for; is added to.

    Raises:
        ResolutionFailure: there is no solution for all of them; it says so.
        UsageError: ``solve-group-conflict``; no one solution can be for all of them.
    """
    from dataloader.compat.matrix import matrix_with

    together = joined(request)
    names = ", ".join(sorted((request.environment, *(mate.environment for mate in request.mates))))
    key = json.dumps([together.inputs(), together.platform, [p.url for p in old.packages] if old else None])
    if key not in known:
        try:
            known[key] = await make(together, old)
        except ResolutionFailure as failure:
            failure.causes = (f"this is of the solve-group of {names}, which share their versions", *failure.causes)
            raise
    whole = known[key]
    frameworks = matrix_with(request.matrix).frameworks
    own = await make(within(request, whole.lock.packages, together, frameworks), whole.lock)
    shared = {package.url for package in whole.lock.packages}
    if other := [package.name for package in own.lock.packages if package.url not in shared]:
        raise InternalError(f"{request.environment} is not of one piece with its solve-group", causes=tuple(other))
    return replace(own, lock=replace(own.lock, inputs=request.inputs()))


def before(own: Lockfile | None, mates: tuple[Lockfile, ...]) -> Lockfile | None:
    """Return what solving starts from: the lock as it is, with what those of its solve-group hold besides."""
    locks = ([own] if own else []) + list(mates)
    if not locks:
        return None
    first, *more = locks
    known = {package.name for package in first.packages}
    packages = list(first.packages)
    for mate in more:
        packages += [package for package in mate.packages if package.name not in known]
        known |= {package.name for package in mate.packages}
    return replace(first, packages=tuple(packages))
