"""What several releases of a package say alike, as one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dataloader.base.names import some

if TYPE_CHECKING:
    import rattler

_SHOWN = 4
"""Versions and builds shown in a line."""
_OWN = "of their own version"
_NUMBER = re.compile(r"_?\d+$")


@dataclass(slots=True)
class Likewise:
    """Releases that want the same, but for a build each, or for the version that is their own.

    >>> said = {}
    >>> for version in ("2.1", "2.0"):
    ...     for build in ("cuda118*", "cuda121*"):
    ...         likewise(said, version, f"requires pytorch {version} {build}")
    >>> [str(one) for one in said.values()]
    ['2.1, 2.0 require pytorch of their own version in a build cuda118* or cuda121*']
    """

    text: str
    versions: list[str] = field(default_factory=list)
    builds: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Say it, with the first few versions and builds."""
        text = _of_many(self.text) if len(self.versions) > 1 else self._of_one()
        builds = (
            f" in a build {_listed(self.builds, 'or')}"
            if len(self.builds) > 1
            else "".join(map(" {}".format, self.builds))
        )
        return f"{_listed(self.versions, '')} {text}{builds}"

    def _of_one(self) -> str:
        return self.text.replace(_OWN, self.versions[0])


def likewise(said: dict[str, Likewise], version: str, text: str) -> None:
    """Note what a release says; others may have said the same, as ``requires NAME VERSION BUILD`` of conda packages."""
    parts = text.split(" ")
    plain, build = (" ".join(parts[:-1]), parts[-1]) if len(parts) == 4 and ";" not in text else (text, "")
    if build and parts[2].removeprefix("==").removesuffix(".*") == version:
        plain = f"{parts[0]} {parts[1]} {_OWN}"
    likewise = said.setdefault(f"{plain} {bool(build)}", Likewise(plain))
    if version not in likewise.versions:
        likewise.versions.append(version)
    if build and build not in likewise.builds:
        likewise.builds.append(build)


def newest_build_of_each(records: Iterable[rattler.RepoDataRecord]) -> list[str]:
    """Return version and build of records, of those that differ in a build's number alone the first."""
    found: dict[tuple[str, str], str] = {}
    for record in records:
        found.setdefault((str(record.version), _NUMBER.sub("", str(record.build))), f"{record.version} {record.build}")
    return list(found.values())


def too_late(name: str, versions: Sequence[str], cutoff: str) -> str:
    """Say of versions that they are too new for a date.

    >>> too_late("lib", ["2.0", "1.9"], "2024-01-01T00:00:00Z")
    'lib 2.0, 1.9: published at 2024-01-01T00:00:00Z or later'
    """
    return f"{name} {some(versions)}: published at {cutoff} or later"


def _listed(items: Sequence[str], last: str) -> str:
    if len(items) > _SHOWN:
        return some(items, _SHOWN)
    return f" {last} ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if last else ", ".join(items)


def _of_many(text: str) -> str:
    """Return what one release does as what several do.

    >>> _of_many("requires numpy<2"), _of_many("has a wheel for Python 3.11")
    ('require numpy<2', 'have a wheel for Python 3.11')
    """
    verb, _, rest = text.partition(" ")
    return f"{ {'requires': 'require', 'has': 'have', 'needs': 'need'}.get(verb, verb) } {rest}"
