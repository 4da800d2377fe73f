"""[resolution] of a manifest: how to solve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.request.readers.pep621 import pep508
from dataloader.request.specs.requirements import PypiRequirement
from dataloader.request.toml import Table

_KEYS = {
    "conda",
    "constraints",
    "exclude-newer",
    "matrix",
    "no-index",
    "overrides",
    "prefer",
    "prerelease",
    "pypi-only",
    "require-hashes",
    "skip-unbuildable",
}
_LIMITS = ("timeout", "memory", "jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionTable:
    """How to solve ([resolution]); ``None`` means not said."""

    conda: str | None = None
    prerelease: str | None = None
    exclude_newer: str | None = None
    matrix: str | None = None
    """Path, relative to the manifest."""
    pypi_only: tuple[str, ...] = ()
    """Normalised projects that conda must not serve."""
    constraints: tuple[PypiRequirement, ...] = ()
    """Limit a project if something else brings it in."""
    require_hashes: bool = False
    no_index: bool = False
    """No package index at all: find-links alone."""
    overrides: tuple[PypiRequirement, ...] = ()
    """Take the place of whatever is asked of a project, by whomever."""
    prefer: tuple[str, ...] = ()
    """Locks of other tools, relative to the manifest, whose versions the first lock prefers."""
    built: tuple[str, ...] = ()
    """Normalised projects that may be built from source ([build] allow)."""
    build_requires: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Normalised project -> what its build is given besides ([build.requires])."""
    build_limits: Mapping[str, str] = field(default_factory=dict)
    """What a build may take ([build] timeout, memory, jobs), as said."""
    build_registry: str | None = None
    """Where wheels that were built are kept for others ([build] registry)."""
    unisolated: tuple[str, ...] = ()
    """Normalised projects whose builds see the environment ([build] no-isolation)."""
    skip_unbuildable: bool = False
    """Leave out what would have to be built from source."""


def read_resolution(table: Table, workspace: Table, build: Table) -> ResolutionTable:
    """Read the table, and [build]; pixi has its ``exclude-newer`` in ``workspace``."""
    table.only(_KEYS)
    build.only({"allow", "requires", "no-isolation", "registry", *_LIMITS})
    requires = build.table("requires")
    return ResolutionTable(
        conda=table.choice("conda", {"auto", "always", "never"}),
        prerelease=table.choice("prerelease", {"allow", "if-necessary"}),
        exclude_newer=table.date("exclude-newer") or workspace.date("exclude-newer"),
        matrix=table.string("matrix"),
        pypi_only=tuple(normalized(name) for name in table.strings("pypi-only")),
        constraints=pep508(table, "constraints"),
        require_hashes=table.boolean("require-hashes") or False,
        no_index=table.boolean("no-index") or False,
        overrides=pep508(table, "overrides"),
        prefer=table.strings("prefer"),
        built=tuple(sorted({normalized(name) for name in build.strings("allow")})),
        build_requires={normalized(name): _texts(requires, name) for name in requires},
        build_limits={key: str(build.raw(key)) for key in _LIMITS if key in build},
        build_registry=build.string("registry"),
        unisolated=tuple(sorted({normalized(name) for name in build.strings("no-isolation")})),
        skip_unbuildable=table.boolean("skip-unbuildable") or False,
    )


def _texts(requires: Table, name: str) -> tuple[str, ...]:
    """Return requirements of a build, as they are said; one that cannot be read is a mistake of the file."""
    pep508(requires, name)
    return tuple(sorted(requires.strings(name)))
