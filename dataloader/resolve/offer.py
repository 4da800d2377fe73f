"""The records that we answer for in one solve: wheels, amended channel records, this machine's Pythons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import rattler

from dataloader.base.names import conda_name, pypi_names
from dataloader.compat.model import AXIS, Announced, Bound, Rule
from dataloader.resolve.knowledge import Knowledge
from dataloader.resolve.projects import PYPI_BUILD_NUMBER, WHEEL_BUILD, Wheel
from dataloader.resolve.pythons import Pythons
from dataloader.resolve.rattler import Channels, amended, own_record
from dataloader.resolve.records import IMPOSSIBLE, Naming, RecordSpec, applying, make_record, match_spec
from dataloader.resolve.ruled_out import RuledOut
from dataloader.resolve.rules import RuleBook, Taken, bound_spec, fires
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
    def channel_name(self) -> str:
        """The last part of the channel's URL, by which the matrix knows it."""
        return str(self.record.channel).rstrip("/").rpartition("/")[2]

    @property
    def sha256(self) -> str | None:
        """Hex digest, where the channel gives one."""
        digest = self.record.sha256
        return digest.hex() if digest else None


Spelling: TypeAlias = dict[str, tuple[str, VersionSpace]]
"""What records are spelled with: the package that a project is, and the versions that it has."""


@dataclass(frozen=True, slots=True)
class _Made:
    """A record, and what it was made from."""

    made_from: object
    spelling: Spelling
    record: rattler.RepoDataRecord


