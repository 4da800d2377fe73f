"""A solution beside what was asked for: what it does not hold, and what a lock says of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from dataloader.base.errors import ResolutionFailure
from dataloader.base.names import conda_name, pypi_names
from dataloader.lockfile.model import LockedPython
from dataloader.request.request import Request

if TYPE_CHECKING:
    from dataloader.resolve.model import Resolution
    from dataloader.stack.gate import Held


def demand_hashes(request: Request, resolution: Resolution) -> None:
    """Refuse wheels that nobody wrote a hash for."""
    known = {r.name for r in request.pypi if r.hashes}
    missing = [f"{p.name}=={p.version}" for p in resolution.pypi if p.name not in known]
    if missing:
        raise ResolutionFailure(
            f"--require-hashes: {', '.join(missing)} would be installed, and no hash is written down for it",
            code="hashes-missing",
            suggestions=("write them all down: `uv pip compile --generate-hashes` or `pip-compile --generate-hashes`",),
        )


def held_packages(resolution: Resolution, extra_indexes: Collection[str] = ()) -> tuple[Held, ...]:
    """Return a solution as the gate looks at it."""
    from dataloader.stack.gate import Held

    conda = (
        Held(p.name, p.version, "conda", p.build, p.channel.rstrip("/").rpartition("/")[2]) for p in resolution.conda
    )
    wheels = (Held(p.name, p.version, "pypi", foreign=(p.index or "") in extra_indexes) for p in resolution.pypi)
    return (*conda, *wheels)


def broken_requests(request: Request, resolution: Resolution) -> Iterator[str]:
    """Yield what a solution does not hold of what was asked for."""
    from packaging.specifiers import SpecifierSet

    from dataloader.resolve.channels.rattler import meets

    records = {p.name: p for p in resolution.conda}
    for spec in request.conda if resolution.conda else ():
        held = records.get(spec.name)
        if held is None or not meets(held, replace(spec, channel=None, subdir=None).match_spec):
            yield f"conda:{spec.match_spec} is asked for, and {held.file_name if held else 'no such package'} is chosen"
    versions = {(pypi_names(p.name) or (p.name,))[0]: p.version for p in resolution.conda}
    versions |= {p.name: p.version for p in resolution.pypi}
    for requirement in (*request.pypi, *request.constraints):
        version = versions.get(requirement.name)
        if version is None or requirement.marker or requirement.url:
            continue
        if not SpecifierSet(requirement.specifier).contains(version, prereleases=True):
            yield f"{requirement} is asked for by {requirement.origin}, and {requirement.name} {version} is chosen"
        if requirement.world == "pypi" and all(p.name != requirement.name for p in resolution.pypi):
            yield f"{requirement} is asked of PyPI, and a conda package is chosen"


def python_of(resolution: Resolution) -> LockedPython:
    """Return the Python of a solution as a lock names it."""
    source: Literal["conda", "host", "none"] = resolution.python_source
    version = resolution.python
    if source == "host" and version:
        version = version.rpartition(".")[0]
    return LockedPython(source=source, version=version)


def rules_by_package(resolution: Resolution) -> dict[str, tuple[str, ...]]:
    """Return which rules bound each chosen package."""
    names = {p.name for p in resolution.conda} | {p.name for p in resolution.pypi}
    found: dict[str, list[str]] = {name: [row] for name, row in resolution.builds.items()}
    for applied in resolution.applied:
        for bound in applied.rule.then:
            plain = bound.package.removeprefix("conda:")
            name = plain if plain in names else conda_name(plain) or plain
            if name in names and applied.rule.id not in found.setdefault(name, []):
                found[name].append(applied.rule.id)
    return {name: tuple(sorted(ids)) for name, ids in sorted(found.items()) if ids}
