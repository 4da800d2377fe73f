"""Rules of the matrix, written into the records they bind. Pure, but for the spelling of versions.

"A in S implies B in T" becomes a constraint (or a dependency) on B in every record of A within S. That is the
implication itself: the solver never has to choose a side, and a rule costs nothing where its ``when`` is not chosen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from dataloader.compat.model import Bound, Rule
from dataloader.compat.rows import World
from dataloader.resolve.projects import PYPI_BUILD_NUMBER, WHEEL_BUILD
from dataloader.resolve.records import match_spec


class RuleBook:
    """The rules of a problem by the package that triggers them."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.always: list[Rule] = []
        self._by_package: defaultdict[str, list[Rule]] = defaultdict(list)
        for rule in rules:
            if rule.when is None:
                self.always.append(rule)
            else:
                self._by_package[rule.when.package].append(rule)

    @property
    def triggers(self) -> frozenset[str]:
        """Names of the packages (``conda:NAME`` for conda-only ones) that some rule watches."""
        return frozenset(self._by_package)

    def watching(self, package: str, specifier: str) -> list[Rule]:
        """Return the rules that watch ``package`` for versions of exactly this specifier."""
        return [r for r in self._by_package.get(package, ()) if r.when and r.when.specifier == specifier]

    def specifiers(self, package: str) -> frozenset[str]:
        """Return the specifiers that the rules on ``package`` ask about."""
        return frozenset(rule.when.specifier for rule in self._by_package.get(package, ()) if rule.when)


class Candidate(Protocol):
    """A wheel's file or a channel's record."""

    @property
    def sha256(self) -> str | None:
        """Hex digest, where the source gives one."""


def fires(rule: Rule, world: World, build: str, candidate: Candidate) -> bool:
    """Say whether a candidate of ``world`` with this build string, whose version fits, triggers ``rule``."""
    when = rule.when
    if when is None or when.world not in ("any", world):
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
