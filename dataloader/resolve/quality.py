"""No step back by a series where a step by a release elsewhere does.

A solver decides one package after the other, and is content with an old series of the last where a newer one would
have asked no more than an earlier release of the first. So an answer that holds a requested project a series back is
asked for once more with that project in its newest series, and the one that holds fewer back is taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from dataloader.base.errors import ResolutionFailure
from dataloader.resolve.channels.rattler import Unsolvable
from dataloader.resolve.outcome import much_older
from dataloader.resolve.words.projects import PYPI_BUILD_NUMBER
from dataloader.resolve.words.records import match_spec

if TYPE_CHECKING:
    from dataloader.resolve.model import Requirement
    from dataloader.resolve.offered.offer import Catalogue

T = TypeVar("T")


async def least_behind(
    answer: T,
    behind: Callable[[T], Mapping[str, int]],
    rank: Callable[[T], int],
    attempt: Callable[[Sequence[str]], Awaitable[T]],
) -> T:
    """Return the answer that holds the fewest projects a series back, and of as many the fewest releases.

    Args:
        answer: What was found; it stays where none is better.
        behind: The projects that an answer holds a series back, each with the releases that are newer.
        rank: What an answer has to do without: it is not made worse.
        attempt: Solves again with these projects in their newest series.
    """

    def lag(found: T) -> tuple[int, int]:
        return len(behind(found)), sum(behind(found).values())

    best, names = answer, tuple(behind(answer))
    for held in dict.fromkeys((names, *((name,) for name in names))) if names else ():
        try:
            found = await attempt(held)
        except (Unsolvable, ResolutionFailure):
            continue
        if rank(found) <= rank(best) and lag(found) < lag(best):
            best = found
    return best


def newest_series(catalogue: Catalogue, requirements: Iterable[Requirement], names: Sequence[str]) -> Iterator[str]:
    """Yield limits that hold projects in the series of the newest release that is asked for."""
    knowledge = catalogue.knowledge
    assert knowledge is not None
    for requirement in requirements:
        newest = knowledge.newest(requirement.name, requirement.specifier) if requirement.name in names else None
        if newest is None:
            continue
        near = (wheel for wheel in knowledge.usable(requirement.name) if not much_older(wheel.version, newest.version))
        space = catalogue.space(requirement.name)
        spec = space.spec_of(frozenset(wheel.text for wheel in near) & space.admitted(""))
        if spec is not None:  # a wheel stays a wheel
            yield match_spec(catalogue.identity(requirement.name), version=spec, build_number=f">={PYPI_BUILD_NUMBER}")
