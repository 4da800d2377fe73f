"""Rules of the matrix, written into the records they bind. Pure, but for the spelling of versions.

"A in S implies B in T" becomes a constraint (or a dependency) on B in every record of A within S. That is the
implication itself: the solver never has to choose a side, and a rule costs nothing where its ``when`` is not chosen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from dataloader.base.values import dataclass
from dataloader.compat.model import Bound, Rule, StackNeeds, Variant, VersionReading
from dataloader.compat.rows import WorldOrAny
from dataloader.compat.versions import Key, admits, key
from dataloader.resolve.words.projects import PYPI_BUILD_NUMBER, WHEEL_BUILD
from dataloader.resolve.words.records import match_spec


@dataclass(frozen=True, slots=True)
class TakenFor:
    """What one candidate is taken for."""

    id: str
    """The row; empty: no framework's."""
    rules: tuple[Rule, ...]
    preferred: bool = False
    known: bool = True


PLAIN = TakenFor("", ())
"""What is no build of a framework."""


class RuleBook:
    """The rules of a problem by the package that triggers them."""

    def __init__(self, needs: StackNeeds) -> None:
        self.needs = needs
        self.always: list[Rule] = []
        self._by_package: defaultdict[str, list[Rule]] = defaultdict(list)
        self._readings: defaultdict[str, list[VersionReading]] = defaultdict(list)
        self._taken: dict[tuple[str, str, bool], tuple[TakenFor, ...]] = {}
        self._exact: dict[str, Mapping[Key, list[Variant]]] = {}
        for rule in needs.rules:
            if rule.when is None:
                self.always.append(rule)
            else:
                self._by_package[rule.when.package].append(rule)
        for reading in needs.readings:
            self._readings[reading.package].append(reading)
        self.triggers = frozenset((*self._by_package, *self._readings, *needs.variants))
        """Names of the packages (``conda:NAME`` for conda-only ones) that some rule watches."""

    def watching(self, package: str, specifier: str) -> list[Rule]:
        """Return the rules that watch ``package`` for versions of exactly this specifier."""
        return [r for r in self._by_package.get(package, ()) if r.when and r.when.specifier == specifier]

    def specifiers(self, package: str) -> frozenset[str]:
        """Return the specifiers that the rules on ``package`` ask about."""
        return frozenset(rule.when.specifier for rule in self._by_package.get(package, ()) if rule.when)

    def read(self, package: str, version: str) -> tuple[Rule, ...]:
        """Return the rules that a version of a package states itself."""
        return tuple(rule for reading in self._readings.get(package, ()) for rule in reading.rules(version))

    # -- what candidates are taken for

    def wheel(self, project: str, version: str, index: str, *, otherwise: bool = False) -> tuple[TakenFor, ...]:
        """Return what a wheel of an index can be taken for: one thing, or several, or nobody knows what.

        One that was built ``otherwise`` than its release is for everybody is known to nobody.
        """
        if project not in self.needs.variants:
            return (PLAIN,)
        if otherwise:
            return (self._unknown(project),)
        of_another = "+" not in version and index in self.needs.extra_indexes
        found = self._taken.get((project, version, of_another))
        if found is None:
            public, _, local = version.partition("+")
            rows = [] if of_another else [v for v in self._rows(project, public) if v.local == local]
            found = tuple(map(_as, rows)) or (self._unknown(project),)
            self._taken[project, version, of_another] = found
        return found

    def record(self, package: str, version: str, build: str, channel: str) -> TakenFor:
        """Return what a channel's record is taken for."""
        if package not in self.needs.variants:
            return PLAIN
        for variant in self._rows(package, version):
            if variant.channel in ("", channel) and re.fullmatch(build_regex(variant.build or "*"), build):
                return _as(variant)
        return self._unknown(package)

    def _unknown(self, package: str) -> TakenFor:
        return TakenFor(f"{package}-unknown", self.needs.unknown.get(package, ())[:1], known=False)

    def mute(self, package: str) -> tuple[Rule, ...]:
        """Return what holds besides for an unknown build whose metadata says nothing of CUDA."""
        return self.needs.unknown.get(package, ())[1:]

    def _rows(self, package: str, version: str) -> list[Variant]:
        try:
            wanted = key(version)
        except ValueError:
            return []  # a pre-release: no row speaks for one
        if package not in self._exact:
            exact: defaultdict[Key, list[Variant]] = defaultdict(list)
            for variant in self.needs.variants[package]:
                pin = variant.specifier.removeprefix("==")
                exact[key(pin) if _PIN.fullmatch(pin) else RANGES].append(variant)
            self._exact[package] = exact
        rows = self._exact[package]
        return [*rows.get(wanted, ()), *(v for v in rows.get(RANGES, ()) if admits(v.specifier, version))]


RANGES: Key = ((-1,), -1)
"""Stands for variants that speak for many versions."""
_PIN = re.compile(r"\d+(\.\d+)*(\.?post\d+)?", re.ASCII)


def _as(variant: Variant) -> TakenFor:
    return TakenFor(variant.id, variant.rules, variant.preferred)


class Candidate(Protocol):
    """A wheel's file or a channel's record."""

    @property
    def sha256(self) -> str | None:
        """Hex digest, where the source gives one."""


def fires(rule: Rule, world: WorldOrAny, build: str, candidate: Candidate) -> bool:
    """Say whether a candidate of ``world`` with this build string, whose version fits, triggers ``rule``."""
    when = rule.when
    if when is None or when.world not in ("any", world):
        return False
    if when.channel and getattr(candidate, "channel_name", "") != when.channel:
        return False
    if when.sha256 and candidate.sha256 not in (None, "", when.sha256):
        return False
    return world == "pypi" or not when.build or re.fullmatch(build_regex(when.build), build) is not None


def bound_spec(bound: Bound, name: str, version: str) -> str:
    """Spell a bound as a match spec on ``name`` whose version part is already in conda's words."""
    build = bound.build or None
    if build and bound.world == "any":
        # a build matcher binds conda's records only: wheels pass by their ending
        build = f"^({build_regex(bound.build)}|.*{WHEEL_BUILD})$"
    number = {"any": None, "pypi": f">={PYPI_BUILD_NUMBER}", "conda": f"<{PYPI_BUILD_NUMBER}"}[bound.world]
    if bound.package.startswith("conda:"):
        number = f"<{PYPI_BUILD_NUMBER}"
    return match_spec(name, version=version, build=build, build_number=number)


def build_regex(matcher: str) -> str:
    """Return the regular expression of a build matcher: a glob, or already a regular expression in ``^...$``.

    >>> build_regex("*cuda118*"), build_regex("^py3.*_cpu$")
    ('.*cuda118.*', 'py3.*_cpu')
    """
    if matcher.startswith("^") and matcher.endswith("$"):
        return matcher[1:-1]
    return "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in matcher)
