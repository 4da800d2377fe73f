"""What was made of what the solver is shown, with what it was made of: made again when that has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from packaging.version import Version

from dataloader.resolve.words.projects import Project, Wheel
from dataloader.resolve.words.versions import VersionSpace

if TYPE_CHECKING:
    import rattler

NOTHING = VersionSpace(())
"""The versions of a project of which nothing is known."""


@dataclass(slots=True)
class Offered:
    """What is worth offering of one project, as far as its specifiers were looked at."""

    usable: tuple[Wheel, ...]
    space: VersionSpace
    versions: dict[str, Version]
    """Those of ``usable`` that nothing rules out."""
    specifiers: set[str] = field(default_factory=set)
    worth: set[str] = field(default_factory=set)
    wheels: tuple[Wheel, ...] = ()


@dataclass(slots=True)
class Memos:
    """What was made of what is known, with what it was made of, by project."""

    spaces: dict[str, VersionSpace] = field(default_factory=dict)
    agreements: dict[str, tuple[VersionSpace, int, int, frozenset[str]]] = field(default_factory=dict)
    offered: dict[tuple[str, bool], Offered] = field(default_factory=dict)
    guessable: dict[str, tuple[Project, bool, frozenset[str], tuple[Wheel, ...]]] = field(default_factory=dict)
    texts: dict[str, tuple[tuple[Wheel, ...], frozenset[str]]] = field(default_factory=dict)
    usable: dict[str, tuple[bool, frozenset[str], int, tuple[Wheel, ...]]] = field(default_factory=dict)


Spelling: TypeAlias = dict[str, tuple[str, VersionSpace]]
"""What records are spelled with: the package that a project is, and the versions that it has."""


@dataclass(frozen=True, slots=True)
class MadeRecord:
    """A record, and what it was made from."""

    made_from: object
    spelling: Spelling
    record: rattler.RepoDataRecord


@dataclass(frozen=True, slots=True)
class UnruledRecords:
    """The records of a project in which no rule has a say, and what they were made from."""

    wheels: tuple[Wheel, ...]
    made_from: object
    spelling: Spelling
    records: Sequence[rattler.RepoDataRecord]
    by_url: Mapping[str, Wheel]
