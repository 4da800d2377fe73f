"""Who needs whom in a lock, across both worlds. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from dataloader.base.markers import marker_environment
from dataloader.base.names import pypi_names
from dataloader.base.values import dataclass
from dataloader.lockfile.model import CondaPackage, Lockfile, PypiPackage


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One requirement that a locked package makes of another."""

    source: str
    target: str
    """Name of the locked package that meets it."""
    bound: str
    """The version part as the source writes it; empty means any."""


def edges_of(lock: Lockfile) -> tuple[Edge, ...]:
    """Return every requirement between the packages of a lock, sorted by source and target."""
    names = {package.name for package in lock.packages}
    met_by = {**_projects_in_conda(lock), **{p.name: p.name for p in lock.pypi()}}
    found = [edge for p in lock.conda() for edge in _conda_edges(p, names)]
    for package in lock.pypi():
        found += _wheel_edges(package, met_by, lock.python.version or "3", lock.platform)
    return tuple(sorted(dict.fromkeys(found), key=lambda e: (e.source, e.target, e.bound)))


def interpreter_of(lock: Lockfile) -> frozenset[str]:
    """Return the conda packages that are there for Python's sake: itself, and what nobody else asks for.

    Whoever installs the wheels of a lock brings a Python of theirs.
    """
    edges = edges_of(lock)
    asked = {name.removeprefix("conda:") for name in lock.requested}
    others = {edge.target for edge in edges for wheel in lock.pypi() if edge.source == wheel.name} | asked
    found = {"python"} & {package.name for package in lock.conda()}
    while more := {edge.target for edge in edges if edge.source in found} - found - others:
        found |= more
    return frozenset(found)


def _projects_in_conda(lock: Lockfile) -> dict[str, str]:
    """Return which conda package of the lock stands for each PyPI project."""
    return {project: p.name for p in lock.conda() for project in (pypi_names(p.name) or (p.name,))}


def _conda_edges(package: CondaPackage, names: set[str]) -> list[Edge]:
    found = []
    for spec in package.depends:
        name, _, bound = spec.replace("[", " [").partition(" ")
        if name in names and name != package.name:
            found.append(Edge(source=package.name, target=name, bound=bound.strip()))
    return found


def _wheel_edges(package: PypiPackage, met_by: Mapping[str, str], python: str, platform: str) -> list[Edge]:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    environment = marker_environment(python, platform)
    found = []
    for text in package.requires_dist:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        marker = requirement.marker
        applies = marker is None or any(marker.evaluate({**environment, "extra": e}) for e in ("", *package.extras))
        target = met_by.get(canonicalize_name(requirement.name))
        if applies and target is not None and target != package.name:
            found.append(Edge(source=package.name, target=target, bound=str(requirement.specifier)))
    return found
