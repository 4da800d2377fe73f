"""What a prefix holds, as values."""

from __future__ import annotations

from dataloader.base.names import World
from dataloader.base.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One package found in a prefix."""

    kind: World
    name: str
    """Normalised."""
    version: str
    build: str | None = None
    """Build string of a conda package."""
    sha256: str | None = None
    """Of the archive it came from, where that is recorded."""
    installer: str | None = None
    """INSTALLER of a distribution."""
    location: str = ""
    """Its conda-meta file or dist-info directory, relative to the prefix."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What is in a prefix, of both worlds."""

    packages: tuple[Installed, ...] = ()
    """Sorted by kind, then name. Distributions that a conda package brought are not listed a second time."""
    python: str | None = None
    """``major.minor``; ``None`` where there is no Python."""
    site_packages: str | None = None
    """Relative to the prefix."""
