"""The formats by name, and which of the two worlds each can hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime, timezone
from importlib import import_module
from typing import Final, NamedTuple

from dataloader.base.errors import UsageError
from dataloader.base.names import World
from dataloader.base.values import dataclass
from dataloader.export.vex import Statement
from dataloader.index.filenames import without_variant
from dataloader.lockfile.graph import interpreter_of
from dataloader.lockfile.model import Lockfile, Package, PypiPackage
from dataloader.prefix.contents import Declared, InnerLibrary


class Verified(NamedTuple):
    """What verify says of an environment."""

    counts: Mapping[str, int]
    """``libraries``, ``files``..., of what was looked at."""
    findings: tuple[tuple[str, str, str, str], ...]
    """Severity, kind, path and message of each, worst first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What may be said of an export."""

    name: str = "environment"
    """What the environment is called, where the format has a place for it."""
    builds: bool = True
    """Whether conda build strings are written, where the format can do without."""
    others: tuple[Lockfile, ...] = ()
    """The locks for other platforms, for formats that hold several."""
    created: datetime = datetime(1970, 1, 1, tzinfo=timezone.utc)
    """When the lock was made, where the format has a place for it."""
    lock_sha256: str | None = None
    """Of the lock's file, which is the evidence."""
    libraries: tuple[InnerLibrary, ...] = ()
    """What the packages hold inside, where they are installed."""
    declared: tuple[Declared, ...] = ()
    """What the packages say they hold."""
    licences: Mapping[str, str] = field(default_factory=dict)
    """What wheels say of their licences where they are installed, by name."""
    verdict: Verified | None = None
    """What verify says of them there."""
    statements: tuple[Statement, ...] = ()
    """What somebody says of vulnerabilities in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format."""

    about: str
    function: str
    """``module:function`` below this package; takes the lock and the options, gives the text."""
    worlds: frozenset[World] = frozenset({"conda", "pypi"})
    """What it can hold."""
    variants: bool = False
    """Whether it can hold variant wheels (PEP 825), which the tools that install from other formats do not know."""
    of_several: bool = False
    """Whether it holds what is locked for several platforms."""
    of_environments: bool = False
    """Whether it holds several environments."""

    def left_out(self, lock: Lockfile) -> tuple[Package, ...]:
        """The packages of a lock that it has no place for; what holds wheels takes a Python for granted."""
        granted = interpreter_of(lock) if self.worlds == _PYPI else ()
        return tuple(package for package in lock.packages if self.lacks(package) and package.name not in granted)

    def lacks(self, package: Package) -> str | None:
        """What a package is, if it has no place for that."""
        if not isinstance(package, PypiPackage):
            return None if "conda" in self.worlds else "conda packages"
        if "pypi" not in self.worlds:
            return "wheels"
        return "variant wheels" if not self.variants and without_variant(package.file_name) else None

    def render(self, lock: Lockfile, options: ExportOptions) -> str:
        """The text."""
        module, function = self.function.split(":")
        made: Callable[[Lockfile, ExportOptions], str] = getattr(import_module(f"dataloader.export.{module}"), function)
        return made(lock, options)


_PYPI: Final = frozenset[World]({"pypi"})
_CONDA: Final = frozenset[World]({"conda"})

FORMATS: Final[Mapping[str, Format]] = {
    "pylock.toml": Format(about="PEP 751; pip and uv install it", function="pylock:pylock", worlds=_PYPI),
    "requirements.txt": Format(
        about="exact versions with hashes, for pip --require-hashes and uv",
        function="requirements_txt:requirements",
        worlds=_PYPI,
    ),
    "environment.yml": Format(about="exact versions, for conda and mamba", function="conda_files:environment_yml"),
    "explicit": Format(
        about="URLs with hashes, for conda create --file", function="conda_files:explicit", worlds=_CONDA
    ),
    "conda-lock.yml": Format(
        about="conda-lock's own lock, version 1", function="conda_files:conda_lock", of_several=True
    ),
    "pixi.lock": Format(
        about="pixi's lock, format 7", function="pixi:pixi_lock", of_several=True, of_environments=True
    ),
    "pixi.lock-6": Format(
        about="pixi's lock, format 6, for pixi before 0.60",
        function="pixi:pixi_lock_6",
        of_several=True,
        of_environments=True,
    ),
    "pixi.toml": Format(about="a pixi workspace that asks for what was asked for here", function="pixi:pixi_toml"),
    "pyproject.toml": Format(
        about="a uv project that asks for what was asked for here, bound to the locked versions",
        function="uv:pyproject",
        worlds=_PYPI,
    ),
    "cyclonedx": Format(
        about="software bill of materials, CycloneDX 1.7 JSON", function="sbom:cyclonedx", variants=True
    ),
    "spdx": Format(about="software bill of materials, SPDX 2.3 JSON", function="sbom:spdx", variants=True),
    "spdx-3": Format(about="software bill of materials, SPDX 3.0.1 JSON-LD", function="spdx3:spdx3", variants=True),
    "markdown": Format(
        about="a report to read: stack, packages, sizes, who needs what", function="report:markdown", variants=True
    ),
    "html": Format(about="the same as one page that needs no network", function="page:html", variants=True),
}
"""Name -> format, in the order of the help."""


def export_lock(lock: Lockfile, name: str, options: ExportOptions, *, partial: bool = False) -> str:
    """Return the lock in a format.

    Args:
        lock: What to write.
        name: A key of :data:`FORMATS`.
        options: What may be said of it.
        partial: Leave out what the format cannot hold, instead of refusing.

    Raises:
        UsageError: there is no such format, or it cannot hold a package of the lock.
    """
    if name not in FORMATS:
        import difflib

        near = difflib.get_close_matches(name, FORMATS, n=2)
        raise UsageError(
            f"there is no format {name}",
            code="export-format-unknown",
            causes=(f"formats: {', '.join(FORMATS)}",),
            suggestions=tuple(f"`dataloader export {form}`" for form in near) or ("`dataloader export --help`",),
        )
    form = FORMATS[name]
    if not partial and (lost := form.left_out(lock)):
        kinds = " and ".join(dict.fromkeys(filter(None, map(form.lacks, lost))))
        raise UsageError(
            f"{name} has no place for {kinds}, and the lock holds {len(lost)}",
            code="export-incomplete",
            causes=tuple(f"{p.name} {p.version}" for p in lost),
            suggestions=(
                f"`dataloader export {name} --partial` leaves them out",
                *(("`dataloader export environment.yml` holds both",) if "variant wheels" not in kinds else ()),
            ),
        )
    return form.render(lock, options)
