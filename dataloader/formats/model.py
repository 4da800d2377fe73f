"""Frozen values of the locks of other tools: what is wanted of one, and what was found in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from dataloader.lockfile.model import CondaPackage, LockedPython, Package, PypiPackage


@dataclass(frozen=True, kw_only=True)
class LockSelection:
    """For what machine, and which part of a lock."""

    platform: str = "linux-64"
    pythons: tuple[str, ...] = ()
    """Full versions of this machine's Pythons, most preferred first; used where the lock brings none."""
    glibc: tuple[int, int] | None = (2, 28)
    macos: tuple[int, int] | None = None
    environment: str = "default"
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None
    """``None``: those that the lock's own tool takes by default."""
    all_extras: bool = False

    @cached_property
    def arch(self) -> str:
        """The processor, as markers and tags have it."""
        from dataloader.base.platforms import machine_of

        return machine_of(self.platform)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocated:
    """A wheel of which the lock has no URL: an index has it."""

    name: str
    version: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Names of the wheels that fit, best first -> sha256; empty: any wheel of the version that fits."""
    index: str | None = None
    """The index that served it, where it is not the usual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A conda package of which the lock has no URL, or no hash: a channel has it."""

    name: str
    version: str
    build: str
    file: str | None = None
    """Its file's name, where the lock tells that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What the lock names and nothing here can install."""

    name: str
    why: str
    is_project: bool = False
    """It is the project that the lock is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a lock of another tool holds for one machine."""

    packages: tuple[Package, ...] = ()
    unlocated: tuple[Unlocated, ...] = ()
    listed: tuple[Listed, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    python: LockedPython = field(default_factory=lambda: LockedPython(source="none"))
    channels: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    """What was asked for by name, where the lock tells; conda names carry ``conda:``."""
    notes: tuple[str, ...] = ()

    def conda(self) -> tuple[CondaPackage, ...]:
        """The conda packages."""
        return tuple(p for p in self.packages if isinstance(p, CondaPackage))

    def pypi(self) -> tuple[PypiPackage, ...]:
        """The wheels that have a URL."""
        return tuple(p for p in self.packages if isinstance(p, PypiPackage))
