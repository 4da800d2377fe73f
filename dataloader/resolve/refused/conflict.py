"""Why there is no solution: the smallest set of requirements, dependencies and rules that contradict each other.

Found by deletion: each that stays is needed, and together they leave nothing to choose. Where that takes too long, at
least the requirements are told without which the rest can be met, or those that are left when the time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING

import rattler
from packaging.specifiers import SpecifierSet

from dataloader.base.names import some
from dataloader.base.values import dataclass
from dataloader.compat.axes import said_of
from dataloader.resolve.channels.rattler import Unsolvable
from dataloader.resolve.offered.root import Root, RootSpec
from dataloader.resolve.refused.likewise import Likewise, likewise, newest_build_of_each, too_late
from dataloader.resolve.refused.nogoods import ABSENT, GaveUp, Nogood, Refuter, smallest
from dataloader.resolve.refused.universe import ByRule, Needs, OwnSpec, Universe, in_order
from dataloader.resolve.words.records import parse_dependency

if TYPE_CHECKING:
    from dataloader.resolve.model import Problem
    from dataloader.resolve.offered.offer import Catalogue, Offer
    from dataloader.resolve.words.projects import Project

SECONDS = 5.0
"""How long a proof is looked for, and again how long it is made smaller."""
_SHOWN = 4
"""Lines for one dependency."""
_ON_A_SCREEN = 16
"""Lines for all dependencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A conflict in words."""

    lines: tuple[str, ...]
    rules: frozenset[str]
    """Ids of the rules that take part."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Of those that say of each version something else: what they say of a version that takes part."""
    names: frozenset[str]
    """The packages that take part, as the solver calls them."""
    is_bounded: bool = False
    """A bound on what need not be there takes part, of a package's own."""


async def find_conflict(
    failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer, *, seconds: float = SECONDS
) -> Conflict | None:
    """Say what contradicts in a question that has no solution; ``None`` where the time is over before that is known."""
    universe = Universe(failure.question, catalogue.channels, _rule_of(catalogue, offer))
    root = Root(problem, catalogue)
    asked = {root_spec.spec: root_spec for root_spec in (*root.asked(owned=failure.question.owned), *root.limits())}
    words = _Words(universe, catalogue, offer, asked)
    until = time.monotonic() + seconds
    try:
        facts = await Refuter(universe.size, universe.facts, until=until).refute(await universe.root())
    except GaveUp:
        facts = None
    if facts is None:
        return None
    core = await smallest(facts, universe.size, _taken_away, until=time.monotonic() + seconds)
    return words.of(core)


async def needed_requirements(failure: Unsolvable, problem: Problem, catalogue: Catalogue, offer: Offer) -> Conflict:
    """Say at least which requirements cannot be met together."""
    root = Root(problem, catalogue)
    asked = {root_spec.spec: root_spec for root_spec in (*root.asked(owned=failure.question.owned), *root.limits())}
    universe = Universe(failure.question, catalogue.channels, _rule_of(catalogue, offer))
    return _Words(universe, catalogue, offer, asked).of_requirements(await _needed(failure, problem, catalogue))


def _taken_away(cause: Hashable) -> tuple[int, str]:
    """Order causes by what is tried to do without first: what nobody asked for in so many words."""
    rank = 0 if isinstance(cause, ByRule) else 2 if isinstance(cause, OwnSpec) else 1
    return (rank, repr(cause))


async def _needed(failure: Unsolvable, problem: Problem, catalogue: Catalogue) -> list[str]:
    """Return the specs of a question that are needed for the conflict, as far as time allows."""
    question = failure.question
    kept = list(question.specs)
    until = time.monotonic() + SECONDS
    for spec in question.specs:
        if time.monotonic() > until:
            break
        fewer = [other for other in kept if other != spec]
        try:
            await catalogue.channels.solve(
                fewer, question.owned, constraints=question.constraints, exclude_newer=problem.exclude_newer
            )
        except Unsolvable:
            kept = fewer
    return kept


def _rule_of(catalogue: Catalogue, offer: Offer) -> Callable[[str, str], str | None]:
    """Return what says of a record's spec which rule put it there."""
    texts: dict[str, dict[str, str]] = {}

    def rule_of(url: str, text: str) -> str | None:
        if url not in offer.fired:
            return None
        if url not in texts:
            texts[url] = {spec: rule.id for rule in offer.fired[url] for spec in catalogue.specs_of(rule)}
            own = offer.conda[url].depends if url in offer.conda else ()
            texts[url] = {spec: rule for spec, rule in texts[url].items() if spec not in own}
        return texts[url].get(text)

    return rule_of


