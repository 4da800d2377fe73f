"""The lazy rounds of one step: solve, read the METADATA of what was chosen, solve again, until all of it is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import rattler

from dataloader.base.errors import IndexUnavailable, ResolutionFailure
from dataloader.base.names import pypi_names
from dataloader.base.reporter import Reporter
from dataloader.compat.model import AXIS, Bound
from dataloader.resolve.answer import Answer
from dataloader.resolve.channels.rattler import Unsolvable
from dataloader.resolve.ladder import Ladder, Query
from dataloader.resolve.model import Problem, Requirement
from dataloader.resolve.offered.identities import CONDA_ONLY
from dataloader.resolve.offered.knowledge import MAX_AHEAD, Knowledge
from dataloader.resolve.offered.offer import Catalogue, Offer
from dataloader.resolve.offered.reader import Index
from dataloader.resolve.offered.root import Root
from dataloader.resolve.quality import least_behind, newest_series
from dataloader.resolve.stability import held_back, holding, least_change, newly_asked
from dataloader.resolve.tries import AnswerTries, Bounds
from dataloader.resolve.unsaid import brought
from dataloader.resolve.words.projects import Wheel

MAX_ROUNDS = 500
"""A solve that has not settled by then never will; each round reads at least one METADATA."""

PRESUMING = 2
"""Times that candidates of a project are refuted, 21 of them by then, before those unread are taken to be alike."""

LEAST_ROUNDS = 8
"""Rounds that a search for a better answer has besides as many as the answer took."""

PythonSource: TypeAlias = Literal["conda", "host"]


class Rounds:
    """One problem while it is solved: what is asked, what is offered, and how far it has come."""

    def __init__(
        self,
        problem: Problem,
        index: Index | None,
        catalogue: Catalogue,
        source: PythonSource,
        reporter: Reporter,
        unsaid: frozenset[str],
    ) -> None:
        """``unsaid``: bare names that are taken as not said, for something else brings them in."""
        self._problem, self._catalogue, self._reporter = problem, catalogue, reporter
        self.unsaid = unsaid
        self._root = Root(problem, catalogue)
        self._ladder = Ladder(problem, catalogue)
        self._root.dropped = unsaid
        self._answer: Answer | None = None
        self._python_source = source
        self._index = index
        self._refuted: Counter[str] = Counter()
        self._rounds = 0
        self._most_rounds: int | None = None
        """After how many rounds a search that is not needed is given up."""
        self._conda_names: frozenset[str] = frozenset()
        self._base: list[rattler.RepoDataRecord] = []
        self._base_offer, self._base_rung = Offer(), 0
        self._foreseen: int | None = None
        """The rung of the answer before, on which the next is looked for first."""
        self._mixing = False
        self._failure: Unsolvable | None = None
        """How the last step failed: it admitted the most, so what contradicts there does so everywhere."""
        self._offered = Offer()
        self._trying = ""
        self._holding = Bounds()
        """What this solve is bound by, besides."""

    def _watched(self, asked: frozenset[str]) -> set[str]:
        """Return what rules bound that a wheel of ``asked`` may trigger."""
        rules = (r for r in self._problem.rules if r.when is not None and r.when.package in asked)
        return {bound.package for rule in rules for bound in rule.then}

    def _ask(self, requirement: Requirement) -> None:
        knowledge = self._catalogue.knowledge
        assert knowledge is not None
        pins = (clause for clause in requirement.specifier.split(",") if clause.startswith("=="))
        knowledge.pinned[requirement.name] |= {pin.lstrip("=").strip() for pin in pins}
        if not requirement.marker:
            knowledge.required[requirement.name] |= {requirement.specifier}
        if not requirement.constraint:
            knowledge.ask(requirement.name, requirement.specifier, requirement.extras)

    def _ask_bound(self, bound: Bound) -> None:
        if bound.world != "conda" and not bound.package.startswith((AXIS, CONDA_ONLY)) and bound.package != "python":
            assert self._catalogue.knowledge is not None
            self._catalogue.knowledge.ask(bound.package, bound.specifier)

    def _behind(self, answer: Answer) -> list[str]:
        return answer.far_behind(self._problem, self._catalogue.knowledge)

    def _served_by_conda(self) -> set[str]:
        """Return the projects that the conda part contains, less those that were asked of PyPI by name."""
        insisted = {r.name for r in self._problem.requirements if r.only_pypi}
        served = {(pypi_names(name) or (name,))[0] for name in self._conda_names}
        return served - insisted

    async def _least_change(self, solve: Callable[[], Awaitable[Answer]]) -> Answer:
        """Solve so that as much as can be stays as an older lock has it."""

        async def attempt(holding: Bounds) -> Answer:
            self._holding = holding
            try:
                return await solve()
            finally:
                self._holding = Bounds()

        held = held_back(self._problem)
        asked = newly_asked(self._problem, held) if held else ()
        return await least_change(held, AnswerTries(self._problem, self._catalogue, asked, self._base, attempt))

    async def _least_behind(self, answer: Answer) -> Answer:
        """Return an answer that holds fewer requested projects a series back, where there is one.

        A search that takes more rounds than the answer took is given up. What an older lock holds decides by itself.
        """
        if self._problem.preferred or self._catalogue.knowledge is None:
            return answer
        rounds = self._rounds + LEAST_ROUNDS

        def behind(found: Answer) -> dict[str, int]:
            idle = brought(self._root.bare(), found, self._catalogue)
            return {name: self._newer_than(found, name) for name in self._behind(found) if name not in idle}

        async def attempt(names: Sequence[str]) -> Answer:
            pins = list(newest_series(self._catalogue, self._problem.requirements, names))
            self._holding, self._most_rounds = Bounds(pins=pins), self._rounds + rounds
            try:
                return await self._settled()
            finally:
                self._holding, self._most_rounds = Bounds(), None

        return await least_behind(answer, behind, lambda found: found.rung, attempt)

    def _newer_than(self, answer: Answer, name: str) -> int:
        """Return how many releases of a project are newer than the one that was chosen."""
        knowledge = self._catalogue.knowledge
        assert knowledge is not None
        chosen = next(wheel.version for wheel in answer.wheels() if wheel.file.name == name)
        return len({wheel.text for wheel in knowledge.usable(name) if wheel.version > chosen})

    async def _rounds_until_known(self) -> Answer:
        """Return the answer once all of it is known.

        What was presumed has no say in a refusal, and keeps nothing that was asked for far behind.
        """
        knowledge = self._catalogue.knowledge
        may_presume, before, early = True, list[Answer](), list[Answer]()
        for _ in range(MAX_ROUNDS):
            if self._most_rounds is not None and self._rounds >= self._most_rounds:
                break
            self._rounds += 1
            if knowledge is not None:
                await self._grow(knowledge)
            try:
                answer = await self._solve()
            except Unsolvable:
                if early:
                    return early[0]
                if knowledge is None or not knowledge.learned.presuming:
                    raise
                knowledge.learned.presuming.clear()
                may_presume = False
                continue
            self._reporter.debug(f"round {self._rounds}: {len(answer.records)} packages")
            if knowledge is None:
                return answer
            if knowledge.unread():
                continue
            unknown, is_known = await self._read_of(answer, knowledge)
            # On a rung that was climbed to, those above were tried already.
            if is_known and 0 < answer.rung == self._foreseen:
                answer = await self._ladder.above(answer.rung, self._query(answer.offer)) or answer
                unknown, is_known = await self._read_of(answer, knowledge)
            self._foreseen = answer.rung
            is_best = is_known and not self._closes_early(answer, early, knowledge)
            if is_best and not await self._looks_again(answer, before, knowledge):
                return answer
            if may_presume:
                refuted = {w.file.name for w in unknown if self._refuted[w.file.name] > PRESUMING}
                knowledge.learned.presuming |= refuted
        raise ResolutionFailure(
            f"no solution was found in {MAX_ROUNDS} rounds",
            code="too-many-rounds",
            suggestions=("pin a package or two to narrow the search",),
        )

    async def _read_of(self, answer: Answer, knowledge: Knowledge) -> tuple[list[Wheel], bool]:
        """Read what is not known of an answer; return its unread wheels, and whether nothing was missing."""
        unknown = [w for w in answer.wheels() if knowledge.learned.of(w) is None]
        chosen = list(knowledge.further.due(answer.announced()))
        required = list(self._catalogue.unread(answer.rules()))
        for bound in required:
            self._ask_bound(bound)
        if chosen:
            self._reporter.debug(f"pages to read: {', '.join(f'{project} of {url}' for project, url in chosen)}")
            await knowledge.open(chosen)
        elif not (unknown or required):
            return [], True
        self._reporter.debug(f"METADATA to read: {', '.join(w.file.filename for w in unknown)}")
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            self._trying = f", now trying {unknown[0].file.name} {unknown[0].text}{more}"
        await knowledge.learn([ahead for wheel in unknown for ahead in self._with_next(knowledge, wheel)])
        return unknown, False

    def _closes_early(self, answer: Answer, before: list[Answer], knowledge: Knowledge) -> bool:
        """Offer no pre-releases of projects of which the answer needs none; say whether there are such."""
        needless = answer.needless_early(self._root.specs(owned=answer.offer.records), knowledge)
        if needless:
            before.append(answer)
            knowledge.early.closed |= needless
        return bool(needless)

    async def _looks_again(self, answer: Answer, before: list[Answer], knowledge: Knowledge) -> bool:
        """Read some of what is presumed where an answer is far behind; say whether it may come to a better one.

        First a few releases of each project that is presumed alike, from all of its history. Where that brought what
        was asked for further, then the releases about the one that was chosen.
        """
        presumed = sorted(knowledge.learned.presuming)
        behind = self._behind(answer)
        if not presumed or len(before) > 1 or not (behind if not before else behind < self._behind(before[0])):
            return False
        chosen = {wheel.file.name: wheel for wheel in answer.wheels()} if before else {}
        wheels = [wheel for name in presumed for wheel in knowledge.samples(name, chosen.get(name))]
        before.append(answer)
        await knowledge.learn(wheels)
        return bool(wheels)

    def _silent(self) -> Mapping[str, IndexUnavailable]:
        """Return the hosts of further indexes that did not answer, and why."""
        knowledge = self._catalogue.knowledge
        return knowledge.further.silent if knowledge is not None else {}

    async def _host_that_might_help(self) -> str | None:
        """Return a silent index that is part of a solution, were what it announces at hand; None: there is none."""
        knowledge = self._catalogue.knowledge
        assert knowledge is not None
        offered, knowledge.further.as_if_heard = self._offered, True
        knowledge.forget_versions()
        try:
            answer = await self._rounds_until_known()
        except Unsolvable:
            return None
        finally:
            knowledge.further.as_if_heard = False
            knowledge.forget_versions()
            self._offered = offered
        hosts = [urlsplit(build.index).netloc for build in answer.announced()]
        return next((host for host in hosts if host in self._silent()), None)

    async def _settled(self) -> Answer:
        return await self._without_bare_names(await self._rounds_until_known())

    async def _without_bare_names(self, answer: Answer) -> Answer:
        """Return the answer to what is left when bare names that something else brings in are not said.

        They say nothing that the solution does not hold, so they must not change it.
        """
        catalogue = self._catalogue
        unsaid = brought(self._root.bare(), answer, catalogue)
        other = answer
        while unsaid:
            self._root.dropped = self.unsaid | unsaid
            try:
                other = await self._rounds_until_known()
            finally:
                self._root.dropped = self.unsaid
            held = {record.name.normalized for record in other.records}
            missing = {name for name in unsaid if catalogue.identity(name) not in held}
            if not missing:
                return other
            unsaid -= missing
        return answer

    async def _grow(self, knowledge: Knowledge) -> None:
        """Read what is asked for, with what stands for it."""
        while True:
            await knowledge.grow()
            before = knowledge.asked()
            served = self._problem.frameworks & self._served_by_conda()
            await self._catalogue.prepare(before | served | self._watched(before))
            for project, others in self._problem.needs.stand_ins.items():
                if project in before:
                    knowledge.share(project, others)
            if knowledge.asked() == before:
                return

    def _with_next(self, knowledge: Knowledge, wheel: Wheel) -> list[Wheel]:
        """Return the chosen wheel and the next few: each time a project is refuted, four times as many."""
        name = wheel.file.name
        count = min(4 ** self._refuted[name] - 1, MAX_AHEAD)
        self._refuted[name] += 1
        return [wheel, *knowledge.next_candidates(name, wheel, count)]

    async def _solve(self) -> Answer:
        catalogue, knowledge = self._catalogue, self._catalogue.knowledge
        wheels_of: Iterable[str] = knowledge.projects if knowledge is not None else ()
        self._offered = offer = catalogue.offer(wheels_of, self._from_conda())
        return await self._ladder.climb(self._query(offer), None if knowledge is None else self._foreseen)

    def _query(self, offer: Offer) -> Query:
        specs, limits = self._root.specs(owned=offer.records), self._root.constraints()
        return Query(offer, specs, [*limits, *self._held()], self._preferences(offer))

    def _held(self) -> list[str]:
        return [*holding(self._problem, self._catalogue, self._holding.held), *self._holding.pins]

    def _from_conda(self) -> frozenset[str]:
        """Return the projects whose channel records stand beside their wheels in this step."""
        knowledge = self._catalogue.knowledge
        if knowledge is None:
            return frozenset()
        return frozenset(p for p in knowledge.asked() if self._mixing or not knowledge.usable(p)) | frozenset(
            p for p in knowledge.asked() if self._catalogue.identity(p) in self._conda_names
        )

    def _preferences(self, offer: Offer) -> list[rattler.RepoDataRecord]:
        """Return what is kept where possible: the conda part, the older lock's wheels, the Python at hand."""
        kept: list[rattler.RepoDataRecord] = []
        if self._base or self._problem.preferred:
            ours = {r.url: r for records in offer.records.values() for r in records}
            kept += [ours.get(record.url, record) for record in self._base]
            for url, wheel in offer.wheels.items():
                favoured = self._holding.favour and self._problem.preferred.get(wheel.file.name)
                if favoured == wheel.file.filename:
                    kept.append(ours[url])
        if self._catalogue.hosts:
            first = self._catalogue.hosts[0]
            kept += [r for r in offer.records["python"] if str(r.version) == first]
        return kept
