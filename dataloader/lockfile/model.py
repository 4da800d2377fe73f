"""Frozen values of a lockfile. No I/O; ``yaml.py`` reads and writes, ``check.py`` says whether it still fits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeAlias

from dataloader.base.names import file_name_of
from dataloader.base.values import dataclass

if TYPE_CHECKING:
    from dataloader.base.origin import Origin

DEFAULT = "default"
"""The environment of a lock that names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CondaPackage:
    """One conda package file, as repodata has it."""

    name: str
    version: str
    build: str
    build_number: int
    subdir: str
    url: str
    channel: str
    """Base URL of the channel, with a trailing slash."""
    sha256: str | None
    """Hex digest. ``None`` only where the channel gives none (then ``md5`` is checked)."""
    md5: str | None = None
    attestations_sha256: str | None = None
    """Hex digest of its attestations, where the channel has some (CEP 50)."""
    size: int | None = None
    """Bytes."""
    noarch: str | None = None
    """``"python"``, ``"generic"`` or ``None``."""
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str | None = None
    timestamp: int | None = None
    """Milliseconds since the epoch."""
    python_site_packages_path: str | None = None
    track_features: tuple[str, ...] = ()
    described: bool = True
    """Whether this is all that the channel says of it; else its own ``info/index.json`` says the rest."""

    @property
    def stored_as(self) -> str | None:
        """The hash of its archive, where it is known."""
        return self.sha256

    @property
    def file_name(self) -> str:
        """The archive's name: the last part of its URL."""
        return self.url.rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """How a source becomes a wheel. All that decides what comes of it is in ``key``."""

    key: str
    """64 hexadecimal digits under which the wheel is kept (``dataloader.lockfile.builds``)."""
    python: str
    """``"3.11"``: whose ABI it is built for."""
    platform: str
    glibc: str | None = None
    """The newest that the wheel may need; ``None`` where the target has another C library."""
    requires: tuple[str, ...] = ()
    """What the build is given beyond what the project itself asks for."""
    against: Mapping[str, str] = field(default_factory=dict)
    """Frameworks, and NumPy, that it is compiled against, to the version that the environment has."""
    abi: Mapping[str, str] = field(default_factory=dict)
    """What is known besides of what it is compiled for: ``cuda``, ``cxx11-abi``, ``sm`` (compute capabilities)."""
    isolated: bool = True
    """Whether its build sees what it asks for alone; else what the environment has (``against`` is all of it)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PypiPackage:
    """One wheel, or the source that one is built from."""

    name: str
    """Normalised (PEP 503)."""
    version: str
    url: str
    sha256: str
    """Hex digest of the archive; empty for a repository, whose commit is in ``url``, and for a tree."""
    size: int | None = None
    """Bytes."""
    requires_dist: tuple[str, ...] = ()
    requires_python: str | None = None
    extras: tuple[str, ...] = ()
    """Extras that the resolution switched on."""
    index: str | None = None
    """URL of the index or of the find-links page it came from, without credentials."""
    build: Build | None = None
    """How its wheel is made, where ``url`` is that of a source."""
    content: str = ""
    """Digest of a local tree as it is now. In no lock: people work there."""
    seen: str = ""
    """Names, sizes and times of its files when that was read."""

    @property
    def stored_as(self) -> str:
        """What the stores keep the wheel under: the hash of its archive, or the key of its build."""
        if self.build is None:
            return self.sha256
        if not self.content:
            return self.build.key
        import hashlib

        return hashlib.sha256(f"{self.build.key} {self.content}".encode()).hexdigest()

    @property
    def origin(self) -> Origin:
        """Where its source is, where ``url`` is that of one."""
        from dataloader.base.origin import Origin

        return Origin.of(self.url)

    @property
    def file_name(self) -> str:
        """The archive's name: the last part of its URL, unquoted."""
        return file_name_of(self.url)


Package: TypeAlias = CondaPackage | PypiPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedPython:
    """Where the environment's Python comes from."""

    source: Literal["conda", "host", "none"]
    """``conda``: a package of the lock; ``host``: an interpreter of this machine; ``none``: no Python."""
    version: str | None = None
    """Full version of a conda Python; ``major.minor`` of a host Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockfile:
    """A whole lock, for one environment on one platform."""

    platform: str
    environment: str = DEFAULT
    """What it is called in its file."""
    channels: tuple[str, ...]
    indexes: tuple[str, ...]
    python: LockedPython
    packages: tuple[Package, ...]
    """Sorted by kind (conda first), then name."""
    requested: tuple[str, ...] = ()
    """Normalised names that the user asked for (they get REQUESTED); conda names carry ``conda:``."""
    stack: Mapping[str, str] = field(default_factory=dict)
    """Axis -> value: ``{"cuda": "11.8", "cudnn": "8.7", "torch": "2.1.0+cu118", ...}``."""
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Package -> ids of the matrix rules that bound it."""
    published_before: str | None = None
    """The instant at and after which published files did not count, ``2024-02-01T00:00:00Z``; None: all counted."""
    inputs: Mapping[str, object] = field(default_factory=dict)
    """What the lock was made from, in plain JSON values; compared part by part to tell staleness."""

    @property
    def variables(self) -> dict[str, str]:
        """Variables that are set where the environment is active; as its manifest has them."""
        said = self.inputs.get("variables")
        return {str(name): str(value) for name, value in said.items()} if isinstance(said, Mapping) else {}

    def conda(self) -> tuple[CondaPackage, ...]:
        """The conda packages."""
        return tuple(p for p in self.packages if isinstance(p, CondaPackage))

    def pypi(self) -> tuple[PypiPackage, ...]:
        """The wheels."""
        return tuple(p for p in self.packages if isinstance(p, PypiPackage))
