"""The package problem and its answer. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias

from dataloader.base.values import dataclass
from dataloader.compat.model import Rule, StackNeeds
from dataloader.index.model import IndexFile
from dataloader.lockfile.model import CondaPackage, PypiPackage
from dataloader.machine.target import Target

ChannelPriority: TypeAlias = Literal["strict", "disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """A PEP 508 requirement that somebody made, with the place it was made in."""

    name: str
    """Normalised (PEP 503)."""
    specifier: str = ""
    extras: tuple[str, ...] = ()
    marker: str = ""
    only_pypi: bool = False
    """``pypi:NAME``: the PyPI project, never a conda package of the same distribution."""
    constraint: bool = False
    """Limits the version if something brings the project in (pip's ``-c``)."""
    origin: str = "the command line"

    def __str__(self) -> str:
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        marker = f" ; {self.marker}" if self.marker else ""
        return f"{self.name}{extras}{self.specifier}{marker}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Everything a resolution depends on, besides what channels and indexes answer."""

    target: Target
    channels: tuple[str, ...] = ()
    """Base URLs, most preferred first."""
    channel_priority: ChannelPriority = "strict"
    conda_specs: tuple[str, ...] = ()
    """Match specs of conda packages that must be present, and be conda packages: no wheel stands for them."""
    conda_limits: tuple[str, ...] = ()
    """Match specs of conda packages that are limited if something brings them in."""
    conda_origins: Mapping[str, str] = field(default_factory=dict)
    """Match spec -> the place it was said in."""
    requirements: tuple[Requirement, ...] = ()
    needs: StackNeeds = field(default_factory=StackNeeds)
    python: str = ""
    """Version spec on Python (PEP 440); empty means any."""
    host_pythons: tuple[str, ...] = ()
    """Full versions of this machine's usable Pythons, most preferred first; used when no channel serves one."""
    prerelease: Literal["allow", "if-necessary"] = "if-necessary"
    strategy: Literal["highest", "lowest", "lowest-direct"] = "highest"
    exclude_newer: str | None = None
    """First instant, as 2024-02-01T00:00:00Z, that does not count: what was published then or later does not exist."""
    no_binary: tuple[str, ...] = ()
    """Projects whose wheels are not used; ``:all:`` for every project but those of ``only_binary``."""
    only_binary: tuple[str, ...] = ()
    built: frozenset[str] = frozenset()
    """Projects that may be built from source, where there is no wheel."""
    frameworks: frozenset[str] = frozenset()
    """Projects on which a library's own extras bind (``records.companion_bounds``)."""
    preferred: Mapping[str, str] = field(default_factory=dict)
    """Name -> file name that an older lock holds: kept where possible."""

    def without_wheels(self, name: str) -> bool:
        """Whether no wheel of a project is used."""
        return name in self.no_binary or (":all:" in self.no_binary and name not in self.only_binary)

    def asked_by(self, conda_spec: str) -> str:
        """Return who asked for a match spec."""
        return self.conda_origins.get(conda_spec, "the command line")

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules of the matrix that bind this problem."""
        return self.needs.rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A rule that bound a chosen package."""

    rule: Rule
    package: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The chosen packages and how they came about."""

    conda: tuple[CondaPackage, ...]
    pypi: tuple[PypiPackage, ...]
    python: str | None
    """Full version of the chosen Python; ``None`` when the environment has none."""
    python_source: Literal["conda", "host", "none"]
    notes: tuple[str, ...] = ()
    """What the user should know of the choices: a downgrade and its reason, mixed worlds."""
    applied: tuple[Applied, ...] = ()
    axes: Mapping[str, str] = field(default_factory=dict)
    """Axis (``axis:cuda``) to the value that was chosen."""
    builds: Mapping[str, str] = field(default_factory=dict)
    """Package to the matrix row that it is taken for; a row that there is not for a build that nobody knows."""
    rounds: int = 0
    metadata_read: int = 0


def file_of(package: PypiPackage) -> IndexFile:
    """Return a locked distribution as the file of an index that it is."""
    return IndexFile(
        name=package.name,
        version=package.version,
        filename=package.file_name,
        url=package.url,
        sha256=package.sha256 or None,
        size=package.size,
    )
