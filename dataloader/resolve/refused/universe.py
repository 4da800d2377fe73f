"""What the solver was asked, as nogoods: read package by package, only as far as a contradiction needs it.

Matching is rattler's own, so that what is refuted here is what the solver refused.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import rattler
from rattler.exceptions import InvalidMatchSpecError

from dataloader.resolve.channels.rattler import Channels, Question
from dataloader.resolve.refused.nogoods import ABSENT, Nogood


@dataclass(frozen=True, slots=True, order=True)
class OwnSpec:
    """One of the question's own specs."""

    text: str
    limit: bool = False
    """It only limits what something else brings in."""


@dataclass(frozen=True, slots=True, order=True)
class Needs:
    """What candidates of ``package`` say of ``other``."""

    package: str
    other: str
    extra: str = ""
    """``package`` needs it for this extra of its own."""
    limit: bool = False
    """It may be absent."""


@dataclass(frozen=True, slots=True, order=True)
class ByRule:
    """A rule that was written into records."""

    rule: str


Cause: TypeAlias = "OwnSpec | Needs | ByRule"


@dataclass(frozen=True, slots=True)
class _Wish:
    """A match spec: which values meet it, and when it counts."""

    name: str
    meets: int
    extras: tuple[str, ...]
    when: tuple[dict[str, int], ...]
    """Any of these; each is a set of terms that are met together."""


class Universe:
    """The candidates of a question, and what is known to be impossible among them."""

    def __init__(
        self,
        question: Question,
        channels: Channels,
        rule_of: Callable[[str, str], str | None],
    ) -> None:
        """``rule_of`` says of a record's URL and one of its specs which rule put it there, if one did."""
        self._question, self._channels, self._rule_of = question, channels, rule_of
        self._candidates: dict[str, tuple[rattler.RepoDataRecord, ...]] = {}
        self._late: dict[str, list[rattler.RepoDataRecord]] = {}
        self._wishes: dict[str, _Wish] = {}
        self._virtual = channels.virtual_records()

    def size(self, name: str) -> int:
        """Return how many candidates a package has."""
        return len(self._candidates[name])

    def chosen(self, name: str, values: int) -> list[rattler.RepoDataRecord]:
        """Return the candidates within a set of values, the preferred one first."""
        return [record for place, record in enumerate(self._candidates[name]) if values & (2 << place)]

    def candidates(self, name: str) -> Sequence[rattler.RepoDataRecord]:
        """Return all candidates of a package that was met, the preferred one first."""
        return self._candidates.get(name, ())

    @property
    def cutoff(self) -> str:
        """The date that what channels have is to be older than, as RFC 3339; empty: there is none."""
        cutoff = self._question.exclude_newer
        return cutoff.isoformat().replace("+00:00", "Z") if cutoff is not None else ""

    def late(self, name: str) -> list[str]:
        """Return the versions of a package that was met which channels have too late for the date, the newest first."""
        records = sorted(self._late.get(name, ()), key=_preference, reverse=True)
        return list(dict.fromkeys(str(record.version) for record in records))

    async def root(self) -> list[Nogood]:
        """Return what the question itself rules out."""
        found: list[Nogood] = []
        for text in self._question.specs:
            wish = await self._wish(text)
            found += self._unmet({}, wish, ABSENT, OwnSpec(text))
            found += [n for extra in wish.extras for n in await self._extra({}, wish, extra)]
        for text in self._question.constraints:
            found += self._unmet({}, await self._wish(text), 0, OwnSpec(text, limit=True))
        return found

    async def facts(self, name: str) -> list[Nogood]:
        """Return what the candidates of a package need and exclude."""
        depends: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        constrains: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        for place, record in enumerate(self._candidates[name]):
            for text in record.depends:
                depends[text, self._rule_of(record.url, text)] |= 2 << place
            for text in record.constrains:
                constrains[text, self._rule_of(record.url, text)] |= 2 << place
        found: list[Nogood] = []
        for (text, rule), holders in depends.items():
            if _unreadable(text):  # rattler takes no candidate that says such things
                found.append(Nogood({name: holders}, Needs(name, text)))
                continue
            wish = await self._wish(text)
            found += self._unmet({name: holders}, wish, ABSENT, ByRule(rule) if rule else Needs(name, wish.name))
            for extra in wish.extras:
                found += await self._extra({name: holders}, wish, extra)
        for (text, rule), holders in constrains.items():
            if _unreadable(text):
                found.append(Nogood({name: holders}, Needs(name, text, limit=True)))
                continue
            wish = await self._wish(text)
            cause = ByRule(rule) if rule else Needs(name, wish.name, limit=True)
            found += self._unmet({name: holders}, wish, 0, cause)
        return found

    # -- specs

    async def _wish(self, text: str) -> _Wish:
        if text not in self._wishes:
            spec = rattler.MatchSpec(text)
            name = str(spec.name.normalized)
            meets = await self._matching(spec)
            when = [await self._together(alternative) for alternative in alternatives(spec.condition or "")]
            self._wishes[text] = _Wish(name, meets, tuple(spec.extras or ()), tuple(when))
        return self._wishes[text]

    async def _matching(self, spec: rattler.MatchSpec) -> int:
        name = str(spec.name.normalized)
        if name not in self._candidates:
            self._candidates[name] = tuple(sorted(await self._read(name), key=_preference, reverse=True))
        place = spec.channel.base_url.rstrip("/") if spec.channel is not None else None
        values = 0
        for position, record in enumerate(self._candidates[name]):
            if spec.matches(record) and (place is None or str(record.channel).rstrip("/") == place):
                values |= 2 << position
        return values

    async def _together(self, texts: Sequence[str]) -> dict[str, int]:
        terms: dict[str, int] = {}
        for text in texts:
            spec = rattler.MatchSpec(text)
            name, values = str(spec.name.normalized), await self._matching(spec)
            terms[name] = terms.get(name, values) & values
        return terms

    async def _read(self, name: str) -> Iterable[rattler.RepoDataRecord]:
        if name in self._question.owned:
            return self._question.owned[name]
        if name.startswith("__"):
            return [record for record in self._virtual if record.name.normalized == name]
        records, cutoff = await self._channels.records(name), self._question.exclude_newer
        self._late[name] = [record for record in records if cutoff is not None and _later(record, cutoff)]
        return [record for record in records if cutoff is None or not _later(record, cutoff)]

    def _unmet(self, holders: Mapping[str, int], wish: _Wish, absent: int, cause: Cause) -> Iterator[Nogood]:
        """Yield what says that ``holders`` do not go with a wish unmet; ``absent`` says whether absence is (or 0)."""
        for when in wish.when:
            terms = dict(holders)
            everything = (2 << self.size(wish.name)) - 2
            for name, values in (*when.items(), (wish.name, everything & ~wish.meets | absent)):
                terms[name] = terms.get(name, values) & values
            if all(terms.values()):
                yield Nogood(terms, cause)

    async def _extra(self, holders: Mapping[str, int], wish: _Wish, extra: str) -> list[Nogood]:
        """Return what an extra of the wished package needs, for those of its candidates that have it."""
        by_text: defaultdict[str, int] = defaultdict(int)
        for place, record in enumerate(self._candidates[wish.name]):
            for text in record.extra_depends.get(extra, ()) if wish.meets & (2 << place) else ():
                by_text[text] |= 2 << place
        found: list[Nogood] = []
        for text, having in by_text.items():
            inner = await self._wish(text)
            for when in wish.when:
                terms = dict(holders)
                for name, values in (*when.items(), (wish.name, having)):
                    terms[name] = terms.get(name, values) & values
                if all(terms.values()):
                    found += self._unmet(terms, inner, ABSENT, Needs(wish.name, inner.name, extra))
        return found


