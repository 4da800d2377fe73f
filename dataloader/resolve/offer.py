"""The records that we answer for in one solve: wheels, amended channel records, this machine's Pythons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import rattler

from dataloader.base.names import conda_name, pypi_names
from dataloader.compat.model import Bound, Rule
from dataloader.resolve.knowledge import Knowledge
from dataloader.resolve.projects import Wheel
from dataloader.resolve.pythons import Pythons
from dataloader.resolve.rattler import Channels, amended, own_record
from dataloader.resolve.reader import gather
from dataloader.resolve.records import IMPOSSIBLE, Naming, RecordSpec, make_record
from dataloader.resolve.rules import RuleBook, bound_spec, fires
from dataloader.resolve.versions import VersionSpace

CONDA_ONLY = "conda:"


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel's record with the parts that are asked for again and again; each costs a call into rattler."""

    record: rattler.RepoDataRecord
    url: str
    version: str
    build: str

    @property
    def sha256(self) -> str | None:
        """Hex digest, where the channel gives one."""
        digest = self.record.sha256
        return digest.hex() if digest else None


@dataclass(slots=True)
class Offer:
    """What one solve is given."""

    records: dict[str, list[rattler.RepoDataRecord]] = field(default_factory=dict)
    """Identity -> records of ours."""
    wheels: dict[str, Wheel] = field(default_factory=dict)
    """URL of a record of ours -> its wheel."""
    conda: dict[str, rattler.RepoDataRecord] = field(default_factory=dict)
    """URL of an amended record -> the channel's own."""
    fired: dict[str, tuple[Rule, ...]] = field(default_factory=dict)
    """URL of a record of ours -> the rules written into it."""


