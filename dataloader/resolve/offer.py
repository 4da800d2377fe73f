"""The records that we answer for in one solve: wheels, amended channel records, this machine's Pythons."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import rattler

from dataloader.compat.model import Bound, Rule
from dataloader.names import conda_name, pypi_names
from dataloader.resolve.knowledge import Knowledge
from dataloader.resolve.projects import Wheel
from dataloader.resolve.pythons import Pythons
from dataloader.resolve.rattler import Channels, amended, own_record
from dataloader.resolve.records import IMPOSSIBLE, Naming, RecordSpec, make_record
from dataloader.resolve.rules import RuleBook, bound_spec, fires
from dataloader.resolve.versions import VersionSpace

CONDA_ONLY = "conda:"


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

    def __init__(self, channels: Channels, pythons: Pythons, book: RuleBook, hosts: Sequence[str]) -> None:
        self.knowledge: Knowledge | None = None
        """Set once there are indexes to know of."""
        self.channels, self.pythons, self.book, self.hosts = channels, pythons, book, tuple(hosts)
        self._conda: dict[str, list[rattler.RepoDataRecord]] = {}
        self._identities: dict[str, str] = {}
        self._spaces: dict[tuple[str, int], VersionSpace] = {}
        self._plain: dict[str, rattler.RepoDataRecord] = {}
        self._naming = Naming(self.identity, self.space, pythons)

    async def prepare(self, projects: Iterable[str]) -> None:
        """Read what the channels have of these projects (``conda:NAME`` for conda-only names)."""
        for project in sorted(projects):
            if project not in self._identities:
                await self._identify(project)

    async def _identify(self, project: str) -> None:
        conda_only = project.startswith(CONDA_ONLY)
        name = project.removeprefix(CONDA_ONLY) if conda_only else conda_name(project)
        if name is not None and not conda_only and (pypi_names(name) or (project,))[0] != project:
            # a conda package that holds several projects is the identity of the first alone
            name = name if name == project else None
        records = await self.channels.records(name) if name is not None else []
        if records:
            assert name is not None
            self._identities[project], self._conda[project] = name, records
        elif conda_only:
            self._identities[project] = project.removeprefix(CONDA_ONLY)
        else:
            # a channel may use the project's name for something else; then the project goes by a name of its own
            taken = await self.channels.records(project)
            self._identities[project] = f"pypi.{project}" if taken else project

    def identity(self, project: str) -> str:
        """Return the package that a project (or ``conda:NAME``) is in the problem."""
        return self._identities.get(project, project.removeprefix(CONDA_ONLY))

    def conda_records(self, project: str) -> list[rattler.RepoDataRecord]:
        """Return what the channels have of a prepared project."""
        return self._conda.get(project, [])

    def space(self, project: str) -> VersionSpace:
        """Return all versions of a project, of both worlds."""
        if project == self.pythons.name:
            return self.pythons.space
        wheels = self.knowledge.space(project).versions if self.knowledge else ()
        key = (project, len(wheels))
        if key not in self._spaces:
            conda = {str(record.version) for record in self.conda_records(project)}
            self._spaces[key] = VersionSpace({*wheels, *conda})
        return self._spaces[key]

    def bound(self, bound: Bound) -> str:
        """Return the match spec of a bound."""
        name = self.identity(bound.package)
        if bound.package.startswith(CONDA_ONLY):
            version = bound.specifier or "*"
        else:
            space = self.space(bound.package)
            version = (space.spec(bound.specifier) or IMPOSSIBLE) if len(space) else "*"
        return bound_spec(bound, name, version)

    @property
    def naming(self) -> Naming:
        """How dependencies are spelled."""
        return self._naming

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
        for project in sorted({p for p in self._conda if p in conda_of or p in self.book.triggers}):
            identity = self.identity(project)
            if project in self.book.triggers or identity in offer.records:
                if identity in offer.records and project not in conda_of:
                    continue
                self._offer_conda(offer, project)
        return offer

    def _offer_wheels(self, offer: Offer, project: str) -> None:
        assert self.knowledge is not None
        wheels = self.knowledge.offered(project)
        identity, extras = self.identity(project), self.knowledge.extras[project]
        rules = self._rules_by_version(project, {w.text for w in wheels})
        records = []
        for wheel in wheels:
            metadata = self.knowledge.presumed(wheel)
            fired = [r for r in rules.get(wheel.text, ()) if fires(r, "pypi", wheel.build)]
            record = self._plain.get(wheel.file.url) if metadata is None and not fired else None
            if record is None:
                spec = make_record(wheel, identity, metadata, self._naming, extras)
                record = own_record(self._with_rules(spec, fired))
                if metadata is None and not fired:
                    self._plain[wheel.file.url] = record
            offer.wheels[record.url] = wheel
            if fired:
                offer.fired[record.url] = tuple(fired)
            records.append(record)
        if records:
            offer.records[identity] = records

    def _offer_conda(self, offer: Offer, project: str) -> None:
        records = self.conda_records(project)
        rules = self._rules_by_version(project, {str(r.version) for r in records})
        ours = offer.records.setdefault(self.identity(project), [])
        for record in records:
            fired = [r for r in rules.get(str(record.version), ()) if fires(r, "conda", str(record.build))]
            depends, constrains = self._texts(fired)
            copy = amended(record, depends, constrains)
            offer.conda[copy.url] = record
            if fired:
                offer.fired[copy.url] = tuple(fired)
            ours.append(copy)

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
        return frozenset(str(r.version) for r in self.conda_records(project) if wanted.matches(r.version))

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

    def _texts(self, fired: Sequence[Rule]) -> tuple[list[str], list[str]]:
        depends = [self.bound(b) for rule in fired if rule.requires for b in rule.then]
        constrains = [self.bound(b) for rule in fired if not rule.requires for b in rule.then]
        return depends, constrains


def _host_python(name: str, version: str) -> rattler.RepoDataRecord:
    return own_record(
        RecordSpec(name=name, version=version, build="host", build_number=0, depends=(), extra_depends={})
    )
