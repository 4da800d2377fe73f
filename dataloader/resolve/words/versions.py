"""From PEP 440 specifiers to conda version specs, exactly: by enumerating the versions that exist.

conda and PEP 440 order and match some versions differently (``2.0+cu118`` satisfies conda's ``<2`` spelled
``<=1.99``, pre-releases, ``==2.0`` with local versions). So a specifier is never translated as text: the versions
that it admits are found with ``packaging``, joined into runs in conda's order, and each run is checked with rattler's
own matching; a run that would match anything else is spelled out as ``==a|==b``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from operator import itemgetter

import rattler
from packaging.specifiers import Specifier, SpecifierSet
from packaging.version import InvalidVersion, Version


def parse_version(text: str) -> Version | None:
    """Return the PEP 440 version, or ``None`` where ``text`` (a conda version) is none."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


class VersionSpace:
    """The known versions of one package, in conda's order, and the specs that select among them."""

    def __init__(self, versions: Iterable[str]) -> None:
        parsed = {text: parse_version(text) for text in sorted(set(versions))}
        self._all = frozenset(parsed)
        self._sorted = sorted(((v, text) for text, v in parsed.items() if v is not None), key=itemgetter(0))
        """By PEP 440; what it cannot read is left out."""
        self._releases = [_release(version) for version, _ in self._sorted]
        self._specs: dict[str, str | None] = {}
        self._admitted: dict[str, frozenset[str]] = {}
        self._spelled: dict[tuple[int, int], tuple[str, ...]] = {}

    def __len__(self) -> int:
        return len(self._all)

    @cached_property
    def _versions(self) -> list[tuple[str, rattler.Version]]:
        return _in_conda_order([*sorted(self._all - {t for _, t in self._sorted}), *(t for _, t in self._sorted)])

    @cached_property
    def versions(self) -> Sequence[str]:
        """All versions, oldest first in conda's order."""
        return [text for text, _ in self._versions]

    def admitted(self, specifier: str) -> frozenset[str]:
        """Return the versions that a PEP 440 specifier set admits, pre-releases included.

        A conda version that PEP 440 cannot read is admitted by the empty specifier only.

        Raises:
            InvalidSpecifier: ``specifier`` is not a PEP 440 specifier set.
        """
        if specifier not in self._admitted:
            self._admitted[specifier] = frozenset(self._matching(specifier)) if specifier else self._all
        return self._admitted[specifier]

    def _matching(self, specifier: str) -> Iterator[str]:
        """Yield the versions that fit: between two releases that a specifier names, all do or none does.

        A large project has thousands of versions, and as many specifiers are put on it.
        """
        wanted = SpecifierSet(specifier)
        named = sorted({release for specifier in wanted for release in _named(specifier)})
        if any(specifier.operator == "===" for specifier in wanted):
            named = self._releases
        start = 0
        for release in dict.fromkeys(named):
            near, beyond = bisect_left(self._releases, release, start), bisect_right(self._releases, release, start)
            yield from self._alike(wanted, start, near)
            yield from (t for v, t in self._sorted[near:beyond] if wanted.contains(v, prereleases=True))
            start = beyond
        yield from self._alike(wanted, start, len(self._sorted))

    def _alike(self, wanted: SpecifierSet, first: int, end: int) -> Iterator[str]:
        if first < end and wanted.contains(self._sorted[first][0], prereleases=True):
            yield from (text for _, text in self._sorted[first:end])

    def spec(self, specifier: str) -> str | None:
        """Return the conda version spec for a PEP 440 specifier set; ``None`` when no known version fits."""
        if specifier not in self._specs:
            self._specs[specifier] = self.spec_of(self.admitted(specifier))
        return self._specs[specifier]

    def spec_of(self, chosen: frozenset[str]) -> str | None:
        """Return a conda version spec that matches exactly ``chosen`` among the known versions; ``None`` if empty."""
        if not chosen:
            return None
        if len(chosen) == len(self):
            return "*"
        return "|".join(part for run in self._runs(chosen) for part in self._spelling(*run))

    def _runs(self, chosen: frozenset[str]) -> Iterable[tuple[int, int]]:
        """Yield the first and last position of each unbroken run of ``chosen``."""
        start: int | None = None
        for position, text in enumerate(self.versions):
            if text in chosen:
                start = position if start is None else start
            elif start is not None:
                yield start, position - 1
                start = None
        if start is not None:
            yield start, len(self) - 1

    def _spelling(self, first: int, last: int) -> tuple[str, ...]:
        if (first, last) not in self._spelled:
            self._spelled[first, last] = self._spell(first, last)
        return self._spelled[first, last]

    def _spell(self, first: int, last: int) -> tuple[str, ...]:
        if first == last:
            text = f"=={self.versions[first]}"
        elif first == 0:
            text = f"<={self.versions[last]}"
        elif last == len(self) - 1:
            text = f">={self.versions[first]}"
        else:
            text = f">={self.versions[first]},<={self.versions[last]}"
        spec = rattler.VersionSpec(text)
        # In its order a range ends where its neighbours do not match: all that equals its ends stands beside them.
        beside = (i for i in (first - 1, last + 1) if 0 <= i < len(self))
        exact = not any(spec.matches(self._versions[i][1]) for i in beside)
        return (text,) if exact else tuple(f"=={t}" for t in self.versions[first : last + 1])


def _release(version: Version) -> tuple[int, tuple[int, ...]]:
    """Return what versions of one release have in common: epoch and release, without the zeros at its end."""
    return version.epoch, _trimmed(version.release)


def _trimmed(release: tuple[int, ...]) -> tuple[int, ...]:
    end = len(release)
    while end and not release[end - 1]:
        end -= 1
    return release[:end]


def _named(specifier: Specifier) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield the releases at which a specifier begins or ceases to admit versions, ``===`` excepted."""
    if specifier.operator == "===":
        return
    version = Version(specifier.version.removesuffix(".*"))
    yield _release(version)
    prefix = (
        version.release
        if specifier.version.endswith(".*")
        else version.release[:-1]
        if specifier.operator == "~="
        else ()
    )
    if prefix:
        yield version.epoch, _trimmed(prefix)
        yield version.epoch, (*prefix[:-1], prefix[-1] + 1)


def _in_conda_order(texts: Iterable[str]) -> list[tuple[str, rattler.Version]]:
    """Pair each text with its conda version, oldest first; equal versions (1.0, 1.0.0) keep their order."""
    return sorted(((text, rattler.Version(text)) for text in texts), key=itemgetter(1))


def is_newer(version: str, than: str) -> bool:
    """Whether a version is newer: by PEP 440 where both are of it, else in conda's order."""
    one, other = parse_version(version), parse_version(than)
    if one is not None and other is not None:
        return one > other
    return bool(rattler.Version(version) > rattler.Version(than))


def series(version: Version) -> tuple[int, ...]:
    """Return the series of a version: its epoch and its release up to the first number that is not zero.

    >>> series(Version("4.36.1")), series(Version("0.15.2"))
    ((0, 4), (0, 0, 15))
    """
    release = version.release
    leading = next((i for i, part in enumerate(release) if part), len(release) - 1)
    return (version.epoch, *release[: leading + 1])


@lru_cache(maxsize=16384)
def has_lower_bound(specifier: str) -> bool:
    """Say whether a specifier set names the oldest version it means.

    >>> has_lower_bound(">=1.2,!=1.5"), has_lower_bound("<2"), has_lower_bound("")
    (True, False, False)
    """
    return any(bound.operator in (">=", ">", "==", "~=", "===") for bound in SpecifierSet(specifier))