class Catalogue:
    """Which package each name means, which versions it has, and the records of ours."""

    def __init__(
        self,
        channels: Channels,
        pythons: Pythons,
        book: RuleBook,
        hosts: Sequence[str],
        frameworks: frozenset[str] = frozenset(),
    ) -> None:
        self.knowledge: Knowledge | None = None
        """Set once there are indexes to know of."""
        self.lenient = False
        """Offer also what nobody vouches for, and let no ``records.companion_bounds`` bind."""
        self.channels, self.pythons, self.book, self.hosts = channels, pythons, book, tuple(hosts)
        self.frameworks = frameworks
        self._conda: dict[str, list[ChannelRecord]] = {}
        self._identities: dict[str, str] = {}
        self._spaces: dict[tuple[str, int], VersionSpace] = {}
        self._records: dict[str, tuple[object, rattler.RepoDataRecord]] = {}
        self._copies: dict[str, tuple[object, rattler.RepoDataRecord]] = {}
        self._fires: dict[str, tuple[object, list[tuple[Rule, ...]]]] = {}
        self._naming = Naming(self.identity, self.space, pythons)

    async def prepare(self, projects: Iterable[str]) -> None:
        """Read what the channels have of these projects (``conda:NAME`` for conda-only names)."""
        new = sorted(project for project in set(projects) if project not in self._identities)
        await gather([self._identify(project) for project in new])

    async def _identify(self, project: str) -> None:
        conda_only = project.startswith(CONDA_ONLY)
        name = project.removeprefix(CONDA_ONLY) if conda_only else conda_name(project)
        if name is None and pypi_names(project) is None:
            name = project  # nobody has said what a channel means by it: the same name is the same thing
        if name is not None and not conda_only and (pypi_names(name) or (project,))[0] != project:
            # a conda package that holds several projects is the identity of the first alone
            name = name if name == project else None
        records = await self.channels.records(name) if name is not None else []
        if records:
            assert name is not None
            self._identities[project] = name
            self._conda[project] = [ChannelRecord(r, r.url, str(r.version), str(r.build)) for r in records]
        elif conda_only:
            self._identities[project] = project.removeprefix(CONDA_ONLY)
        else:
            # a channel may use the project's name for something else; then the project goes by a name of its own
            taken = await self.channels.records(project)
            self._identities[project] = f"pypi.{project}" if taken else project

    def identity(self, project: str) -> str:
        """Return the package that a project (or ``conda:NAME``) is in the problem."""
        return self._identities.get(project, project.removeprefix(CONDA_ONLY))

    def conda_records(self, project: str) -> list[ChannelRecord]:
        """Return what the channels have of a prepared project."""
        return self._conda.get(project, [])

    def space(self, project: str) -> VersionSpace:
        """Return all versions of a project, of both worlds."""
        if project == self.pythons.name:
            return self.pythons.space
        wheels = self.knowledge.space(project).versions if self.knowledge else ()
        key = (project, len(wheels))
        if key not in self._spaces:
            conda = {record.version for record in self.conda_records(project)}
            self._spaces[key] = VersionSpace({*wheels, *conda})
        return self._spaces[key]

    def bound(self, bound: Bound) -> str:
        """Return the match spec of a bound."""
        name = self.identity(bound.package)
        if bound.package.startswith(CONDA_ONLY):
            version = bound.specifier or "*"
        else:
            version = self._within(self.space(bound.package), bound)
        return bound_spec(bound, name, version)

    def _within(self, space: VersionSpace, bound: Bound) -> str:
        if not len(space):
            return "*"
        if not bound.unlike:
            return space.spec(bound.specifier) or IMPOSSIBLE
        admitted = frozenset(v for v in space.admitted(bound.specifier) if not bound.leaves_out(v))
        return space.spec_of(admitted) or IMPOSSIBLE

    # -- records

    def offer(self, wheels_of: Iterable[str], conda_of: frozenset[str]) -> Offer:
        """Collect the records of ours.

        Args:
            wheels_of: projects whose wheels are offered.
            conda_of: projects whose channel records are offered where wheels are offered too.
        """
        offer = Offer()
        if self.hosts:
            offer.records[self.pythons.name] = [_host_python(self.pythons.name, v) for v in self.hosts]
        for project in sorted(wheels_of):
            self._offer_wheels(offer, project)
        for identity, projects in self._by_identity().items():
            beside = identity not in offer.records or not conda_of.isdisjoint(projects)
            if beside and not (conda_of | self.book.triggers).isdisjoint(projects):
                self._offer_conda(offer, identity, projects)
        return offer

    def _by_identity(self) -> dict[str, list[str]]:
        """Return the names under which each channel package was asked for (``torch`` and ``conda:pytorch``)."""
        found: dict[str, list[str]] = {}
        for project in sorted(self._conda):
            found.setdefault(self.identity(project), []).append(project)
        return found

    def _offer_wheels(self, offer: Offer, project: str) -> None:
        assert self.knowledge is not None
        wheels = self.knowledge.offered(project, floors=not self.lenient)
        identity = self.identity(project)
        rules = self._rules_by_version(project, {w.text for w in wheels})
        records = []
        for wheel in wheels:
            fired = tuple(r for r in rules.get(wheel.text, ()) if fires(r, "pypi", wheel.build, wheel.file))
            record = self._wheel_record(wheel, identity, fired)
            offer.wheels[record.url] = wheel
            if fired:
                offer.fired[record.url] = fired
            records.append(record)
        if records:
            offer.records[identity] = records

    def _wheel_record(self, wheel: Wheel, identity: str, fired: tuple[Rule, ...]) -> rattler.RepoDataRecord:
        """Return a wheel's record, made anew only when something that its dependencies are spelled with has grown."""
        assert self.knowledge is not None
        metadata, extras = self.knowledge.presumed(wheel), self.knowledge.extras[wheel.file.name]
        plain = metadata is None and not fired
        made_from = () if plain else (id(metadata), extras, self.lenient, self._grown)
        cached = self._records.get(wheel.file.url)
        if cached is None or cached[0] != made_from:
            companions = frozenset[str]() if self.lenient else self.frameworks
            spec = make_record(wheel, identity, metadata, self._naming, extras, companions=companions)
            cached = (made_from, own_record(self._with_rules(spec, fired)))
            self._records[wheel.file.url] = cached
        return cached[1]

    @property
    def _grown(self) -> tuple[int, int]:
        """A number that changes whenever a package's known versions may have."""
        return (len(self.knowledge.projects) if self.knowledge else 0, len(self._identities))

    def _offer_conda(self, offer: Offer, identity: str, projects: Sequence[str]) -> None:
        """Answer for a package's channel records, unless nothing needs it: wheels beside them, or a rule that fires."""
        records = self.conda_records(projects[0])
        fired = self._fired(identity, projects, records)
        if identity not in offer.records and not any(fired):
            return
        ours = offer.records.setdefault(identity, [])
        for record, rules in zip(records, fired, strict=True):
            copy = self._amended(record, rules)
            offer.conda[copy.url] = record.record
            if rules:
                offer.fired[copy.url] = rules
            ours.append(copy)

    def _fired(
        self, identity: str, projects: Sequence[str], records: Sequence[ChannelRecord]
    ) -> Sequence[tuple[Rule, ...]]:
        """Return the rules that each record triggers; asked again only when known versions have grown."""
        cached = self._fires.get(identity)
        if cached is None or cached[0] != (self._grown, len(projects)):
            versions = {r.version for r in records}
            found = [self._rules_by_version(project, versions) for project in projects]
            rules = [
                tuple(r for each in found for r in each.get(x.version, ()) if fires(r, "conda", x.build, x))
                for x in records
            ]
            cached = ((self._grown, len(projects)), rules)
            self._fires[identity] = cached
        return cached[1]

    def _amended(self, record: ChannelRecord, rules: Sequence[Rule]) -> rattler.RepoDataRecord:
        made_from = self._grown if rules else ()
        cached = self._copies.get(record.url)
        if cached is None or cached[0] != made_from:
            cached = (made_from, amended(record.record, *self._texts(rules)))
            self._copies[record.url] = cached
        return cached[1]

    def _rules_by_version(self, project: str, versions: set[str]) -> dict[str, list[Rule]]:
        """Return the rules whose ``when`` admits each version, whatever world or build they ask for."""
        found: dict[str, list[Rule]] = {}
        if project not in self.book.triggers:
            return found
        for specifier in sorted(self.book.specifiers(project)):
            admitted = self._admitted(project, specifier)
            for rule in self.book.watching(project, specifier):
                for version in versions & admitted:
                    found.setdefault(version, []).append(rule)
        return found

    def _admitted(self, project: str, specifier: str) -> frozenset[str]:
        if not project.startswith(CONDA_ONLY):
            return self.space(project).admitted(specifier)
        wanted = rattler.VersionSpec(specifier or "*")
        return frozenset(r.version for r in self.conda_records(project) if wanted.matches(r.record.version))

    def _with_rules(self, spec: RecordSpec, fired: Sequence[Rule]) -> RecordSpec:
        if not fired:
            return spec
        depends, constrains = self._texts(fired)
        return RecordSpec(
            name=spec.name,
            version=spec.version,
            build=spec.build,
            build_number=spec.build_number,
            depends=(*spec.depends, *depends),
            extra_depends=spec.extra_depends,
            constrains=(*spec.constrains, *constrains),
        )

    def specs_of(self, rule: Rule) -> list[str]:
        """Return what a rule writes into the records that it binds."""
        return [self.bound(bound) for bound in rule.then]

    def _texts(self, fired: Sequence[Rule]) -> tuple[list[str], list[str]]:
        depends = [self.bound(b) for rule in fired if rule.requires for b in rule.then]
        constrains = [self.bound(b) for rule in fired if not rule.requires for b in rule.then]
        return depends, constrains


def _host_python(name: str, version: str) -> rattler.RepoDataRecord:
    return own_record(
        RecordSpec(name=name, version=version, build="host", build_number=0, depends=(), extra_depends={})
    )