def alternatives(condition: str) -> list[list[str]]:
    """Return the specs of a condition as alternatives of specs that hold together.

    >>> alternatives("(python<3.11|==3.13.1 or x>1) and z")
    [['python<3.11|==3.13.1', 'z'], ['x>1', 'z']]
    >>> alternatives("")
    [[]]
    """
    text = condition.strip()
    while text.startswith("(") and _closes(text) == len(text) - 1:
        text = text[1:-1].strip()
    if not text:
        return [[]]
    if len(parts := _split(text, "or")) > 1:
        return [alternative for part in parts for alternative in alternatives(part)]
    if len(parts := _split(text, "and")) > 1:
        found: list[list[str]] = [[]]
        for part in parts:
            found = [[*chosen, *more] for chosen in found for more in alternatives(part)]
        return found
    return [[text]]


def _split(text: str, word: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"[()]|\s{word}\s", text):
        depth += {"(": 1, ")": -1}.get(match.group(), 0)
        if not depth and match.group() not in "()":
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


def _closes(text: str) -> int:
    depth = 0
    for position, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if not depth:
            return position
    return -1


def _unreadable(text: str) -> bool:
    try:
        rattler.MatchSpec(text)
    except InvalidMatchSpecError:
        return True
    return False


def _preference(record: rattler.RepoDataRecord) -> tuple[rattler.Version, int]:
    return (record.version, record.build_number)


def _later(record: rattler.RepoDataRecord, cutoff: dt.datetime) -> bool:
    return record.timestamp is not None and record.timestamp > cutoff


def in_order(causes: Collection[Hashable]) -> list[Needs]:
    """Return dependencies from what is asked for downwards."""
    left = sorted(cause for cause in causes if isinstance(cause, Needs))
    needed = {cause.other for cause in left}
    reached = {cause.package for cause in left} - needed
    ordered: list[Needs] = []
    while left:
        now = [cause for cause in left if cause.package in reached] or left[:1]
        ordered += now
        reached |= {cause.other for cause in now} | {cause.package for cause in now}
        left = [cause for cause in left if cause not in now]
    return ordered
