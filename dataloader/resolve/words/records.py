"""Wheels as records of the package problem: what each depends on, in the solver's words. Pure.

A project becomes a package, each usable wheel a record. Requires-Python and the interpreter tag become a dependency
on ``python``, ``manylinux_2_28`` one on ``__glibc``, an extra an optional group, a marker on the Python version a
condition. A wheel whose METADATA has not been read yet carries no dependencies: the solver is asked again when it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as Pep508
from packaging.specifiers import InvalidSpecifier
from packaging.utils import canonicalize_name

from dataloader.base.values import dataclass
from dataloader.index.model import WheelMetadata
from dataloader.resolve.words.projects import PREFERRED, PYPI_BUILD_NUMBER, Wheel
from dataloader.resolve.words.pythons import InvalidMarker, Pythons, PythonSet, extras_named
from dataloader.resolve.words.versions import VersionSpace

_VIRTUAL = {"glibc": "__glibc", "macos": "__osx"}
"""Which virtual package stands for the oldest system that a wheel runs on; musl has none."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """One parsed ``Requires-Dist``."""

    name: str
    specifier: str
    extras: tuple[str, ...]
    marker: str
    text: str
    url: str | None = None


@lru_cache(maxsize=65536)
def parse_dependency(text: str) -> Dependency | None:
    """Parse a ``Requires-Dist`` value; ``None`` when it is not PEP 508."""
    try:
        parsed = Pep508(text)
    except InvalidRequirement:
        return None
    return Dependency(
        name=canonicalize_name(parsed.name),
        specifier=str(parsed.specifier),
        extras=tuple(sorted(canonicalize_name(e) for e in parsed.extras)),
        marker=str(parsed.marker) if parsed.marker else "",
        text=text,
        url=parsed.url,
    )


@dataclass(frozen=True, slots=True)
class Needed:
    """A dependency as it applies: for which Pythons, and under which extra (``""``: always)."""

    dependency: Dependency
    pythons: PythonSet
    extra: str = ""


@lru_cache(maxsize=16384)
def applying(
    metadata: WheelMetadata, pythons: Pythons, among: PythonSet, extras: frozenset[str]
) -> tuple[tuple[Needed, ...], tuple[str, ...]]:
    """Return what ``metadata`` asks for on the Pythons ``among`` with ``extras``, and the entries nobody can read."""
    needed: list[Needed] = []
    unreadable: list[str] = []
    for text in metadata.requires_dist:
        if _is_of_other_extras(text, extras):
            continue
        dependency = parse_dependency(text)
        if dependency is None:
            unreadable.append(text)
            continue
        try:
            needed += _cases(dependency, pythons, among, extras)
        except (InvalidMarker, InvalidSpecifier):
            unreadable.append(text)
    return tuple(needed), tuple(unreadable)


def _is_of_other_extras(text: str, extras: frozenset[str]) -> bool:
    """Say whether an entry plainly stands under extras that nobody asked for: most entries of large projects do.

    A marker that joins its parts with ``or`` may hold without the extra, so it is left to the parser.
    """
    marker = text.partition(";")[2]
    if "extra" not in marker or " or " in marker:
        return False
    named = extras_named(marker)
    return bool(named) and all(canonicalize_name(extra) not in extras for extra in named)


def _cases(dependency: Dependency, pythons: Pythons, among: PythonSet, extras: frozenset[str]) -> list[Needed]:
    if not dependency.marker:
        return [Needed(dependency, among)]
    always = pythons.where(dependency.marker) & among
    cases = [Needed(dependency, always)] if always else []
    for extra in sorted({e for e in extras_named(dependency.marker) if canonicalize_name(e) in extras}):
        more = (pythons.where(dependency.marker, extra) & among) - always
        if more:
            cases.append(Needed(dependency, more, canonicalize_name(extra)))
    return cases


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSpec:
    """A record of the problem, still in plain values."""

    name: str
    version: str
    build: str
    build_number: int
    depends: tuple[str, ...]
    extra_depends: Mapping[str, tuple[str, ...]]
    constrains: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """Unique within the problem, in the shape the solver insists on."""
        return f"{self.name}-{self.version}-{self.build}.conda"


class Naming:
    """How dependencies on projects are spelled: identity and version space of each project."""

    def __init__(
        self, identity: Callable[[str], str], space: Callable[[str], VersionSpace | None], pythons: Pythons
    ) -> None:
        self.identity = identity
        self.space = space
        self.pythons = pythons

    def spell(self, dependency: Dependency, where: PythonSet | None, among: PythonSet) -> str:
        """Return the match spec for a dependency that holds on the Pythons ``where`` out of ``among``."""
        condition = None if where is None or where == among else self.pythons.spec(where)
        return match_spec(
            self.identity(dependency.name),
            version=self.version(dependency),
            extras=dependency.extras,
            when=f"{self.pythons.name} {condition}" if condition and condition != "*" else None,
        )

    def knows(self, name: str) -> bool:
        """Say whether any version of a project is known."""
        space = self.space(name)
        return space is not None and len(space) > 0

    def version(self, dependency: Dependency) -> str:
        """Return the conda version spec of a dependency; an impossible one when nothing known fits."""
        space = self.space(dependency.name)
        if space is None or not len(space):
            return "*"
        return space.spec(dependency.specifier) or IMPOSSIBLE


IMPOSSIBLE = "==0a0.dev0.no.such.version"
"""A version spec that no version meets, for a specifier that no known version meets."""


def match_spec(
    name: str,
    *,
    version: str = "*",
    build: str | None = None,
    build_number: str | None = None,
    extras: tuple[str, ...] = (),
    when: str | None = None,
) -> str:
    """Spell a match spec in brackets: ``numpy[version='>=1,<2',when='python <3.11']``."""
    parts = [f"version='{version}'"] if version != "*" else []
    parts += [f"build='{build}'"] if build else []
    parts += [f"build_number='{build_number}'"] if build_number else []
    parts += [f"extras=[{','.join(extras)}]"] if extras else []
    parts += [f"when='{when}'"] if when else []
    return f"{name}[{','.join(parts)}]" if parts else name


@lru_cache(maxsize=8192)
def companion_bounds(metadata: WheelMetadata, frameworks: frozenset[str]) -> tuple[Dependency, ...]:
    """Return the bounds on frameworks under extras of the framework's own name.

    ``torch>=2.4; extra == "torch"`` is how a library says which torch it works with, if torch is there at all. Extras
    of other names (``dev``, ``tests``) say nothing of the kind, nor do those of small projects: what is behind
    ``extra == "redis"`` is a feature that few use, and what is there works without it. Of a library that a framework
    itself requires the framework knows better: its bounds are not asked for.
    """
    found = []
    for text in metadata.requires_dist:
        extras = extras_named(text.partition(";")[2])
        if len(extras) != 1 or not {canonicalize_name(extra) for extra in extras} <= frameworks:
            continue
        dependency = parse_dependency(text)
        if dependency is not None and dependency.specifier and dependency.name == canonicalize_name(next(iter(extras))):
            found.append(dependency)
    return tuple(found)


def make_record(
    wheel: Wheel,
    identity: str,
    metadata: WheelMetadata | None,
    naming: Naming,
    extras: frozenset[str],
    *,
    companions: frozenset[str] = frozenset(),
    build: str = "",
    preferred: bool = False,
    requires_python: str | None = None,
) -> RecordSpec:
    """Turn a wheel into a record; without ``metadata`` it depends on its Python and libc alone.

    A wheel that may be taken for several builds has a record of another ``build`` string for each. The bounds on
    ``companions`` (:func:`companion_bounds`) bind where such a project is chosen. ``requires_python`` is what its own
    METADATA says: a folder, or an index's page, need not repeat it.
    """
    python_spec = naming.pythons.spec(wheel.pythons & naming.pythons.required(requires_python))
    depends = [match_spec(naming.pythons.name, version=python_spec or IMPOSSIBLE)]
    if wheel.fit.floor and (system := _VIRTUAL.get(wheel.fit.floor[0])):
        depends.append(f"{system} >={wheel.fit.floor[1]}.{wheel.fit.floor[2]}")
    optional: dict[str, list[str]] = {}
    constrains: list[str] = []
    if metadata is not None:
        needed, _ = applying(metadata, naming.pythons, wheel.pythons, extras)
        for need in needed:
            spec = naming.spell(need.dependency, need.pythons, wheel.pythons)
            (optional.setdefault(need.extra, []) if need.extra else depends).append(spec)
        constrains = [
            match_spec(naming.identity(bound.name), version=naming.version(bound))
            for bound in companion_bounds(metadata, companions)
            if naming.knows(bound.name) and naming.pythons.where(bound.marker, bound.name) & wheel.pythons
        ]
    return RecordSpec(
        name=identity,
        version=wheel.text,
        build=build or wheel.build,
        build_number=PYPI_BUILD_NUMBER + wheel.fit.rank + (PREFERRED if preferred else 0),
        depends=tuple(dict.fromkeys(depends)),
        extra_depends={extra: tuple(dict.fromkeys(specs)) for extra, specs in sorted(optional.items())},
        constrains=tuple(dict.fromkeys(constrains)),
    )


def extras_closure(metadata: WheelMetadata, extras: frozenset[str]) -> frozenset[str]:
    """Return ``extras`` and those that they name in turn (``pkg[all]`` requiring ``pkg[a,b]``)."""
    reached, frontier = set(extras), set(extras)
    while frontier:
        found: set[str] = set()
        for text in metadata.requires_dist:
            name, bracket, _ = text.partition("[")
            if not bracket or canonicalize_name(name.strip()) != metadata.name:
                continue
            dependency = parse_dependency(text)
            if dependency is None or not dependency.extras:
                continue
            if {canonicalize_name(e) for e in extras_named(dependency.marker)} & frontier:
                found |= set(dependency.extras)
        frontier = found - reached
        reached |= frontier
    return frozenset(reached)
