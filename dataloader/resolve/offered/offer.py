"""The records that we answer for in one solve: wheels, amended channel records, this machine's Pythons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import rattler

from dataloader.compat.model import AXIS, Announced, Bound, Rule
from dataloader.resolve.channels.rattler import Channels, amended, own_record
from dataloader.resolve.offered.identities import CONDA_ONLY, ChannelRecord, Names, axis_package
from dataloader.resolve.offered.memos import MadeRecord, Spelling, UnruledRecords
from dataloader.resolve.words.projects import PYPI_BUILD_NUMBER, WHEEL_BUILD, Wheel
from dataloader.resolve.words.pythons import Pythons
from dataloader.resolve.words.records import IMPOSSIBLE, Naming, RecordSpec, applying, make_record, match_spec
from dataloader.resolve.words.ruled_out import RuledOut
from dataloader.resolve.words.rules import RuleBook, TakenFor, fires
from dataloader.resolve.words.versions import VersionSpace


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
    taken: dict[str, TakenFor] = field(default_factory=dict)
    """URL of a record of ours -> what build of a framework it is taken for."""
    announced: dict[str, Announced] = field(default_factory=dict)
    """URL of a record of ours -> the wheel of a further index, whose page has not been read."""


class Catalogue(Names):
    """The records of ours, besides what each name means."""

    def __init__(
        self,
        channels: Channels,
        pythons: Pythons,
        book: RuleBook,
        hosts: Sequence[str],
        frameworks: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(channels, pythons, book)
        self.lenient = False
        """Offer also what nobody vouches for, and let no ``records.companion_bounds`` bind."""
        self.hosts, self.frameworks = tuple(hosts), frameworks
        self.ruled_out = RuledOut(book, self.space)
        self._records: dict[tuple[str, str], MadeRecord] = {}
        self._now: Spelling = {}
        """How projects are spelled in the offer that is being made."""
        self._noted: set[str] = set()
        """Projects whose spelling was asked for."""
        self._unruled: dict[str, UnruledRecords] = {}
        self._copies: dict[str, tuple[object, rattler.RepoDataRecord]] = {}
        self._fires: dict[str, tuple[object, list[tuple[TakenFor, tuple[Rule, ...]]]]] = {}
        self._naming = Naming(lambda name: self._spelled(name)[0], lambda name: self._spelled(name)[1], pythons)

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
        self._offer_unread(offer)
        for identity, projects in self._by_identity().items():
            beside = identity not in offer.records or not conda_of.isdisjoint(projects)
            if beside and not (conda_of | self.book.triggers).isdisjoint(projects):
                self._offer_conda(offer, identity, projects)
        return offer

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
            cached = MadeRecord(made_from, {}, own_record(self._with_rules(spec, fired)))
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

    def _offer_unread(self, offer: Offer) -> None:
        """Offer something for each project whose page is still to come: what is refuted beside it is refuted at all."""
        for project in sorted(self.knowledge.unread()) if self.knowledge is not None else ():
            offer.records.setdefault(self.identity(project), [self._own(offer, project, "0", "unread", 0, (), ())])

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
            cached = self._unruled[project] = UnruledRecords(wheels, made_from, spelling, records, of_url)
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
            read = self.book.wheel(project, wheel.text, wheel.file.index, otherwise=wheel.is_built_otherwise)
            for number, taken in enumerate(read):
                build = wheel.build if len(read) == 1 else f"t{number}_{wheel.build}"
                of_it = (*fired, *taken.rules, *self._mute(project, wheel, taken))
                record = self._wheel_record(wheel, identity, of_it, build, preferred=taken.preferred)
                if of_it:
                    offer.fired[record.url] = of_it
                if taken.id:
                    offer.taken[record.url] = taken
                ruled = ruled or bool(of_it or taken.id)
                found[record.url] = (record, wheel)
        return found, ruled

    def _mute(self, project: str, wheel: Wheel, taken: TakenFor) -> tuple[Rule, ...]:
        """Return what holds besides where nobody knows a build, and its own metadata names no part of CUDA."""
        assert self.knowledge is not None
        metadata = None if taken.known else self.knowledge.learned.presumed(wheel)
        if metadata is None:
            return ()
        needed, _ = applying(metadata, self.pythons, wheel.pythons, self.knowledge.extras[wheel.file.name])
        said = any(needed.dependency.name in self.book.needs.parts for needed in needed)
        return () if said else self.book.mute(project)

    def _announced(self, offer: Offer, project: str) -> Iterator[rattler.RepoDataRecord]:
        """Yield the wheels that further indexes have by the account of the matrix."""
        assert self.knowledge is not None
        announced = self.knowledge.announced(project, floors=not self.lenient)
        rules = self._rules_by_version(project, {known.version for known in announced})
        for build in announced:
            pythons = self.pythons.of_minors(build.pythons)
            python = match_spec(self.pythons.name, version=self.pythons.spec(pythons) or IMPOSSIBLE)
            static = (rule for rule in rules.get(build.version, ()) if rule.when and rule.when.world != "conda")
            fired = tuple(dict.fromkeys((*build.rules, *static)))
            name, needs = f"announced{WHEEL_BUILD}", (python, *self._likewise(build))
            record = self._own(offer, project, build.version, name, PYPI_BUILD_NUMBER, needs, fired)
            offer.announced[record.url] = build
            if build.variant:
                offer.taken[record.url] = TakenFor(build.variant, build.rules)
            yield record

    def _likewise(self, announced: Announced) -> Sequence[str]:
        """Return what a wheel surely needs of which only the question is whether it would help: as PyPI's own does."""
        assert self.knowledge is not None
        if not (self.knowledge.further.as_if_heard and announced.on_pypi):
            return ()
        public = announced.version.partition("+")[0]
        for wheel in self.knowledge.usable(announced.project):
            if wheel.text == public and (metadata := self.knowledge.learned.of(wheel)) is not None:
                extras = self.knowledge.extras[announced.project]
                depends = make_record(wheel, self.identity(announced.project), metadata, self._naming, extras).depends
                return [text for text in depends if not text.startswith((self.pythons.name, "__"))]
        return ()

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
            own = self.knowledge.learned.of(wheel)
            spec = make_record(
                wheel,
                identity,
                metadata,
                self._naming,
                extras,
                companions=companions,
                build=build,
                preferred=preferred,
                requires_python=own.requires_python if own else None,
            )
            spelling = {name: self._spelled(name) for name in self._noted}
            self._noted |= before
            cached = MadeRecord(made_from, spelling, own_record(self._with_rules(spec, fired)))
            self._records[wheel.file.url, build] = cached
        return cached.record

    def _companions(self, project: str) -> frozenset[str]:
        """Return the frameworks of which a project's own extras of their names say what it works with."""
        assert self.knowledge is not None
        return frozenset[str]() if self.lenient else self.frameworks - self.knowledge.needed_by[project]

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
    ) -> Sequence[tuple[TakenFor, tuple[Rule, ...]]]:
        """Return what each record is taken for, and its rules; they are made again when known versions have grown."""
        cached = self._fires.get(identity)
        if cached is None or cached[0] != (self._grown, len(projects)):
            package, versions = f"{CONDA_ONLY}{identity}", {r.version for r in records}
            found = [self._rules_by_version(project, versions) for project in (*projects, package)]
            rules = []
            for record in records:
                taken = self.book.record(package, record.version, record.build, record.channel_name)
                own = (r for rules in found for r in rules.get(record.version, ()))
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

    def _mute_record(self, package: str, record: ChannelRecord, taken: TakenFor) -> tuple[Rule, ...]:
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


def _host_python(name: str, version: str) -> rattler.RepoDataRecord:
    return own_record(
        RecordSpec(name=name, version=version, build="host", build_number=0, depends=(), extra_depends={})
    )
