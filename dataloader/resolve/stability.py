"""What an older lock holds stays wherever it still fits: the smallest change is the rule.

A solver that is told to prefer what is locked still moves it for a newer version of something else. So what is locked
is first held fast; where that has no solution it is let go, and of what then moves as much as can be is held again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from dataloader.resolve.projects import PYPI_BUILD_NUMBER
from dataloader.resolve.rattler import Unsolvable
from dataloader.resolve.records import match_spec

if TYPE_CHECKING:
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offer import Catalogue

T = TypeVar("T")

MOST_TRIES = 48
"""Solves in which what moved is held again; after that it may move, so that a change of everything stays quick."""

WHEEL = ".whl"


def locked_version(file_name: str) -> str:
    """Return the version in the name of a locked file; empty where there is none to be read.

    >>> locked_version("a_b-1.0+cu118-py3-none-any.whl"), locked_version("rich-13.7.0-pyhd8ed1ab_0.conda")
    ('1.0+cu118', '13.7.0')
    """
    if not file_name.endswith(WHEEL):
        parts = file_name.rsplit("-", 2)
        return parts[1] if len(parts) == 3 else ""  # name, version and build
    try:
        return str(parse_wheel_filename(file_name)[1])
    except InvalidWheelFilename:
        return ""


def held_back(problem: Problem) -> tuple[str, ...]:
    """Return the locked packages that nothing asked for directly excludes."""
    asked: dict[str, list[str]] = {}
    for requirement in problem.requirements:
        if not requirement.marker:
            asked.setdefault(requirement.name, []).append(requirement.specifier)
    return tuple(
        name
        for name, file in problem.preferred.items()
        if not file.endswith(WHEEL)
        or all(SpecifierSet(s).contains(locked_version(file), prereleases=True) for s in asked.get(name, ()))
    )


def holding(problem: Problem, catalogue: Catalogue, names: Sequence[str]) -> list[str]:
    """Return limits that hold locked packages at their versions, for those that can be had now."""
    found = []
    for name in names:
        file = problem.preferred[name]
        version = locked_version(file)
        if not file.endswith(WHEEL):
            found.append(match_spec(name, version=f"=={version}"))
            continue
        spec = catalogue.space(name).spec_of(frozenset({version}) & frozenset(catalogue.space(name).versions))
        if spec is not None:
            # A wheel stays a wheel.
            found.append(match_spec(catalogue.identity(name), version=spec, build_number=f">={PYPI_BUILD_NUMBER}"))
    return found


async def least_change(
    held: Sequence[str],
    attempt: Callable[[Sequence[str]], Awaitable[T]],
    moved: Callable[[T], set[str]],
    rank: Callable[[T], int],
) -> T:
    """Return the solution that moves the least of what is held: each package that moves cannot stay beside the rest.

    Args:
        held: Locked packages.
        attempt: Solves with some of them held fast.
        moved: Which of them a solution has in another version.
        rank: What a solution has to do without; 0 for nothing. It is not made worse so that something may stay.

    Raises:
        Unsolvable: there is no solution even where all may move.
    """
    strict: T | None = None
    if held:
        try:
            strict = await attempt(held)
        except Unsolvable:
            strict = None
        if strict is not None and not rank(strict):
            return strict
    free = await attempt(())
    if strict is not None and rank(strict) <= rank(free):
        return strict
    return await _held_again(held, free, attempt, moved, rank)


async def _held_again(
    held: Sequence[str],
    free: T,
    attempt: Callable[[Sequence[str]], Awaitable[T]],
    moved: Callable[[T], set[str]],
    rank: Callable[[T], int],
) -> T:
    best = free
    kept = [name for name in held if name not in moved(best)]
    groups = [[name for name in held if name in moved(best)]]
    tries = 0
    while groups and tries < MOST_TRIES:
        group = groups.pop()
        tries += 1
        try:
            answer = await attempt([*kept, *group])
        except Unsolvable:
            answer = None
        if answer is not None and rank(answer) <= rank(best):
            best, kept = answer, [*kept, *group]
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return best
