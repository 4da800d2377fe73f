"""The steps of a solve, each of which takes its rounds (``rounds.py``).

Which world a project comes from, in the order tried (docs/solving.md gives the reasons):

1. what a conda-only solution contains serves PyPI requirements too; everything else they bring comes from PyPI;
2. any project that was asked for may come from either world;
3. what the channels lack of the closure may come from PyPI, then every conda package of it that is a PyPI project;
4. releases so old that no requirement vouches for them are offered too, and what a library says of the projects that
   it can work with (``extra == "torch"``) binds no longer.

A step is left when it has no solution, or only one that holds a requested project far back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import rattler
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataloader.base.errors import IndexUnavailable, ResolutionFailure
from dataloader.base.names import pypi_names, some
from dataloader.base.reporter import Reporter
from dataloader.index.model import IndexFile
from dataloader.index.settings import IndexSettings
from dataloader.resolve.answer import Answer, notes_of
from dataloader.resolve.channels.rattler import Channels, Unsolvable
from dataloader.resolve.foresight import exact_pins, foreseeable
from dataloader.resolve.ladder import Query
from dataloader.resolve.model import Problem, Resolution
from dataloader.resolve.offered.identities import CONDA_ONLY
from dataloader.resolve.offered.knowledge import Knowledge
from dataloader.resolve.offered.offer import Catalogue, Offer
from dataloader.resolve.offered.reader import Index
from dataloader.resolve.outcome import make_resolution
from dataloader.resolve.refused.certain import without_old_releases, without_wheels
from dataloader.resolve.refused.explain import explain, plain_fault
from dataloader.resolve.refused.prechecks import check_names
from dataloader.resolve.rounds import PythonSource, Rounds
from dataloader.resolve.stability import is_of_pypi, locked_version
from dataloader.resolve.unsaid import holds, moved
from dataloader.resolve.words.projects import Described, Project, make_project
from dataloader.resolve.words.pythons import Pythons
from dataloader.resolve.words.rules import RuleBook
from dataloader.resolve.words.versions import parse_version

PATIENCE = 8.0
"""Seconds after which, again and again, it is said what is being tried."""


async def resolve(
    problem: Problem,
    index: Index | None,
    reporter: Reporter,
    *,
    cache: Path | None = None,
    settings: IndexSettings | None = None,
) -> Resolution:
    """Solve a problem over channels and indexes.

    Raises:
        ResolutionFailure: no solution; its causes name the requirement, the rule or the missing file at fault.
        IndexUnavailable: a channel or an index did not answer.
        ManifestError: a match spec or a specifier cannot be read.
    """
    channels = Channels(
        problem.channels,
        problem.target,
        priority=problem.channel_priority,
        cache=cache,
        conda_specs=problem.conda_specs,
        settings=settings,
        reporter=reporter,
    )
    solver = await _Solver.create(problem, index, channels, reporter)
    resolution = await solver.told()
    while (unsaid := solver.moved()) and not unsaid <= solver.unsaid:
        other = await _Solver.create(problem, index, channels, reporter, unsaid=solver.unsaid | unsaid)
        try:
            found = await other.told()
        except ResolutionFailure:
            break
        if not other.holds(found, unsaid):
            break
        resolution, solver = found, other
    return resolution


class _Solver(Rounds):
    @classmethod
    async def create(
        cls,
        problem: Problem,
        index: Index | None,
        channels: Channels,
        reporter: Reporter,
        *,
        unsaid: frozenset[str] = frozenset(),
    ) -> _Solver:
        """Find the Pythons of the problem, on which everything else hangs."""
        await channels.look_up({"python", *channels.asked})
        records = await channels.records("python")
        versions = sorted({v for r in records if (v := str(r.version)).startswith("3.")})
        hosts: tuple[str, ...] = ()
        source: PythonSource = "conda"
        if not versions:
            versions, hosts, source = list(problem.host_pythons), problem.host_pythons, "host"
        pythons = Pythons(versions, problem.target)
        wanted = pythons.required(problem.python)
        if problem.python and versions and not wanted:
            known_pythons = {str(record.version) for record in records} if source == "conda" else versions
            raise _no_python(problem, known_pythons, source)
        pythons = Pythons(wanted, problem.target)
        hosts = tuple(v for v in hosts if v in wanted)
        catalogue = Catalogue(channels, pythons, RuleBook(problem.needs), hosts, problem.frameworks)
        return cls(problem, index, catalogue, source, reporter, unsaid)

    async def told(self) -> Resolution:
        """Solve, and say every few seconds what is being tried."""
        telling = asyncio.create_task(self.tell())
        try:
            return await self.run()
        finally:
            telling.cancel()
            await self.close()

    def moved(self) -> frozenset[str]:
        """Return the bare names that came from a channel for being named alone."""
        if self._answer is None or not self._base:
            return frozenset()
        return moved(self._root.bare() - self._problem.preferred.keys(), self._answer, self._base, self._catalogue)

    def holds(self, resolution: Resolution, names: frozenset[str]) -> bool:
        """Say whether a solution holds all of these projects."""
        return holds(resolution, names, self._catalogue)

    async def close(self) -> None:
        """Stop reading ahead."""
        if self._catalogue.knowledge is not None:
            await self._catalogue.knowledge.reader.close()

    async def tell(self) -> None:
        """Say every few seconds what is still being tried."""
        while True:
            await asyncio.sleep(PATIENCE)
            known = self._catalogue.knowledge.reader.pages_read if self._catalogue.knowledge is not None else 0
            self._reporter.info(f"still solving: {known} projects read, round {self._rounds}{self._trying}")

    async def run(self) -> Resolution:
        """Take the steps in order until one has an acceptable answer."""
        await self._catalogue.prepare(self._mentioned())
        await check_names(self._problem, self._catalogue, self._index)
        await self._conda_part()
        if self._base and self._root.specs() == self._root.specs(conda_only=True):
            # nobody asks anything of PyPI: the conda part is the answer
            return self._finish(Answer(records=tuple(self._base), offer=self._base_offer, rung=self._base_rung))
        fallback: Answer | None = None
        for step in (self._preferred, self._mixed, self._completed, self._widened, self._lenient):
            if step == self._lenient and self._silent():
                # what was not looked up might be better than what is that old
                if fallback is not None:
                    break
                if unreached := await self._unreached():
                    raise unreached
            if not await step():
                continue
            try:
                answer = await self._least_behind(await self._least_change(self._settled))
            except Unsolvable as error:
                self._failure = error
                self._reporter.debug(f"no solution in round {self._rounds}")
                if not self._problem.channels and step == self._preferred and not self._silent():
                    certain = await without_old_releases(error, self._problem, self._catalogue, self._offered)
                    if certain is not None:
                        raise certain from None
                continue
            if fallback is not None:
                return self._finish(self._better(fallback, answer))
            if step == self._preferred and self._problem.channels and (answer.rung or self._behind(answer)):
                fallback = answer
                continue
            return self._finish(answer)
        if fallback is not None:
            return self._finish(fallback)
        assert self._failure is not None
        raise await self._unreached() or await explain(self._failure, self._problem, self._catalogue, self._offered)

    async def _unreached(self) -> IndexUnavailable | None:
        """Return that an index did not answer, where what it is said to have decides, with what excludes all else."""
        failure = self._failure
        host = await self._host_that_might_help() if failure is not None and self._silent() else None
        if failure is None or host is None:
            return None
        reached = await explain(failure, self._problem, self._catalogue, self._offered)
        error = self._silent()[host]
        error.causes = (
            *error.causes,
            f"by the account of the matrix {host} has builds that may do; of all else:",
            *(reached.causes or (reached.message,)),
        )
        return error

    # -- the steps

    def _mentioned(self) -> set[str]:
        """Return the names to look up at once; those of rules that only wheels trigger can wait (``_watched``)."""
        needs = self._problem.needs
        rules = [r for r in needs.rules if r.when is None or r.when.world != "pypi"]
        bounds = [*needs.requirements, *(b for r in rules for b in (r.when, *r.then) if b is not None)]
        watched = {name for name in self._catalogue.book.triggers if name.startswith(CONDA_ONLY)}
        return {b.package for b in bounds} | {r.name for r in self._problem.requirements} | watched

    async def _conda_part(self) -> None:
        """Solve the conda side alone: what it contains is preferred, and serves PyPI requirements too."""
        if not self._problem.channels:
            return
        self._base_offer = offer = self._catalogue.offer((), frozenset())
        limits = [self._root.requirement(r) for r in self._problem.requirements if not r.only_pypi]
        try:
            locked = await self._locked_conda(offer)
            base = await self._least_change(lambda: self._conda_alone(offer, limits, locked))
            self._base, self._base_rung = list(base.records), base.rung
            self._foreseen = base.rung
        except Unsolvable as error:
            self._reporter.debug(f"the conda part alone has no solution (of {len(error.reached)} names)")
            if certain := await without_wheels(error, self._problem, self._catalogue, offer):
                raise certain from None
        self._conda_names = frozenset(r.name.normalized for r in self._base)

    async def _conda_alone(
        self, offer: Offer, limits: Sequence[str | None], locked: list[rattler.RepoDataRecord]
    ) -> Answer:
        specs = self._root.specs(conda_only=True, owned=offer.records)
        bounds = [*self._root.constraints(), *(spec for spec in limits if spec is not None), *self._held()]
        return await self._ladder.climb(Query(offer, specs, bounds, locked if self._holding.favour else []))

    async def _preferred(self) -> bool:
        self._catalogue.channels.watching = True
        if self._index is None:
            return True
        knowledge = Knowledge(
            self._index,
            self._sort,
            self._catalogue.pythons,
            likely_python=self._likely_python(),
            prereleases=self._problem.prerelease == "allow",
            ruled_out=self._catalogue.ruled_out.is_out,
            paired=self._problem.needs.paired,
            announced=self._problem.needs.announced,
            exclude_newer=self._problem.exclude_newer,
        )
        self._catalogue.knowledge = knowledge
        knowledge.alone = not self._problem.channels
        knowledge.replaceable = frozenset(self._problem.needs.stand_ins)
        knowledge.skip(self._served_by_conda())
        in_conda = {(pypi_names(n) or (n,))[0]: str(r.version) for r in self._base if (n := r.name.normalized)}
        settled = {**in_conda, **exact_pins(self._problem)}
        knowledge.settled = {name: settled[name] for name in sorted(self._problem.frameworks & settled.keys())}
        knowledge.held = {n: locked_version(f) for n, f in self._problem.preferred.items() if is_of_pypi(f)}
        for name, version in knowledge.held.items():
            knowledge.pinned[name] |= {version}
        for bound in foreseeable(self._problem):
            knowledge.hint(bound.package, bound.specifier)
        for requirement in self._problem.requirements:
            if requirement.name not in self.unsaid:
                self._ask(requirement)
        # what nobody can mend is told before anything is solved
        await knowledge.meet(requirement.name for requirement in self._problem.requirements)
        if (fault := plain_fault(self._problem, self._catalogue)) is not None:
            raise fault
        for bound in self._problem.needs.requirements:
            if bound.package not in self.unsaid:
                self._ask_bound(bound)
        for rule in self._catalogue.book.always:
            for bound in rule.then if rule.requires else ():
                self._ask_bound(bound)
        return True

    async def _mixed(self) -> bool:
        if self._catalogue.knowledge is None or not self._problem.channels:
            return False
        self._mixing = True
        self._catalogue.knowledge.skip(())
        return True

    async def _completed(self) -> bool:
        """Let what the channels lack come from PyPI, before anything that they have does."""
        knowledge = self._catalogue.knowledge
        if knowledge is None or not self._problem.channels:
            return False
        assert self._failure is not None
        reached = {name for name in self._failure.reached if not name.startswith("__")}
        await self._catalogue.channels.look_up(reached)
        before = knowledge.asked()
        for name in sorted(reached):
            if not await self._catalogue.channels.records(name):
                for project in (pypi_names(name) or ())[:1]:
                    knowledge.ask(project)
        return knowledge.asked() != before

    async def _widened(self) -> bool:
        if self._catalogue.knowledge is None or not self._problem.channels:
            return False
        assert self._failure is not None
        for name in sorted(self._failure.reached | self._conda_names):
            for project in (pypi_names(name) or ())[:1]:
                self._catalogue.knowledge.ask(project)
        return True

    async def _lenient(self) -> bool:
        self._catalogue.lenient = True
        if self._catalogue.knowledge is not None:
            self._catalogue.knowledge.floors = False
        return self._catalogue.knowledge is not None

    def _likely_python(self) -> str:
        for record in self._base:
            if record.name.normalized == "python":
                return str(record.version)
        if self._catalogue.hosts:
            return self._catalogue.hosts[0]
        versions = self._catalogue.pythons.space.versions
        return versions[-1] if versions else ""

    def _sort(self, name: str, files: tuple[IndexFile, ...], variants: Described) -> Project:
        return make_project(
            name,
            files,
            self._problem.target,
            self._catalogue.pythons,
            exclude_newer=self._problem.exclude_newer,
            no_wheels=self._problem.without_wheels(name),
            built=name in self._problem.built,
            variants=variants,
        )

    async def _locked_conda(self, offer: Offer) -> list[rattler.RepoDataRecord]:
        """Return the channel records that an older lock holds."""
        ours = {r.url: r for records in offer.records.values() for r in records}
        found = []
        for name, file_name in sorted(self._problem.preferred.items()):
            if not is_of_pypi(file_name):
                records = await self._catalogue.channels.records(name)
                found += [ours.get(r.url, r) for r in records if r.file_name == file_name]
        return found

    # -- judging an answer

    def _better(self, preferred: Answer, mixed: Answer) -> Answer:
        """Return the mixed answer only if it is of a better rung, or brings a requested project much further."""
        return min(preferred, mixed, key=lambda answer: (answer.rung, len(self._behind(answer))))

    def _finish(self, answer: Answer) -> Resolution:
        self._answer = answer
        knowledge = self._catalogue.knowledge
        return make_resolution(
            answer.records,
            answer.offer,
            self._catalogue,
            python_source=self._python_source,
            notes=notes_of(answer, self._problem, knowledge),
            rounds=self._rounds,
            metadata_read=knowledge.reader.metadata_read if knowledge else 0,
        )


def _no_python(problem: Problem, versions: Iterable[str], source: PythonSource) -> ResolutionFailure:
    where = "the channels have" if source == "conda" else "this machine has"
    newest_first = sorted(versions, key=lambda version: parse_version(version) or Version("0"), reverse=True)
    older = [v for v in newest_first if v.startswith("2.") and SpecifierSet(problem.python).contains(v)]
    causes = [f"{where} Python {some(newest_first)}"]
    causes += [f"Python {some(older)} would fit, but environments stand on Python 3"] if older else []
    return ResolutionFailure(
        f"no Python fits '{problem.python}'",
        code="no-python",
        causes=tuple(causes),
        suggestions=("ask for one of these with --python", "or add a channel that has it, e.g. -c conda-forge"),
        python_matters=source == "host",
    )
