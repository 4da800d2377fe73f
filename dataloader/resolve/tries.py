"""Solves with some packages held and some pinned, for what moves the least of a lock (``stability``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dataloader.resolve.stability import held_wheel
from dataloader.resolve.words.records import match_spec

if TYPE_CHECKING:
    import rattler

    from dataloader.resolve.answer import Answer
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.offer import Catalogue


class Bounds(NamedTuple):
    """What one solve is bound by, besides the problem."""

    held: Sequence[str] = ()
    """Locked packages that stay at their versions."""
    pins: Sequence[str] = ()
    """Match specs that limit what is newly asked for."""
    favour: bool = True
    """Whether what is locked is taken first."""


class AnswerTries:
    """Tries of one step of the solver."""

    def __init__(
        self,
        problem: Problem,
        catalogue: Catalogue,
        asked: Sequence[str],
        base: Sequence[rattler.RepoDataRecord],
        solve: Callable[[Bounds], Awaitable[Answer]],
    ) -> None:
        """``asked`` is what is newly asked for, ``base`` what the conda part came to."""
        self._problem, self._catalogue, self._asked, self._solve = problem, catalogue, asked, solve
        self._base = {record.name.normalized: record for record in base}

    async def attempt(self, held: Sequence[str] = (), pins: Sequence[str] = (), *, favour: bool = True) -> Answer:
        """As ``stability.Tries`` has it, and the rest too."""
        return await self._solve(Bounds(held, pins, favour))

    def moved(self, answer: Answer) -> set[str]:
        return answer.moved(self._problem.preferred)

    def rank(self, answer: Answer) -> int:
        return answer.rung

    def newest(self) -> Sequence[str] | None:
        pins = []
        for name in self._asked:
            wheel = self._newest(name)
            if wheel is not None:
                pins.append(self._wheel(name, wheel.text))
            elif name in self._base:
                pins.append(_record(self._base[name]))
            else:
                return None
        return pins

    def pins_of(self, answer: Answer) -> Sequence[str]:
        wheels = {w.file.name: w.text for w in answer.wheels()}
        records = _records(answer)
        pins = [self._wheel(name, wheels[name]) for name in self._asked if name in wheels]
        return [*pins, *(_record(records[name]) for name in self._asked if name in records and name not in wheels)]

    def lags(self, answer: Answer, other: Answer | None) -> bool:
        here = _versions(answer)
        if other is not None:
            there = _versions(other)
            return any(_is_older(here[name], there.get(name)) for name in self._asked if name in here)
        for name in self._asked:
            newest = self._newest(name)
            known = newest.version if newest is not None else self._base[name].version if name in self._base else None
            if name in here and (type(known) is not type(here[name]) or _is_older(here[name], known)):
                return True
        return False

    def _newest(self, name: str) -> Any:
        knowledge = self._catalogue.knowledge
        if knowledge is None:
            return None
        specifiers = (r.specifier for r in self._problem.requirements if r.name == name and not r.marker)
        return knowledge.newest(name, ",".join(filter(None, specifiers)))

    def _wheel(self, name: str, version: str) -> str:
        limit = held_wheel(self._catalogue, name, version)
        assert limit is not None, f"{name} {version} is a wheel that is known"
        return limit


def _record(record: rattler.RepoDataRecord) -> str:
    return match_spec(record.name.normalized, version=f"=={record.version}")


def _records(answer: Answer) -> Mapping[str, rattler.RepoDataRecord]:
    return {r.name.normalized: r for r in answer.records if r.url not in answer.offer.wheels}


def _versions(answer: Answer) -> dict[str, Any]:
    """The version of each package: comparable with those of the same world."""
    records = {name: record.version for name, record in _records(answer).items()}
    return {**records, **{w.file.name: w.version for w in answer.wheels()}}


def _is_older(value: Any, other: Any) -> bool:
    return type(value) is type(other) and bool(value < other)
