"""From PEP 440 specifiers to conda version specs, exactly: by enumerating the versions that exist.

conda and PEP 440 order and match some versions differently (``2.0+cu118`` satisfies conda's ``<2`` spelled
``<=1.99``, pre-releases, ``==2.0`` with local versions). So a specifier is never translated as text: the versions
that it admits are found with ``packaging``, joined into runs in conda's order, and each run is checked with rattler's
own matching; a run that would match anything else is spelled out as ``==a|==b``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cmp_to_key

import rattler
from packaging.specifiers import SpecifierSet
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
        self._versions = _in_conda_order(sorted(set(versions)))
        self._texts = [text for text, _ in self._versions]
        self._parsed = {text: parse_version(text) for text in self._texts}
        self._specs: dict[str, str | None] = {}
        self._admitted: dict[str, frozenset[str]] = {}

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def versions(self) -> Sequence[str]:
        """All versions, oldest first in conda's order."""
        return self._texts

    def admitted(self, specifier: str) -> frozenset[str]:
        """Return the versions that a PEP 440 specifier set admits, pre-releases included.

        A conda version that PEP 440 cannot read is admitted by the empty specifier only.

        Raises:
            InvalidSpecifier: ``specifier`` is not a PEP 440 specifier set.
        """
        if specifier not in self._admitted:
            self._admitted[specifier] = self._matching(specifier) if specifier else frozenset(self._texts)
        return self._admitted[specifier]

    def _matching(self, specifier: str) -> frozenset[str]:
        wanted = SpecifierSet(specifier)
        return frozenset(t for t, v in self._parsed.items() if v is not None and wanted.contains(v, prereleases=True))

    def spec(self, specifier: str) -> str | None:
        """Return the conda version spec for a PEP 440 specifier set; ``None`` when no known version fits."""
        if specifier not in self._specs:
            self._specs[specifier] = self.spec_of(self.admitted(specifier))
        return self._specs[specifier]

    def spec_of(self, chosen: frozenset[str]) -> str | None:
        """Return a conda version spec that matches exactly ``chosen`` among the known versions; ``None`` if empty."""
        if not chosen:
            return None
        if len(chosen) == len(self._texts):
            return "*"
        return "|".join(part for run in self._runs(chosen) for part in self._spell(*run))

    def _runs(self, chosen: frozenset[str]) -> Iterable[tuple[int, int]]:
        """Yield the first and last position of each unbroken run of ``chosen``."""
        start: int | None = None
        for position, text in enumerate(self._texts):
            if text in chosen:
                start = position if start is None else start
            elif start is not None:
                yield start, position - 1
                start = None
        if start is not None:
            yield start, len(self._texts) - 1

    def _spell(self, first: int, last: int) -> tuple[str, ...]:
        if first == last:
            text = f"=={self._texts[first]}"
        elif first == 0:
            text = f"<={self._texts[last]}"
        elif last == len(self._texts) - 1:
            text = f">={self._texts[first]}"
        else:
            text = f">={self._texts[first]},<={self._texts[last]}"
        spec = rattler.VersionSpec(text)
        exact = all(spec.matches(v) == (first <= i <= last) for i, (_, v) in enumerate(self._versions))
        return (text,) if exact else tuple(f"=={t}" for t in self._texts[first : last + 1])


def _in_conda_order(texts: Iterable[str]) -> list[tuple[str, rattler.Version]]:
    """Pair each text with its conda version, oldest first; equal versions (1.0, 1.0.0) keep their text order."""
    pairs = [(text, rattler.Version(text)) for text in texts]
    return sorted(pairs, key=cmp_to_key(_compare))


def _compare(a: tuple[str, rattler.Version], b: tuple[str, rattler.Version]) -> int:
    return -1 if a[1] < b[1] else int(a[1] > b[1])


def is_newer(version: str, than: str) -> bool:
    """Whether a version is newer: by PEP 440 where both are of it, else in conda's order."""
    one, other = parse_version(version), parse_version(than)
    if one is not None and other is not None:
        return one > other
    return bool(rattler.Version(version) > rattler.Version(than))
