"""What cannot be true together, and the proof that nothing can. Pure: no package, no solver, only sets of candidates.

A package is a variable; its values are its candidates and "absent". A nogood names, for some packages, a set of values
that are not all met at once: "A is 1.0 or 1.1, and B is absent or older than 2" is how a dependency reads. Two nogoods
resolve on a package to a third; a contradiction is the empty one, and the nogoods that it came from are its proof.

Sets of values are bits of an ``int``: bit 0 is "absent", the others are candidates, the most preferred one lowest.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

ABSENT = 1
"""The set that holds "absent" alone."""


class GaveUp(Exception):
    """The time allowed has passed."""


@dataclass(frozen=True, slots=True, eq=False)
class Nogood:
    """Sets of values that are not all met at once."""

    terms: Mapping[str, int]
    cause: Hashable
    """What it says this for: a requirement, a dependency, a rule. Nogoods of one cause stand and fall together."""
    parents: tuple[Nogood, ...] = ()
    """What it was resolved from; empty for a fact."""

    def facts(self) -> list[Nogood]:
        """Return the facts that it follows from, each once."""
        found: dict[int, Nogood] = {}
        todo, seen = [self], set[int]()
        while todo:
            nogood = todo.pop()
            if id(nogood) in seen:
                continue
            seen.add(id(nogood))
            if nogood.parents:
                todo += nogood.parents
            else:
                found[id(nogood)] = nogood
        return list(found.values())


@dataclass(slots=True)
class _Step:
    """One narrowing of a package's values."""

    name: str
    before: int
    after: int
    level: int
    reason: Nogood | None
    """``None``: it was guessed."""


