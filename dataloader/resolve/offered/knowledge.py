"""What the solver is shown of the indexes: grows in steps that depend on the answers alone, never on their timing.

A step asks for projects, reads their pages, makes the METADATA of each one's likely candidate known, and asks for what
those need, until nothing new comes up. When the solver then chooses, most of what it chooses is known already.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dataloader.base.errors import IndexUnavailable
from dataloader.base.tasks import together
from dataloader.compat.model import Announced
from dataloader.index.model import WheelMetadata
from dataloader.resolve.offered.early import EarlyReleases
from dataloader.resolve.offered.further import FurtherIndexes
from dataloader.resolve.offered.learned import KnownMetadata
from dataloader.resolve.offered.memos import NOTHING, Memos, Offered
from dataloader.resolve.offered.reader import Index, Reader, Sorter
from dataloader.resolve.words.projects import Project, Wheel, versions_of
from dataloader.resolve.words.pythons import Pythons
from dataloader.resolve.words.records import applying, companion_bounds, extras_closure
from dataloader.resolve.words.versions import VersionSpace, has_lower_bound, series

SAMPLES = 12
"""Releases that are looked at where all are presumed alike."""
MAX_AHEAD = 64
"""Candidates of one project that are read at once when one after the other is refuted."""


class Knowledge:
    """Pages and METADATA shown so far. Never forgets."""

    def __init__(
        self,
        index: Index,
        sort: Sorter,
        pythons: Pythons,
        *,
        likely_python: str,
        prereleases: bool = False,
        ruled_out: Callable[[str, str], bool] = lambda _name, _version: False,
        paired: Collection[str] = (),
        announced: Mapping[str, tuple[Announced, ...]] | None = None,
        exclude_newer: str | None = None,
    ) -> None:
        self.projects: dict[str, Project] = {}
        self.extras: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """Extras that anything has asked of a project."""
        self.pinned: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """Versions that the user names exactly: offered though yanked or a pre-release."""
        self.held: dict[str, str] = {}
        """Versions that an older lock holds: offered whatever their age."""
        self.settled: dict[str, str] = {}
        """Frameworks whose version is as good as chosen: candidates whose own extras exclude it are passed over."""
        self.floors = True
        """Leave out what nobody vouches for (see :meth:`offered`) when reading the candidates that come next."""
        self.alone = False
        """Nothing but these indexes has packages: what they do not have is not there."""
        self.replaceable: frozenset[str] = frozenset()
        """Projects that others may stand for: that they have no wheel says nothing."""
        self.required: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """Specifiers that the user's own requirements put on a project."""
        self.needed_by: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
        """Project to those whose wheels were read and require it."""
        self.reader = Reader(index, sort, self)
        self.learned = KnownMetadata()
        self.further = FurtherIndexes(announced or {}, exclude_newer)
        self._ruled_out, self._paired = cache(ruled_out), paired
        self._pythons, self._likely_python = pythons, likely_python
        self._specifiers: defaultdict[str, set[str]] = defaultdict(set)
        self._hints: defaultdict[str, set[str]] = defaultdict(set)
        self.early = EarlyReleases(everywhere=prereleases)
        self._memos = Memos()
        self._broken: set[str] = set()
        self._skip: frozenset[str] = frozenset()
        self._fresh: set[str] = set()
        self._seen: set[tuple[str, frozenset[str]]] = set()
        self._unchecked: list[tuple[str, str]] = []
        """Needs of likely candidates, as name and specifier, that have not been held against what there is."""

    # -- what is known

    def usable(self, name: str) -> tuple[Wheel, ...]:
        """Return the wheels of an asked project that may be offered, newest version first."""
        project = self.projects.get(name)
        if project is None:
            return ()
        early = self.early.are_open(project, self.required[name], self._specifiers[name])
        key = (early, self.pinned[name], len(self._broken))
        cached = self._memos.usable.get(name)
        if cached is None or cached[:3] != key:
            wheels = project.usable(prereleases=key[0], pinned=key[1])
            cached = (*key, tuple(w for w in wheels if w.file.url not in self._broken))
            self._memos.usable[name] = cached
        return cached[3]

    def offered(self, name: str, *, floors: bool = True) -> tuple[Wheel, ...]:
        """Return the usable wheels that can be chosen: those that at least one specifier met so far admits.

        With ``floors`` a version that nobody vouches for is left out: admitted only by requirements that name no lower
        bound, and older than the newest two series that they admit. Those speak for the releases of their time, and a
        solver that may go back without end answers a conflict with a ten-year-old release. Projects of which each
        release was made for one of another (``paired``) need nobody to vouch for them.
        """
        specifiers, wheels, space = self._specifiers[name], self.usable(name), self.space(name)
        known = self._memos.offered.get((name, floors))
        if known is None or known.usable is not wheels or known.space is not space:
            texts = {w.text: w.version for w in wheels if not self._ruled_out(name, w.text)}
            known = self._memos.offered[name, floors] = Offered(wheels, space, texts)
        if len(known.specifiers) != len(specifiers):
            for specifier in specifiers - known.specifiers:
                known.worth |= self._vouched_for(name, specifier, known.versions, floors=floors)
            known.specifiers |= specifiers
            known.wheels = tuple(w for w in wheels if w.text in known.worth)
        return known.wheels

    def announced(self, name: str, *, floors: bool = True) -> tuple[Announced, ...]:
        """Return the wheels of a project that further indexes have by the matrix's account, and were not looked up."""
        if name not in self.projects:
            return ()
        known = self.further.unopened(name)
        versions = {
            announced.version: Version(announced.version)
            for announced in known
            if not self._ruled_out(name, announced.version)
        }
        vouched = (
            self._vouched_for(name, specifier, versions, floors=floors)
            for specifier in self._specifiers[name]
            if versions
        )
        texts = {text for found in vouched for text in found}
        return tuple(announced for announced in known if announced.version in texts)

    def _vouched_for(
        self, name: str, specifier: str, versions: Mapping[str, Version], *, floors: bool
    ) -> AbstractSet[str]:
        """Return those of ``versions`` that a specifier vouches for, whatever else was said."""
        fitting = self.space(name).admitted(specifier) & versions.keys()
        if not floors or name in self._paired or has_lower_bound(specifier):
            return fitting
        recent = set(sorted({series(versions[text]) for text in fitting}, reverse=True)[:2])
        held = self.held.get(name)
        return {text for text in fitting if text == held or series(versions[text]) in recent}

    def space(self, name: str) -> VersionSpace:
        """Return the versions of a project's wheels."""
        if name not in self._memos.spaces:
            if name not in self.projects:
                return NOTHING
            wheels, further = (
                versions_of(self.projects[name]),
                [announced.version for announced in self.further.unopened(name)],
            )
            self._memos.spaces[name] = VersionSpace((*wheels.admitted(""), *further)) if further else wheels
        return self._memos.spaces[name]

    def asked(self) -> frozenset[str]:
        """Return the names of all projects that something asked for."""
        return frozenset(self._specifiers)

    def unread(self) -> AbstractSet[str]:
        """Return the projects that something asked for and whose pages are still to be read."""
        return self._fresh - self.projects.keys()

    def has_met(self, name: str, specifier: str) -> bool:
        """Say whether anything wanted a project so."""
        return specifier in self._specifiers.get(name, ())

    # -- how it grows

    def skip(self, names: Iterable[str]) -> None:
        """From now on read no pages of these projects; those that were skipped until now and asked for are due."""
        before, self._skip = self._skip, frozenset(names)
        self._fresh |= (before - self._skip) & self._specifiers.keys()

    def ask(self, name: str, specifier: str = "", extras: Iterable[str] = ()) -> None:
        """Note that something wants a project; :meth:`grow` reads it."""
        wanted = frozenset(extras) | self.extras[name]
        if specifier in self._specifiers[name] and wanted == self.extras[name]:
            return
        self._specifiers[name].add(specifier)
        self.extras[name] = wanted
        self.early.meet(name, specifier)
        if name not in self._skip:
            self._fresh.add(name)
            self.reader.warm(name, specifier)

    def share(self, project: str, others: Iterable[str]) -> None:
        """Ask of those that stand for a project what was asked of it."""
        for other in others:
            for specifier in sorted(self._specifiers[project]):
                self.ask(other, specifier)

    def hint(self, name: str, specifier: str) -> None:
        """Note that a project will probably be bound so, if something asks for it: read ahead accordingly."""
        self._hints[name].add(specifier)

    async def learn(self, wheels: Iterable[Wheel]) -> None:
        """Read the METADATA of wheels and ask for what they need."""
        new = [w for w in wheels if self.learned.of(w) is None]
        for wheel, metadata in zip(new, await together([self.reader.metadata(w) for w in new]), strict=True):
            if metadata is None:
                self._broken.add(wheel.file.url)
            else:
                self.learned.add(wheel, metadata)
        for wheel in wheels:
            self._follow(wheel)

    async def open(self, due: Iterable[tuple[str, str]]) -> None:
        """Read what further indexes have of projects; a host that does not answer is asked no more."""
        for project, url in due:
            try:
                self.projects[project] = await self.reader.further(project, url, self.further.is_in_time)
            except IndexUnavailable as error:
                self.further.note_silent(url, error)
                self.forget_versions()
                continue
            self.further.opened.add((project, url))
            self._memos.spaces.pop(project, None)
            self._memos.usable.pop(project, None)

    def forget_versions(self) -> None:
        """Look up anew which versions there are of projects that further indexes have."""
        for name in self.further.announced:
            self._memos.spaces.pop(name, None)

    async def meet(self, names: Iterable[str]) -> None:
        """Read the pages of those of ``names`` that are asked for and not skipped."""
        await self._read_pages(sorted({n for n in names if n in self._specifiers and n not in self._skip}))

    async def _read_pages(self, names: Iterable[str]) -> None:
        new = [name for name in names if name not in self.projects]
        for name, project in zip(new, await together([self.reader.project(n) for n in new]), strict=True):
            self.projects[name] = project

    async def grow(self) -> None:
        """Read what was asked for, and what the likely candidates need, until nothing new comes up.

        It ends early where a likely candidate cannot be had, for one of its needs is not there or not admitted: what
        else it needs is read only if the solver still wants it, and has no pages until then (``unread``).
        """
        passed: Counter[str] = Counter()
        while self._fresh:
            if self._hopeless():
                return
            names, self._fresh = sorted(self._fresh), set()
            await self._read_pages(names)
            if self._hopeless():
                self._fresh |= set(names)
                return
            likely = {name: wheel for name in names if (wheel := self._pick(name)) is not None}
            await self.learn([w for name, wheel in likely.items() for w in self._batch(name, wheel, passed[name])])
            for name in likely:
                following = self._pick(name)
                if following is not None and self.learned.of(following) is None:
                    passed[name] += 1
                    self._fresh.add(name)

    def _batch(self, name: str, wheel: Wheel, passed: int) -> list[Wheel]:
        """Return a candidate and, if others were passed over before it, the next few: each time four times as many."""
        return [wheel, *self.next_candidates(name, wheel, min(4**passed - 1, MAX_AHEAD))]

    def _follow(self, wheel: Wheel) -> None:
        metadata = self.learned.of(wheel)
        if metadata is None:
            return
        extras = extras_closure(metadata, self.extras[wheel.file.name])
        self.extras[wheel.file.name] = extras
        if (wheel.file.url, extras) in self._seen:
            return
        self._seen.add((wheel.file.url, extras))
        for need in applying(metadata, self._pythons, wheel.pythons, extras)[0]:
            if need.dependency.name != wheel.file.name:
                self.needed_by[need.dependency.name] |= {wheel.file.name}
                if self._likely_python in need.pythons:
                    self._unchecked.append((need.dependency.name, need.dependency.specifier))
                self.ask(need.dependency.name, need.dependency.specifier, need.dependency.extras)

    def _hopeless(self) -> bool:
        """Say whether a need of a likely candidate that was not looked at yet cannot be met."""
        unchecked, self._unchecked = self._unchecked, []
        if not self.alone:
            return False
        self._unchecked = [need for need in unchecked if need[0] not in self.projects]  # their turn comes
        return any(self._cannot_be_met(*need) for need in unchecked if need[0] in self.projects)

    def _cannot_be_met(self, name: str, specifier: str) -> bool:
        if name in self.replaceable:
            return False
        usable, texts = self.usable(name), self._memos.texts.get(name)
        if texts is None or texts[0] is not usable:
            texts = self._memos.texts[name] = (usable, frozenset(wheel.text for wheel in usable))
        space, admitted = (
            self.space(name),
            texts[1].union(announced.version for announced in self.further.unopened(name)),
        )
        for bound in (specifier, *self.required[name]):
            admitted &= space.admitted(bound)
        return not admitted

    def next_candidates(self, name: str, below: Wheel, count: int) -> list[Wheel]:
        """Return the ``count`` candidates after ``below`` that will be tried if it is refuted."""
        wheels = [w for w in self.offered(name, floors=self.floors) if w.pythons & below.pythons]
        return wheels[wheels.index(below) + 1 :][:count] if below in wheels else []

    def names_early(self, name: str, chosen: Iterable[Wheel]) -> bool:
        """Say whether what is asked for, or one of the chosen wheels, names pre-releases of a project."""
        known = (self.learned.of(wheel) for wheel in chosen)
        needs = (text for metadata in known if metadata is not None for text in metadata.requires_dist)
        return self.early.are_named(name, self.required[name], needs)

    def samples(self, name: str, chosen: Wheel | None) -> list[Wheel]:
        """Return unread candidates from all over a project; of those about a chosen one, as many as are read ahead."""
        wheels = list(self.offered(name, floors=self.floors))
        unread = [wheel for wheel in wheels if self.learned.of(wheel) is None]
        if chosen is not None and chosen in wheels:
            newer = wheels[: wheels.index(chosen)]
            read = max((place for place, wheel in enumerate(newer) if self.learned.of(wheel)), default=-1)
            unread = newer[read + 1 :]
        step = -(-len(unread) // (SAMPLES if chosen is None else MAX_AHEAD)) or 1
        return unread[::-step][::-1]

    def newest(self, name: str, specifier: str) -> Wheel | None:
        """Return the newest usable candidate that a specifier admits."""
        admitted = self.space(name).admitted(specifier)
        return next((w for w in self.usable(name) if w.text in admitted), None)

    # -- guesses

    def _pick(self, name: str) -> Wheel | None:
        """Return the newest candidate that all specifiers met so far admit."""
        return self._newest(self.usable(name), self._agreed(self.space(name), name))

    def _agreed(self, space: VersionSpace, name: str) -> frozenset[str]:
        specifiers, hints = self._specifiers[name], self._hints[name]
        made_of = (space, len(specifiers), len(hints))
        known = self._memos.agreements.get(name)
        if known is None or known[:3] != made_of:
            admitted = space.admitted("")
            for specifier in (*sorted(specifiers), *sorted(hints)):
                # candidates that were given up leave specifiers behind that contradict the rest: those do not count
                admitted = (admitted & space.admitted(specifier)) or admitted
            known = self._memos.agreements[name] = (*made_of, admitted)
        return known[3]

    def _newest(self, wheels: tuple[Wheel, ...], admitted: frozenset[str]) -> Wheel | None:
        if wheels and wheels[0].file.name not in self.held:
            first = next((w for w in wheels if w.text in admitted and self._is_likely(w)), None)
            if first is not None:
                return first
        fitting = [w for w in wheels if w.text in admitted]
        fitting = [w for w in fitting if not self._ruled_out(w.file.name, w.text)] or fitting
        usable = [w for w in fitting if self._likely_python in w.pythons] or fitting
        if usable and (held := self.held.get(usable[0].file.name)):
            usable.sort(key=lambda w: w.text != held)
        return next((w for w in usable if not self._is_excluded(w)), usable[0] if usable else None)

    def _is_likely(self, wheel: Wheel) -> bool:
        """Say whether nothing speaks against a wheel."""
        if self._likely_python not in wheel.pythons or self._ruled_out(wheel.file.name, wheel.text):
            return False
        return not self._is_excluded(wheel)

    def _is_excluded(self, wheel: Wheel) -> bool:
        """Say whether a wheel's METADATA, where known, excludes a settled framework."""
        metadata = self.learned.of(wheel)
        return metadata is not None and any(
            not SpecifierSet(bound.specifier).contains(self.settled[bound.name], prereleases=True)
            for bound in companion_bounds(metadata, frozenset(self.settled) - self.needed_by[wheel.file.name])
        )

    def likely(self, project: Project, specifier: str, others: Iterable[str]) -> Wheel | None:
        """Return the newest candidate that ``specifier`` admits, and ``others`` and those met so far if they can."""
        wanted = SpecifierSet(specifier)
        made_of = (project, bool(wanted.prereleases), self.pinned[project.name])
        known = self._memos.guessable.get(project.name)
        if known is None or known[0] is not project or known[1:3] != made_of[1:]:
            wheels = project.usable(prereleases=made_of[1], pinned=made_of[2])
            known = self._memos.guessable[project.name] = (*made_of, wheels)
        wheels, space = known[3], versions_of(project)
        admitted = self._agreed(space, project.name)
        for bound in (specifier, *others):
            admitted = (admitted & space.admitted(bound)) or admitted
        return self._newest(wheels, admitted)

    def wants(self, wheel: Wheel, metadata: WheelMetadata) -> tuple[tuple[str, str], ...]:
        """Return what a wheel needs on the likely Python, for reading ahead."""
        needed, _ = applying(metadata, self._pythons, frozenset({self._likely_python}), self.extras[wheel.file.name])
        return tuple((n.dependency.name, n.dependency.specifier) for n in needed if n.dependency.name not in self._skip)
