"""What an older lock holds stays wherever it still fits: the smallest change is the rule.

A solver that is told to prefer what is locked still moves it for a newer version of something else. So what is locked
is first held fast; where that has no solution it is let go, and of what then moves as much as can be is held again.

What is asked for anew comes as new as it would without a lock: an age-old release of it that happens to go with what is
locked is not what somebody meant who typed its name.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidSdistFilename, InvalidWheelFilename, parse_sdist_filename, parse_wheel_filename

from dataloader.index.filenames import without_variant
from dataloader.resolve.channels.rattler import Unsolvable, parse_match_spec
from dataloader.resolve.words.projects import PYPI_BUILD_NUMBER
from dataloader.resolve.words.records import match_spec

if TYPE_CHECKING:
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.offer import Catalogue

T = TypeVar("T")

MOST_TRIES = 48
"""Solves in which what moved is held again; after that it may move, so that a change of everything stays quick."""

_OF_CONDA = (".conda", ".tar.bz2")


def is_of_pypi(file_name: str) -> bool:
    """Say whether a locked file is a wheel, or a source."""
    return not file_name.endswith(_OF_CONDA)


def locked_version(file_name: str) -> str:
    """Return the version in the name of a locked file; empty where there is none to be read.

    >>> locked_version("a_b-1.0+cu118-py3-none-any.whl"), locked_version("rich-13.7.0-pyhd8ed1ab_0.conda")
    ('1.0+cu118', '13.7.0')
    >>> locked_version("docopt-0.6.2.tar.gz"), locked_version("of-no.form")
    ('0.6.2', '')
    """
    if not is_of_pypi(file_name):
        parts = file_name.rsplit("-", 2)
        return parts[1] if len(parts) == 3 else ""  # name, version and build
    read = parse_wheel_filename if file_name.endswith(".whl") else parse_sdist_filename
    try:
        return str(read(without_variant(file_name) or file_name)[1])
    except (InvalidWheelFilename, InvalidSdistFilename):
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
        if not is_of_pypi(file)
        or all(SpecifierSet(s).contains(locked_version(file), prereleases=True) for s in asked.get(name, ()))
    )


def newly_asked(problem: Problem, held: Sequence[str]) -> tuple[str, ...]:
    """Return what is asked for directly, of either world, and not held at a version that fits."""
    named = [r.name for r in problem.requirements if not r.constraint]
    named += [b.package for b in problem.needs.requirements if ":" not in b.package]
    named += [str(parse_match_spec(spec).name.normalized) for spec in problem.conda_specs]
    return tuple(name for name in dict.fromkeys(named) if name not in held and name != "python")


def holding(problem: Problem, catalogue: Catalogue, names: Sequence[str]) -> list[str]:
    """Return limits that hold locked packages at their versions, for those that can be had now."""
    found = []
    for name in names:
        file = problem.preferred[name]
        version = locked_version(file)
        if not is_of_pypi(file):
            found.append(match_spec(name, version=f"=={version}"))
            continue
        if (limit := held_wheel(catalogue, name, version)) is not None:
            found.append(limit)
    return found


def held_wheel(catalogue: Catalogue, project: str, version: str) -> str | None:
    """Return the limit that holds a project at the wheel of a version; None where there is no such version."""
    space = catalogue.space(project)
    spec = space.spec_of(frozenset({version}) & space.admitted(""))
    if spec is None:
        return None
    # A wheel stays a wheel.
    return match_spec(catalogue.identity(project), version=spec, build_number=f">={PYPI_BUILD_NUMBER}")


class Tries(Protocol[T]):
    """How a solver is asked for what moves the least."""

    async def attempt(self, held: Sequence[str] = (), pins: Sequence[str] = (), *, favour: bool = True) -> T:
        """Solve with some locked packages held fast, and with more limits; ``favour`` what is locked where possible.

        Raises:
            Unsolvable: there is no solution so.
        """

    def moved(self, value: T) -> set[str]:
        """Return which locked packages a solution has in another version."""

    def rank(self, value: T) -> int:
        """Return what a solution has to do without; 0 for nothing. It is not made worse so that something may stay."""

    def newest(self) -> Sequence[str] | None:
        """Return limits that hold what is newly asked for at the newest version there is; None: that is not known."""

    def pins_of(self, value: T) -> Sequence[str]:
        """Return limits that hold what is newly asked for as a solution has it."""

    def lags(self, value: T, other: T | None) -> bool:
        """Say whether something newly asked for is older in one solution than in another; or, without another, may be
        older than the newest there is."""


async def least_change(held: Sequence[str], tries: Tries[T]) -> T:
    """Return the solution that moves the least of what is held: each package that moves cannot stay beside the rest.

    Args:
        held: Locked packages.
        tries: The solver.

    Raises:
        Unsolvable: there is no solution even where all may move.
    """
    if not held:
        return await tries.attempt()
    strict = await _or_none(tries.attempt(held))
    if strict is not None and not tries.rank(strict) and not tries.lags(strict, None):
        return strict
    pins, free = await _as_new_as_can_be(tries)
    if strict is not None and tries.rank(strict) <= tries.rank(free) and not tries.lags(strict, free):
        return strict
    return await _held_again(held, pins, free, tries)


async def _as_new_as_can_be(tries: Tries[T]) -> tuple[Sequence[str], T]:
    """Solve where everything may move: what is newly asked for comes as new as it can; return the limits for that."""
    newest = tries.newest()
    if newest is not None and not newest:
        return (), await tries.attempt()
    pins: Sequence[str] = newest or ()
    best = await _or_none(tries.attempt(pins=pins)) if pins else None
    if best is None or tries.rank(best):
        plain = await tries.attempt(favour=False)
        if best is None or tries.rank(plain) < tries.rank(best):
            pins = tries.pins_of(plain)
            best = await _or_none(tries.attempt(pins=pins)) or plain
    return pins, best


async def _or_none(work: Awaitable[T]) -> T | None:
    try:
        return await work
    except Unsolvable:
        return None


async def _held_again(held: Sequence[str], pins: Sequence[str], free: T, tries: Tries[T]) -> T:
    best = free
    kept = [name for name in held if name not in tries.moved(best)]
    groups = [[name for name in held if name in tries.moved(best)]]
    count = 0
    while groups and count < MOST_TRIES:
        group = groups.pop()
        count += 1
        answer = await _or_none(tries.attempt([*kept, *group], pins))
        if answer is not None and tries.rank(answer) <= tries.rank(best):
            best, kept = answer, [*kept, *group]
        elif len(group) > 1:
            middle = len(group) // 2
            groups += [group[middle:], group[:middle]]
    return best