class Refuter:
    """Looks for values that no nogood forbids; where there are none, says which facts forbid them."""

    def __init__(
        self,
        size: Callable[[str], int],
        facts: Callable[[str], Awaitable[Iterable[Nogood]]],
        *,
        until: float | None = None,
    ) -> None:
        """``size`` is how many candidates a package has, ``facts`` what holds once it is present."""
        self._size, self._facts, self._until = size, facts, until
        self._values: dict[str, int] = {}
        self._trail: list[_Step] = []
        self._history: defaultdict[str, list[int]] = defaultdict(list)
        self._by_name: defaultdict[str, list[Nogood]] = defaultdict(list)
        self._present: set[str] = set()
        self._level = 0
        self._queue: deque[Nogood] = deque()
        self._late: list[tuple[int, Nogood]] = []
        """Nogoods with the level at which they came in: what they said there has to be said again further up."""
        self._turns = 0

    async def refute(self, root: Iterable[Nogood]) -> list[Nogood] | None:
        """Return facts that contradict each other; ``None`` when everything can be met.

        Raises:
            GaveUp: the time allowed has passed.
        """
        for nogood in root:
            self._add(nogood)
        while True:
            conflict = await self._propagate()
            if conflict is not None:
                learned = self._learn(conflict)
                if not learned.terms:
                    return learned.facts()
                self._add(learned)
            elif not self._guess():
                return None

    def _full(self, name: str) -> int:
        return (2 << self._size(name)) - 1

    def _add(self, nogood: Nogood) -> None:
        for name in nogood.terms:
            self._by_name[name].append(nogood)
            self._values.setdefault(name, self._full(name))
        self._queue.append(nogood)
        if self._level:
            self._late.append((self._level, nogood))

    async def _propagate(self) -> Nogood | None:
        """Draw every conclusion; return a nogood that is met, if any."""
        while True:
            while self._queue:
                nogood = self._queue.popleft()
                if self._conclude(nogood):
                    self._queue.clear()
                    return nogood
            new = [n for n, values in self._values.items() if not values & ABSENT and n not in self._present]
            if not new:
                return None
            for name in sorted(new):
                self._present.add(name)
                for nogood in await self._facts(name):
                    self._add(nogood)

    def _conclude(self, nogood: Nogood) -> bool:
        """Narrow the one package whose term is open; say whether every term is met."""
        self._turns += 1
        if self._until is not None and not self._turns % 1024 and time.monotonic() > self._until:
            raise GaveUp
        left: str | None = None
        for name, values in nogood.terms.items():
            now = self._values[name]
            if now & ~values:
                if not now & values or left is not None:
                    return False
                left = name
        if left is None:
            return True
        self._narrow(left, self._values[left] & ~nogood.terms[left], nogood)
        return False

    def _narrow(self, name: str, values: int, reason: Nogood | None) -> None:
        self._history[name].append(len(self._trail))
        self._trail.append(_Step(name, self._values[name], values, self._level, reason))
        self._values[name] = values
        self._queue.extend(self._by_name[name])

    def _guess(self) -> bool:
        """Choose the preferred candidate of the present package that has the fewest; say whether anything was open."""
        found = [(v & ABSENT, v.bit_count(), name) for name, v in self._values.items() if v & (v - 1)]
        if not found:
            return False
        name = min(found)[2]  # what need not be there comes last, and "absent" is its lowest bit
        self._level += 1
        self._narrow(name, self._values[name] & -self._values[name], None)
        return True

    # -- learning

    def _met_at(self, name: str, values: int) -> int | None:
        """Return the position of the step since which a term is met; ``None``: it always was."""
        for position in self._history[name]:
            step = self._trail[position]
            if not step.before & ~values:
                return None
            if not step.after & ~values:
                return position
        return None

    def _learn(self, conflict: Nogood) -> Nogood:
        """Resolve a nogood that is met until one guess alone is to blame, and go back to before that guess."""
        while True:
            terms = {n: v for n, v in conflict.terms.items() if v != self._full(n)}
            met = sorted((p, n) for n, v in terms.items() if (p := self._met_at(n, v)) is not None)
            if not met:
                self._return_to(0)
                return Nogood({}, None, (conflict,))
            position, name = met[-1]
            step = self._trail[position]
            before = self._trail[met[-2][0]].level if len(met) > 1 else 0
            if step.reason is None or before < step.level:
                learned = Nogood(terms, None, (conflict,))
                self._return_to(before)
                return learned
            conflict = _resolve(conflict, terms, step.reason, name, self._full)

    def _return_to(self, level: int) -> None:
        while self._trail and self._trail[-1].level > level:
            step = self._trail.pop()
            self._history[step.name].pop()
            self._values[step.name] = step.before
        self._level = level
        late = self._late
        self._late = [(min(came, level), nogood) for came, nogood in late] if level else []
        self._queue.extend(nogood for came, nogood in late if came > level)


def _resolve(nogood: Nogood, terms: Mapping[str, int], other: Nogood, name: str, full: Callable[[str], int]) -> Nogood:
    merged = dict(terms)
    for term, values in other.terms.items():
        if term == name:
            merged[term] |= values
        elif values != full(term):
            merged[term] = merged.get(term, full(term)) & values
    return Nogood({n: v for n, v in merged.items() if v != full(n)}, None, (nogood, other))


async def contradiction(
    facts: Sequence[Nogood], size: Callable[[str], int], until: float | None = None
) -> list[Nogood] | None:
    """Return those of ``facts`` that contradict each other, ``None`` when all of them can be met."""

    async def nothing(_: str) -> tuple[Nogood, ...]:
        return ()

    return await Refuter(size, nothing, until=until).refute(facts)


async def smallest(
    facts: Sequence[Nogood],
    size: Callable[[str], int],
    order: Callable[[Hashable], object] = lambda _: 0,
    *,
    until: float | None = None,
) -> list[Nogood]:
    """Return contradictory facts of which no cause can be left out: each is taken away, and kept if that resolves it.

    ``order`` sorts causes by what is tried first. When the time is over, what is left so far is returned.
    """
    core = list(facts)
    kept: set[Hashable] = set()
    try:
        while True:
            causes = sorted({fact.cause for fact in core} - kept, key=order)  # type: ignore[arg-type]
            if not causes:
                return core
            without = await contradiction([f for f in core if f.cause != causes[0]], size, until)
            if without is None:
                kept.add(causes[0])
            else:
                core = without
    except GaveUp:
        return core
