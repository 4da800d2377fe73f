"""The Pythons that a problem may choose, and what markers and Requires-Python mean over them.

A marker is not translated: it is evaluated for each Python that exists, and the set of those where it holds
becomes a condition on ``python``. Everything else in a marker is decided by the target.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from dataloader.base.markers import marker_environment
from dataloader.machine.target import Target
from dataloader.resolve.words.tags import PythonTag
from dataloader.resolve.words.versions import VersionSpace

PythonSet = frozenset[str]
"""Full versions of Pythons."""

_PATCH_SENSITIVE = re.compile(r"python_full_version|implementation_version")
_EXTRA = re.compile(r"extra\s*(?:==|in)\s*['\"]([^'\"]+)['\"]|['\"]([^'\"]+)['\"]\s*==\s*extra")


class Pythons:
    """The known Pythons of one problem, newest last, with cached answers about them."""

    def __init__(self, versions: Iterable[str], target: Target, *, name: str = "python") -> None:
        self.space = VersionSpace(versions)
        self.name = name
        self._target = target
        self.all: PythonSet = frozenset(self.space.versions)
        self._key = (name, self.all, target)
        self._minors = {v: int(v.split(".")[1]) for v in self.all}
        self._environments = {v: marker_environment(v, target.platform, kernel=target.kernel) for v in self.all}
        self._requires: dict[str, PythonSet] = {}
        self._served: dict[tuple[PythonTag, ...], PythonSet] = {}
        self._markers: dict[tuple[str, str], PythonSet] = {}

    def __eq__(self, other: object) -> bool:
        """Say whether ``other`` gives the same answers: what was made with one then serves the other."""
        return isinstance(other, Pythons) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def serving(self, tags: tuple[PythonTag, ...]) -> PythonSet:
        """Return the Pythons that any of ``tags`` serves."""
        if tags not in self._served:
            served = (v for v, minor in self._minors.items() if any(tag.serves(minor) for tag in tags))
            self._served[tags] = frozenset(served)
        return self._served[tags]

    def required(self, requires_python: str | None) -> PythonSet:
        """Return the Pythons that Requires-Python admits; all of them when it cannot be read (as pip does)."""
        if not requires_python:
            return self.all
        if requires_python not in self._requires:
            try:
                wanted = SpecifierSet(requires_python)
            except InvalidSpecifier:
                self._requires[requires_python] = self.all
            else:
                self._requires[requires_python] = frozenset(v for v in self.all if wanted.contains(v, prereleases=True))
        return self._requires[requires_python]

    def of_minors(self, minors: Collection[str]) -> PythonSet:
        """Return the Pythons of some minors; all of them where none is named."""
        return frozenset(v for v in self.all if not minors or v.rpartition(".")[0] in minors)

    def where(self, marker: str, extra: str = "") -> PythonSet:
        """Return the Pythons for which ``marker`` holds on the target, with ``extra`` asked for.

        Raises:
            InvalidMarker: ``marker`` is not a PEP 508 marker.
        """
        key = (marker, extra)
        if key not in self._markers:
            self._markers[key] = self._evaluate(parse_marker(marker), marker, extra)
        return self._markers[key]

    def _evaluate(self, marker: Marker, text: str, extra: str) -> PythonSet:
        if _PATCH_SENSITIVE.search(text):
            return frozenset(v for v in self.all if _holds(marker, self._environments[v], extra))
        by_minor: dict[int, bool] = {}
        for version, minor in self._minors.items():
            if minor not in by_minor:
                by_minor[minor] = _holds(marker, self._environments[version], extra)
        return frozenset(v for v, minor in self._minors.items() if by_minor[minor])

    def spec(self, chosen: PythonSet) -> str | None:
        """Return the version spec on ``python`` that means exactly ``chosen``; ``None`` when empty."""
        return self.space.spec_of(chosen)


@lru_cache(maxsize=4096)
def parse_marker(text: str) -> Marker:
    """Parse a marker once."""
    return Marker(text)


@lru_cache(maxsize=65536)
def extras_named(marker: str) -> frozenset[str]:
    """Return the extras that a marker mentions."""
    return frozenset(a or b for a, b in _EXTRA.findall(marker))


def _holds(marker: Marker, environment: dict[str, str], extra: str) -> bool:
    try:
        return marker.evaluate({**environment, "extra": extra})
    except UndefinedEnvironmentName:
        return False


__all__ = ["InvalidMarker", "PythonSet", "Pythons", "extras_named", "parse_marker"]