@dataclass(frozen=True, slots=True)
class _Unruled:
    """The records of a project in which no rule has a say, and what they were made from."""

    wheels: tuple[Wheel, ...]
    made_from: object
    spelling: Spelling
    records: Sequence[rattler.RepoDataRecord]
    by_url: Mapping[str, Wheel]


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
    taken: dict[str, Taken] = field(default_factory=dict)
    """URL of a record of ours -> what build of a framework it is taken for."""
    announced: dict[str, Announced] = field(default_factory=dict)
    """URL of a record of ours -> the wheel of a further index, whose page has not been read."""


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
        self.ruled_out = RuledOut(book, self.space)
        self._conda: dict[str, list[ChannelRecord]] = {}
        self._identities: dict[str, str] = {}
        self._spaces: dict[str, tuple[tuple[VersionSpace, ...], VersionSpace]] = {}
        self._axes = {axis: VersionSpace(values) for axis, values in book.needs.axes.items()}
        self._records: dict[tuple[str, str], _Made] = {}
        self._now: Spelling = {}
        """How projects are spelled in the offer that is being made."""
        self._noted: set[str] = set()
        """Projects whose spelling was asked for."""
        self._unruled: dict[str, _Unruled] = {}
        self._copies: dict[str, tuple[object, rattler.RepoDataRecord]] = {}
        self._fires: dict[str, tuple[object, list[tuple[Taken, tuple[Rule, ...]]]]] = {}
        self._naming = Naming(lambda name: self._spelled(name)[0], lambda name: self._spelled(name)[1], pythons)

    async def prepare(self, projects: Iterable[str]) -> None:
        """Read what the channels have of these projects (``conda:NAME`` for conda-only names)."""
        new = sorted(p for p in set(projects) if p not in self._identities and not p.startswith(AXIS))
        named = {project: _name_in_channels(project) for project in new}
        await self.channels.look_up(name or project.removeprefix(CONDA_ONLY) for project, name in named.items())
        for project, name in named.items():
            await self._identify(project, name)

    async def _identify(self, project: str, name: str | None) -> None:
        conda_only = project.startswith(CONDA_ONLY)
        records = await self.channels.records(name) if name is not None else []
        if records:
            assert name is not None
            self._identities[project] = name
            self._conda[project] = [ChannelRecord(r, r.url, str(r.version), str(r.build)) for r in records]
        elif conda_only:
            self._identities[project] = project.removeprefix(CONDA_ONLY)
        elif name is not None and name != project and self.channels.urls:
            self._identities[project] = name  # conda packages may need it by that name, though no channel has it
        else:
            # a channel may use the project's name for something else; then the project goes by a name of its own
            taken = await self.channels.records(project)
            self._identities[project] = f"pypi.{project}" if taken else project

    def identity(self, project: str) -> str:
        """Return the package that a project (or ``conda:NAME``) is in the problem."""
        if project.startswith(AXIS):
            return axis_package(project)
        return self._identities.get(project, project.removeprefix(CONDA_ONLY))

    def conda_records(self, project: str) -> list[ChannelRecord]:
        """Return what the channels have of a prepared project."""
        return self._conda.get(project, [])

    def serves(self, project: str) -> bool:
        """Say whether a package has candidates without any index."""
        return project.startswith(AXIS) or bool(self.conda_records(project))

    def space(self, project: str) -> VersionSpace:
        """Return all versions of a project, of both worlds."""
        if project == self.pythons.name:
            return self.pythons.space
        if project.startswith(AXIS):
            return self._axes[project]
        known = tuple(self._known_of(project))
        cached = self._spaces.get(project)
        if cached is None or cached[0] != known:
            conda = [record.version for record in self.conda_records(project)]
            wheels = (version for space in known for version in space.admitted(""))
            alone = len(known) == 1 and not conda
            cached = (known, known[0] if alone else VersionSpace({*wheels, *conda}))
            self._spaces[project] = cached
        return cached[1]

    def _known_of(self, project: str) -> Iterator[VersionSpace]:
        """Yield the versions of a project's wheels, and of those that stand for it."""
        if self.knowledge is not None:
            for name in (project, *self.book.needs.stand_ins.get(project, ())):
                yield self.knowledge.space(name)

    def bound(self, bound: Bound) -> str:
        """Return the match spec of a bound."""
        name = self.identity(bound.package)
        if bound.package.startswith(CONDA_ONLY):
            version = bound.specifier or "*"
        else:
            space = self.space(bound.package)
            version = (space.spec(bound.specifier) or IMPOSSIBLE) if len(space) else "*"
        return bound_spec(bound, name, version)

    # -- records

    def offer(self, wheels_of: Iterable[str], conda_of: frozenset[str]) -> Offer:
        """Collect the records of ours.

        Args:
            wheels_of: projects whose wheels are offered.
            conda_of: projects whose channel records are offered where wheels are offered too.
        """
        offer = Offer()
        self._now = {}
        if self.hosts:
            offer.records[self.pythons.name] = [_host_python(self.pythons.name, v) for v in self.hosts]
        self._offer_axes(offer)
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

    def _offer_axes(self, offer: Offer) -> None:
        """Offer every value of every axis."""
        for axis, space in self._axes.items():
            rules = self._rules_by_version(axis, set(space.versions))
            offer.records[axis_package(axis)] = [
                self._own(offer, axis, value, "0", 0, (), tuple(rules.get(value, ()))) for value in space.versions
            ]

    def _own(
        self,
        offer: Offer,
        package: str,
        version: str,
        build: str,
        number: int,
        depends: tuple[str, ...],
        fired: tuple[Rule, ...],
    ) -> rattler.RepoDataRecord:
        """Return a record that no file stands behind, made anew only when its rules are spelled with what has grown."""
        name = self.identity(package)
        made_from = (depends, self._spelled_with(fired))
        cached = self._records.get((f"{package} {version}", build))
        if cached is None or cached.made_from != made_from:
            spec = RecordSpec(
                name=name, version=version, build=build, build_number=number, depends=depends, extra_depends={}
            )
            cached = _Made(made_from, {}, own_record(self._with_rules(spec, fired)))
            self._records[f"{package} {version}", build] = cached
        if fired:
            offer.fired[cached.record.url] = fired
        return cached.record

    def _offer_wheels(self, offer: Offer, project: str) -> None:
        assert self.knowledge is not None
        identity = self.identity(project)
        records = [
            *self._own_wheels(offer, project),
            *self._announced(offer, project),
            *self._stand_ins(offer, project),
        ]
        if records:
            offer.records[identity] = records

    def _own_wheels(self, offer: Offer, project: str) -> Sequence[rattler.RepoDataRecord]:
        """Return the records of a project's wheels: the last solve's where nothing grew, and no rule has a say."""
        assert self.knowledge is not None
        wheels, read = self.knowledge.offered(project, floors=not self.lenient), self.knowledge.learned.stamp(project)
        companions = self._companions(project)
        made_from = (self.identity(project), companions, read, self.knowledge.extras[project])
        cached = self._unruled.get(project)
        if (
            cached is None
            or cached.wheels is not wheels
            or cached.made_from != made_from
            or not self._is_spelled_so(cached.spelling)
        ):
            self._noted.clear()
            by_url, ruled = self._ruled_wheels(offer, project, wheels)
            records, of_url = tuple(r for r, _ in by_url.values()), {url: wheel for url, (_, wheel) in by_url.items()}
            if ruled:
                offer.wheels.update(of_url)
                return records
            spelling = {name: self._spelled(name) for name in self._noted}
            cached = self._unruled[project] = _Unruled(wheels, made_from, spelling, records, of_url)
        offer.wheels.update(cached.by_url)
        return cached.records

    def _spelled(self, name: str) -> tuple[str, VersionSpace]:
        """Return how a project is spelled now, and note that this was asked."""
        self._noted.add(name)
        if name not in self._now:
            self._now[name] = (self.identity(name), self.space(name))
        return self._now[name]

    def _is_spelled_so(self, spelling: Spelling) -> bool:
        self._noted.update(spelling)
        return all(self._spelled(name) == before for name, before in spelling.items())

    def _ruled_wheels(
        self, offer: Offer, project: str, wheels: Sequence[Wheel]
    ) -> tuple[dict[str, tuple[rattler.RepoDataRecord, Wheel]], bool]:
        """Return the records of wheels by their URL, and whether a rule or a build of the matrix is in any."""
        identity, found, ruled = self.identity(project), {}, False
        rules = self._rules_by_version(project, {w.text for w in wheels})
        for wheel in wheels:
            fired = tuple(r for r in rules.get(wheel.text, ()) if fires(r, "pypi", wheel.build, wheel.file))
            each = self.book.wheel(project, wheel.text, wheel.file.index)
            for number, taken in enumerate(each):
                build = wheel.build if len(each) == 1 else f"t{number}_{wheel.build}"
                of_it = (*fired, *taken.rules, *self._mute(project, wheel, taken))
                record = self._wheel_record(wheel, identity, of_it, build, preferred=taken.preferred)
                if of_it:
                    offer.fired[record.url] = of_it
                if taken.id:
                    offer.taken[record.url] = taken
                ruled = ruled or bool(of_it or taken.id)
                found[record.url] = (record, wheel)
        return found, ruled

    def _mute(self, project: str, wheel: Wheel, taken: Taken) -> tuple[Rule, ...]:
        """Return what holds besides where nobody knows a build, and its own metadata names no part of CUDA."""
        assert self.knowledge is not None
        metadata = None if taken.known else self.knowledge.learned.presumed(wheel)
        if metadata is None:
            return ()
        needed, _ = applying(metadata, self.pythons, wheel.pythons, self.knowledge.extras[wheel.file.name])
        said = any(one.dependency.name in self.book.needs.parts for one in needed)
        return () if said else self.book.mute(project)

    def _announced(self, offer: Offer, project: str) -> Iterator[rattler.RepoDataRecord]:
        """Yield the wheels that further indexes have by the account of the matrix."""
        assert self.knowledge is not None
        announced = self.knowledge.announced(project, floors=not self.lenient)
        rules = self._rules_by_version(project, {one.version for one in announced})
        for one in announced:
            pythons = self.pythons.of_minors(one.pythons)
            python = match_spec(self.pythons.name, version=self.pythons.spec(pythons) or IMPOSSIBLE)
            static = (rule for rule in rules.get(one.version, ()) if rule.when and rule.when.world != "conda")
            fired = tuple(dict.fromkeys((*one.rules, *static)))
            record = self._own(
                offer, project, one.version, f"announced{WHEEL_BUILD}", PYPI_BUILD_NUMBER, (python,), fired
            )
            offer.announced[record.url] = one
            if one.variant:
                offer.taken[record.url] = Taken(one.variant, one.rules)
            yield record

    def _stand_ins(self, offer: Offer, project: str) -> Iterator[rattler.RepoDataRecord]:
        """Yield a project without wheels as each of those that stand for it."""
        assert self.knowledge is not None
        for place, other in enumerate(self.book.needs.stand_ins.get(project, ())):
            for version in dict.fromkeys(w.text for w in self.knowledge.offered(other, floors=not self.lenient)):
                needed = self.bound(Bound(package=other, specifier=f"=={version}"))
                build = f"as_{other.replace('-', '_')}{WHEEL_BUILD}"
                yield self._own(offer, project, version, build, PYPI_BUILD_NUMBER + place, (needed,), ())

    def _wheel_record(
        self, wheel: Wheel, identity: str, fired: tuple[Rule, ...], build: str, *, preferred: bool
    ) -> rattler.RepoDataRecord:
        """Return a wheel's record, made anew only when something that its dependencies are spelled with has grown."""
        assert self.knowledge is not None
        metadata, extras = self.knowledge.learned.presumed(wheel), self.knowledge.extras[wheel.file.name]
        plain = metadata is None and not fired
        companions = self._companions(wheel.file.name)
        made_from = () if plain else (id(metadata), extras, companions, self._spelled_with(fired))
        cached = self._records.get((wheel.file.url, build))
        if cached is None or cached.made_from != made_from or not self._is_spelled_so(cached.spelling):
            before, self._noted = self._noted, set()
            spec = make_record(
                wheel,
                identity,
                metadata,
                self._naming,
                extras,
                companions=companions,
                build=build,
                preferred=preferred,
            )
            spelling = {name: self._spelled(name) for name in self._noted}
            self._noted |= before
            cached = _Made(made_from, spelling, own_record(self._with_rules(spec, fired)))
            self._records[wheel.file.url, build] = cached
        return cached.record

    def _companions(self, project: str) -> frozenset[str]:
        """Return the frameworks of which a project's own extras of their names say what it works with."""
        assert self.knowledge is not None
        return frozenset[str]() if self.lenient else self.frameworks - self.knowledge.needed_by[project]

    @property
    def _grown(self) -> tuple[int, int]:
        """A number that changes whenever a package's known versions may have."""
        known = self.knowledge
        if known is None:
            return (0, len(self._identities))
        grown = len(known.projects) + len(known.opened) + len(known.silent) + known.as_if_heard
        return (grown, len(self._identities))

    def _offer_conda(self, offer: Offer, identity: str, projects: Sequence[str]) -> None:
        """Answer for a package's channel records, unless nothing needs it: wheels beside them, or a rule that fires."""
        records = self.conda_records(projects[0])
        fired = self._fired(identity, projects, records)
        if identity not in offer.records and not any(rules for _, rules in fired):
            return
        ours = offer.records.setdefault(identity, [])
        for record, (taken, rules) in zip(records, fired, strict=True):
            copy = self._amended(record, rules)
            offer.conda[copy.url] = record.record
            if rules:
                offer.fired[copy.url] = rules
            if taken.id:
                offer.taken[copy.url] = taken
            ours.append(copy)

    def _fired(
        self, identity: str, projects: Sequence[str], records: Sequence[ChannelRecord]
    ) -> Sequence[tuple[Taken, tuple[Rule, ...]]]:
        """Return what each record is taken for, and its rules; they are made again when known versions have grown."""
        cached = self._fires.get(identity)
        if cached is None or cached[0] != (self._grown, len(projects)):
            package, versions = f"{CONDA_ONLY}{identity}", {r.version for r in records}
            found = [self._rules_by_version(project, versions) for project in (*projects, package)]
            rules = []
            for record in records:
                taken = self.book.record(package, record.version, record.build, record.channel_name)
                own = (r for each in found for r in each.get(record.version, ()))
                fired = (r for r in own if fires(r, "conda", record.build, record))
                read = self.book.read(package, record.version)
                rules.append(
                    (
                        taken,
                        tuple(dict.fromkeys((*fired, *read, *taken.rules, *self._mute_record(package, record, taken)))),
                    )
                )
            cached = ((self._grown, len(projects)), rules)
            self._fires[identity] = cached
        return cached[1]

    def _mute_record(self, package: str, record: ChannelRecord, taken: Taken) -> tuple[Rule, ...]:
        if taken.known:
            return ()
        needed = (f"{CONDA_ONLY}{text.partition(' ')[0]}" for text in record.record.depends)
        return () if any(name in self.book.needs.parts for name in needed) else self.book.mute(package)

    def _amended(self, record: ChannelRecord, rules: Sequence[Rule]) -> rattler.RepoDataRecord:
        made_from = self._spelled_with(rules)
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
        if not project.startswith(CONDA_ONLY):
            found = {version: list(read) for version in versions if (read := self.book.read(project, version))}
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
        depends = [self.bound(b) for rule in fired if rule.requires for b in rule.then if not self._is_unread(b)]
        constrains = [self.bound(b) for rule in fired if not rule.requires for b in rule.then]
        return depends, constrains

    def unread(self, rules: Iterable[Rule]) -> Iterator[Bound]:
        """Yield what rules require and nobody has looked up: like METADATA, it is read when its owner is chosen."""
        return (bound for rule in rules if rule.requires for bound in rule.then if self._is_unread(bound))

    def _spelled_with(self, rules: Sequence[Rule]) -> object:
        """Return what changes whenever the specs of rules may."""
        return (self._grown, len(rules), *(bound for bound in self.unread(rules))) if rules else ()

    def _is_unread(self, bound: Bound) -> bool:
        known = self.knowledge
        if known is None or bound.world == "conda" or bound.package.startswith((AXIS, CONDA_ONLY)):
            return False
        return bound.package != self.pythons.name and not known.has_met(bound.package, bound.specifier)


def _name_in_channels(project: str) -> str | None:
    """Return what channels call a project (``conda:NAME`` for conda-only names); None where they have none for it."""
    if project.startswith(CONDA_ONLY):
        return project.removeprefix(CONDA_ONLY)
    name = conda_name(project)
    if name is None and pypi_names(project) is None:
        return project  # nobody has said what a channel means by it: the same name is the same thing
    if name is not None and (pypi_names(name) or (project,))[0] != project:
        # a conda package that holds several projects is the identity of the first alone
        return name if name == project else None
    return name


def axis_package(axis: str) -> str:
    """Return the package that an axis is: no project and no conda package has such a name."""
    return axis.replace(":", ".").replace("+", "-")


def _host_python(name: str, version: str) -> rattler.RepoDataRecord:
    return own_record(
        RecordSpec(name=name, version=version, build="host", build_number=0, depends=(), extra_depends={})
    )
