"""Refusals that need no further step: nothing that a later step would offer can resolve what contradicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.base.names import pypi_names
from dataloader.resolve.channels.rattler import Unsolvable, parse_match_spec
from dataloader.resolve.refused.conflict import find_conflict
from dataloader.resolve.refused.explain import refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from dataloader.base.errors import ResolutionFailure
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.offer import Catalogue, Offer

_SECONDS = 1.0
"""How long it may take to find out."""


async def without_wheels(
    failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer
) -> ResolutionFailure | None:
    """Return the refusal of a conda part where no wheel could help: all that contradicts is conda's alone."""
    if not problem.conda_specs:
        return None
    insisted = {str(parse_match_spec(text).name.normalized) for text in problem.conda_specs}

    def is_condas_alone(name: str) -> bool:
        return name in {"python", *insisted} or name.startswith("__") or pypi_names(name) == ()

    return await _certain(failure, problem, catalogue, offer, is_condas_alone)


async def without_old_releases(
    failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer
) -> ResolutionFailure | None:
    """Return the refusal of what has no solution though every release is offered of all that contradicts."""
    knowledge = catalogue.knowledge
    if knowledge is None:
        return None
    open_names = {
        catalogue.identity(name)
        for name in knowledge.projects
        if len(knowledge.offered(name)) != len(knowledge.offered(name, floors=False))
        or len(knowledge.announced(name)) != len(knowledge.announced(name, floors=False))
    }
    return await _certain(failure, problem, catalogue, offer, lambda name: name not in open_names)


async def _certain(
    failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer, is_closed: Callable[[str], bool]
) -> ResolutionFailure | None:
    conflict = await find_conflict(failure, problem, catalogue, offer, seconds=_SECONDS)
    if conflict is None or conflict.is_bounded or not all(map(is_closed, conflict.names)):
        return None
    return refusal(conflict, problem, catalogue, offer)
