"""The rungs of a problem (``StackNeeds.ladder``): what is done without where that can be, such as CPU builds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dataloader.resolve.answer import Answer
from dataloader.resolve.channels.rattler import Unsolvable

if TYPE_CHECKING:
    import rattler

    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.offer import Catalogue, Offer


class Query(NamedTuple):
    """What is put to the solver, whatever the rung."""

    offer: Offer
    specs: list[str]
    limits: list[str]
    """What binds only what is brought in."""
    preferred: list[rattler.RepoDataRecord]


class Ladder:
    """Puts queries to the solver, rung by rung."""

    def __init__(self, problem: Problem, catalogue: Catalogue) -> None:
        self._problem, self._catalogue, self._rungs = problem, catalogue, problem.needs.ladder

    async def climb(self, query: Query, foreseen: int | None = None) -> Answer:
        """Solve on the rung that is foreseen, else on the first that has a solution.

        Where the last has none, no other is tried.

        Raises:
            Unsolvable: no rung has a solution.
        """
        last = len(self._rungs) - 1
        weakest: Answer | None = None
        for rung in dict.fromkeys((0 if foreseen is None else foreseen, 0, last, *range(last))):
            try:
                answer = await self._on(rung, query)
            except Unsolvable:
                if rung == last:
                    raise
                continue
            if rung != last or last <= 1 or rung == foreseen:
                return answer
            weakest = answer
        assert weakest is not None
        return weakest

    async def above(self, rung: int, query: Query) -> Answer | None:
        """Return an answer on a better rung, if there is one.

        Where the first rungs have none, most answers are only there to be read: those are looked for on the rung of
        the answer before, and the better ones tried once nothing is left to be read. That is one solve a round for
        one a rung: of a project with 348 conda packages and 68 wheels, half of the time.
        """
        for better in range(rung):
            try:
                return await self._on(better, query)
            except Unsolvable:
                continue
        return None

    async def _on(self, rung: int, query: Query) -> Answer:
        forbidden = [self._catalogue.bound(bound) for bound in self._rungs[rung]]
        records = await self._catalogue.channels.solve(
            query.specs,
            query.offer.records,
            constraints=[*query.limits, *forbidden],
            preferred=query.preferred,
            strategy=self._problem.strategy,
            exclude_newer=self._problem.exclude_newer,
        )
        return Answer(records=tuple(records), offer=query.offer, rung=rung)
