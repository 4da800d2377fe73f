"""Locks of small worlds, whatever is in them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dataloader.base.errors import ResolutionFailure
from dataloader.base.reporter import Reporter
from dataloader.locking.lock import Locked, make_lock

if TYPE_CHECKING:
    from dataloader.index.client import IndexClient
    from tests.helpers.mixed_worlds import MixedWorld
    from tests.helpers.worlds import World


def solve(world: World | MixedWorld, *, refuse: bool = False) -> Locked | None:
    """Solve; whatever the gate finds is an error of its own, and a refusal shows nothing of how it was found.

    Args:
        world: What there is, and what is asked.
        refuse: Raise the refusal, instead of returning None.
    """
    client = cast("IndexClient", world.client())
    with tempfile.TemporaryDirectory() as folder:
        request = world.request(Path(folder))
        try:
            return asyncio.run(make_lock(request, client, Reporter(), cache=Path(folder), environ={}))
        except ResolutionFailure as failure:
            told = "\n".join((failure.message, *failure.causes, *failure.suggestions, *failure.untried))
            assert not [word for word in ("axis.", "no.such.version", "unread") if word in told], told
            if refuse:
                raise
            return None
