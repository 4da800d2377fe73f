"""[resolution] of a manifest: how to solve."""

from __future__ import annotations

from dataclasses import dataclass

from dataloader.base.names import normalized
from dataloader.request.readers.pep621 import pep508
from dataloader.request.requirements import PypiRequirement
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
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
    skip_unbuildable: bool = False
    """Leave out what would have to be built from source."""


def read_resolution(table: Table, workspace: Table) -> Resolution:
    """Read the table; pixi has its ``exclude-newer`` in ``workspace``."""
    table.only(_KEYS)
    return Resolution(
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
        skip_unbuildable=table.boolean("skip-unbuildable") or False,
    )