class _Words:
    """Says facts of a universe in the words of those who made them."""

    def __init__(self, universe: Universe, catalogue: Catalogue, offer: Offer, asked: dict[str, RootSpec]) -> None:
        self._universe, self._catalogue, self._offer, self._asked = universe, catalogue, offer, asked
        self._ruled_out: dict[str, int] = {}
        self._axes = {catalogue.identity(axis): axis for axis in catalogue.book.needs.axes}

    def of(self, core: Sequence[Nogood]) -> Conflict:
        """Say a whole conflict: what is asked for, what that needs, and what there is not."""
        by_cause: dict[Hashable, list[Nogood]] = {}
        self._ruled_out = _ruled_out(core)
        for fact in core:
            by_cause.setdefault(fact.cause, []).append(fact)
        asked = [cause for cause in by_cause if isinstance(cause, OwnSpec)]
        lines = [said for cause in self._told_once(asked) if (said := self._said(cause))]
        needs = [self._needs(cause, by_cause[cause]) for cause in in_order(by_cause)]
        lines += _on_a_screen([line for said in needs for line in said])
        lines += self._missing(core)
        rules = {c.rule for c, facts in by_cause.items() if isinstance(c, ByRule) and not self._is_told(facts, core)}
        rules |= {self._asked[cause.text].rule for cause in asked if cause.text in self._asked}
        names = frozenset(name for fact in core for name in fact.terms)
        is_bounded = any(isinstance(cause, Needs) and cause.limit for cause in by_cause)
        return Conflict(
            lines=tuple(dict.fromkeys(lines)),
            rules=frozenset(rules),
            reasons={
                c.rule: why for c, facts in by_cause.items() if isinstance(c, ByRule) if (why := self._why(c, facts))
            },
            names=names,
            is_bounded=is_bounded,
        )

    def _why(self, cause: ByRule, facts: Sequence[Nogood]) -> str:
        """Return what a rule says of the first candidate that facts are about."""
        fired = (
            rule
            for fact in facts
            for name, values in fact.terms.items()
            if not values & ABSENT and name not in self._axes
            for record in self._universe.chosen(name, values)
            for rule in self._offer.fired.get(record.url, ())
        )
        return next((rule.why for rule in fired if rule.id == cause.rule), "")

    def _is_told(self, facts: Sequence[Nogood], core: Sequence[Nogood]) -> bool:
        """Say whether facts are only about builds that nobody looked up, of releases that the core tells of anyway."""
        told = {holder[:2] for fact in core if isinstance(fact.cause, Needs) for holder in self._holders([fact])}
        about = set(self._holders(facts))
        return bool(about) and all(is_announced and (name, release) in told for name, release, is_announced in about)

    def _holders(self, facts: Iterable[Nogood]) -> Iterator[tuple[str, str, bool]]:
        """Yield the packages that facts are about, their releases without a label, and whether each is unread."""
        for fact in facts:
            for name, values in fact.terms.items():
                if not values & ABSENT and name not in self._axes:
                    for record in self._universe.chosen(name, values):
                        release = str(record.version).partition("+")[0]
                        yield name, release, record.url in self._offer.announced

    def of_requirements(self, specs: Iterable[str]) -> Conflict:
        """Say which requirements cannot be met together, where that is all that is known."""
        causes = [OwnSpec(spec) for spec in specs]
        return Conflict(
            lines=tuple(said for cause in causes if (said := self._said(cause))),
            rules=frozenset(self._asked[cause.text].rule for cause in causes if cause.text in self._asked),
            names=frozenset(),
        )

    def _told_once(self, asked: Sequence[OwnSpec]) -> list[OwnSpec]:
        """Leave out that no wheel meets a conda spec where the spec itself takes part."""
        specs = {
            root_spec.conda
            for cause in asked
            if (root_spec := self._asked.get(cause.text)) and root_spec.conda and not root_spec.limit
        }
        return [
            c
            for c in asked
            if not ((root_spec := self._asked.get(c.text)) and root_spec.limit and root_spec.conda in specs)
        ]

    def _said(self, cause: OwnSpec) -> str:
        if cause.text in self._asked:
            return self._asked[cause.text].said
        axis = self._axes.get(cause.text.partition("[")[0])
        return (said_of(axis) if axis is not None else None) or cause.text

    def _needs(self, cause: Needs, facts: Sequence[Nogood]) -> list[str]:
        """Say what the candidates that these facts are about need of another package."""
        holders = 0
        for fact in facts:
            holders |= fact.terms.get(cause.package, 0)
        holders = holders & ~self._ruled_out.get(cause.package, 0) or holders
        said: dict[str, Likewise] = {}
        for record in self._universe.chosen(cause.package, holders):
            for text in self._texts(record, cause):
                likewise(said, str(record.version), text)
        name = self._name(cause.package) + (f"[{cause.extra}]" if cause.extra else "")
        found = [f"{name} {likewise}" for likewise in list(said.values())[:_SHOWN]]
        left = len(said) - _SHOWN
        return [*found, f"{name}: other versions likewise, in {left} more ways"] if left > 0 else found

    def _texts(self, record: rattler.RepoDataRecord, cause: Needs) -> list[str]:
        wheel, announced = self._offer.wheels.get(record.url), self._offer.announced.get(record.url)
        if announced is not None and cause.other == "python":
            return [f"has a wheel for Python {', '.join(announced.pythons)}"]
        if wheel is None:
            return [f"requires {text}" for text in self._of_record(record, cause)]
        if cause.other == "python":
            minors = sorted({v.rpartition(".")[0] for v in wheel.pythons}, key=lambda v: int(v.split(".")[1]))
            return [f"has a wheel for Python {', '.join(minors)}"]
        if cause.other.startswith("__"):
            return [f"needs {_in_words(text)}" for text in self._of_record(record, cause)]
        knowledge = self._catalogue.knowledge
        metadata = knowledge.learned.presumed(wheel) if knowledge else None
        found = []
        for text in metadata.requires_dist if metadata else ():
            dependency = parse_dependency(text)
            if dependency and self._catalogue.identity(dependency.name) == cause.other:
                extras = f"[{','.join(dependency.extras)}]" if dependency.extras else ""
                marker = f" ; {dependency.marker}" if "python" in dependency.marker else ""
                found.append(f"requires {dependency.name}{extras}{dependency.specifier}{marker}")
        return found

    def _of_record(self, record: rattler.RepoDataRecord, cause: Needs) -> list[str]:
        texts = record.constrains if cause.limit else record.depends
        if cause.extra:
            texts = list(record.extra_depends.get(cause.extra, ()))
        return [text for text in texts if cause.other in (text, text.partition("[")[0].split(" ")[0])]

    def _missing(self, core: Sequence[Nogood]) -> list[str]:
        """Say of what is required and nothing meets what there is instead."""
        found, said = [], set[str]()
        for fact in core:
            wanted = _wanted(fact)
            if wanted is None or wanted in said or wanted in self._axes or not fact.terms.get(wanted, 0) & 1:
                continue  # what an axis lacks, the rule says
            candidates = self._universe.candidates(wanted)
            if fact.terms[wanted] != (2 << len(candidates)) - 1:
                continue
            shown = (record for record in candidates if record.url not in self._offer.announced)
            versions = list(dict.fromkeys(str(record.version) for record in shown))
            if wanted.startswith("__"):
                name = _in_words(wanted)
                found.append(f"the target has {name} {some(versions)}" if versions else f"the target has no {name}")
                continue
            alike = [nogood for nogood in core if _wanted(nogood) == wanted]
            found.append(f"{self._name(wanted)}: {self._instead(wanted, fact, alike, versions)}")
            if late := self._universe.late(wanted):
                found.append(too_late(self._name(wanted), late, self._universe.cutoff))
            said.add(wanted)
        return found

    def _instead(self, wanted: str, fact: Nogood, alike: Sequence[Nogood], versions: Sequence[str]) -> str:
        """Say what there is of a package of which nothing meets a fact; not all that an index has was a candidate.

        ``alike`` are all facts that want the package.
        """
        knowledge = self._catalogue.knowledge
        named = [p for n, p in knowledge.projects.items() if self._catalogue.identity(n) == wanted] if knowledge else []
        project = named[0] if named else None
        if (builds := self._builds(wanted, alike)) is not None:
            return builds
        if project is not None and (ruled_out := self._ruled_out_by_stack(project, fact)):
            return ruled_out
        unusable = self._admitted(project, fact) if project is not None else []
        if project is not None and unusable:
            source_only = set(unusable) <= project.sdist_only
            what = "only a source archive" if source_only else "no wheel for this Python and this machine"
            return f"of {some(unusable)} there is {what}"
        others = {w.text: w.version for w in project.wheels} if project is not None else {}
        newest = [*versions, *(text for text in sorted(others, key=others.__getitem__, reverse=True))]
        found = list(dict.fromkeys(newest))
        none = "no version of it is old enough" if self._has_late(wanted, project) else "no channel and no index has it"
        return f"the versions there are: {some(found)}" if found else none

    def _has_late(self, wanted: str, project: Project | None) -> bool:
        return bool(self._universe.late(wanted) or (project is not None and project.late))

    def _admitted(self, project: Project, fact: Nogood) -> list[str]:
        """Return the versions without a usable wheel that would meet what a fact wants of their project."""
        sets = self._wanted_sets(project, fact)
        return [v for v in project.unusable if any(specifiers.contains(v, prereleases=True) for specifiers in sets)]

    def _ruled_out_by_stack(self, project: Project, fact: Nogood) -> str:
        """Say of the versions that would do which options or machines exclude them, and why."""
        sets = self._wanted_sets(project, fact)
        texts = [
            w.text
            for w in project.wheels
            if any(specifiers.contains(w.version, prereleases=True) for specifiers in sets)
        ]
        ruled_out = self._catalogue.ruled_out
        excluded = [text for text in dict.fromkeys(texts) if ruled_out.is_out(project.name, text)]
        more = f" (and of {len(excluded) - 1} more likewise)" if len(excluded) > 1 else ""
        return f"{ruled_out.why(project.name, excluded[0])}{more}" if excluded else ""

    def _builds(self, wanted: str, facts: Sequence[Nogood]) -> str | None:
        """Say which builds channels have of what conda packages need in one build; None: no build was needed."""
        needs = [(fact, fact.cause) for fact in facts if isinstance(fact.cause, Needs)]
        texts = [
            text.split()
            for fact, cause in needs
            for record in self._universe.chosen(cause.package, fact.terms.get(cause.package, 0))
            for text in self._of_record(record, cause)
        ]
        if not texts or len(needs) < len(facts) or any(len(parts) < 3 for parts in texts):
            return None
        versions = [rattler.VersionSpec(text) for text in dict.fromkeys(parts[1] for parts in texts)]
        records = [r for r in self._universe.candidates(wanted) if r.url not in self._offer.wheels]
        records = [r for r in records if r.url not in self._offer.announced]
        fitting = [r for r in records if any(version.matches(r.version) for version in versions)]
        there = some(newest_build_of_each(fitting or records))
        return f"the builds that channels have{'' if fitting else ' (of other versions)'}: {there or 'none'}"

    def _wanted_sets(self, project: Project, fact: Nogood) -> list[SpecifierSet]:
        """Return what a fact wants of a project."""
        wanted: set[str] = set()
        cause = fact.cause
        if isinstance(cause, OwnSpec) and cause.text in self._asked:
            said = self._asked[cause.text].specifier
            wanted = {said} if said is not None else set()
        if isinstance(cause, Needs):
            knowledge = self._catalogue.knowledge
            for record in self._universe.chosen(cause.package, fact.terms.get(cause.package, 0)):
                wheel = self._offer.wheels.get(record.url)
                metadata = knowledge.learned.presumed(wheel) if wheel is not None and knowledge is not None else None
                read = [parse_dependency(text) for text in (metadata.requires_dist if metadata else ())]
                wanted |= {
                    dependency.specifier
                    for dependency in read
                    if dependency is not None and dependency.name == project.name
                }
        return [SpecifierSet(text) for text in wanted]

    def _name(self, identity: str) -> str:
        return identity.removeprefix("pypi.")


def _in_words(virtual: str) -> str:
    """Return what a virtual package stands for: ``__osx >=11.0`` is of macOS."""
    return virtual.lstrip("_").replace("osx", "macOS")


def _on_a_screen(lines: Sequence[str]) -> Iterator[str]:
    """Yield the first lines, which say how the conflict begins, and the last, which say where it ends."""
    left = len(lines) - _ON_A_SCREEN
    if left <= 1:
        yield from lines
        return
    yield from lines[: _ON_A_SCREEN // 2]
    yield f"{left} more needs, one of another, lead to:"
    yield from lines[-(_ON_A_SCREEN // 2) :]


def _ruled_out(core: Iterable[Nogood]) -> dict[str, int]:
    """Return the candidates that are out by a fact of their package alone: nothing else needs to be said of them."""
    found: dict[str, int] = {}
    for fact in core:
        if len(fact.terms) == 1:
            ((name, values),) = fact.terms.items()
            found[name] = found.get(name, 0) | values
    return found


def _wanted(fact: Nogood) -> str | None:
    """Return the package that a fact is about: the one it wants or limits."""
    if isinstance(fact.cause, Needs):
        return fact.cause.other
    return list(fact.terms)[-1]
