"""A project's files as candidates: which wheels a target could use, and in which order. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from packaging.version import Version

from dataloader.index.model import IndexFile
from dataloader.resolve.pythons import Pythons, PythonSet
from dataloader.resolve.tags import Fit, fit
from dataloader.resolve.versions import parse_version
from dataloader.target import Target

WHEEL_BUILD = "_whl"
"""Build strings of wheels end so; no conda build does."""

PYPI_BUILD_NUMBER = 1_000_000
"""Build numbers of wheels start here, conda's stay below: a bound on one world is a bound on the build number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wheel:
    """One wheel that the target could use with at least one of the known Pythons."""

    file: IndexFile
    version: Version
    fit: Fit
    pythons: PythonSet
    build: str
    """Build string that tells the wheels of a version apart."""

    @property
    def text(self) -> str:
        """The version, normalised."""
        return self.file.version


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What the indexes have of one project."""

    name: str
    wheels: tuple[Wheel, ...]
    """Usable wheels, newest version first, the most specific wheel of a version first."""
    unusable: tuple[str, ...]
    """Versions that have files but no wheel for this target and these Pythons, newest first."""
    sdist_only: frozenset[str]
    """Those of ``unusable`` that have no wheel at all."""
    filenames: dict[str, tuple[str, ...]]
    """Version in ``unusable`` -> the names of its files, for messages."""

    def usable(self, *, prereleases: bool, pinned: frozenset[str]) -> tuple[Wheel, ...]:
        """Return the wheels that may be offered: no yanked ones and no pre-releases, unless pinned or allowed.

        Where a project has nothing but pre-releases, they are offered (PEP 440).
        """
        kept = tuple(w for w in self.wheels if not w.file.yanked or w.text in pinned)
        final = tuple(w for w in kept if not w.version.is_prerelease or w.text in pinned)
        return kept if prereleases or not final else final


def make_project(
    name: str,
    files: Iterable[IndexFile],
    target: Target,
    pythons: Pythons,
    *,
    exclude_newer: str | None = None,
    no_wheels: bool = False,
) -> Project:
    """Sort a project's files into usable wheels and versions that have none.

    ``exclude_newer`` (ISO 8601, UTC) drops files published later; a file without an upload time is kept, as it
    cannot be judged.
    """
    wheels: list[Wheel] = []
    others: dict[Version, list[IndexFile]] = {}
    versions: dict[str, Version | None] = {}
    for file in files:
        if exclude_newer and file.upload_time and file.upload_time > exclude_newer:
            continue
        if file.version not in versions:
            versions[file.version] = parse_version(file.version)
        version = versions[file.version]
        if version is None:
            continue
        wheel = None if no_wheels else _wheel(file, version, target, pythons)
        if wheel is not None:
            wheels.append(wheel)
        else:
            others.setdefault(version, []).append(file)
    wheels.sort(key=lambda w: (w.version, w.fit.rank, w.file.filename), reverse=True)
    wheels = _without_equals(wheels)
    served = {w.version for w in wheels}
    unusable = sorted((v for v in others if v not in served), reverse=True)
    return Project(
        name=name,
        wheels=tuple(wheels),
        unusable=tuple(str(v) for v in unusable),
        sdist_only=frozenset(str(v) for v in unusable if not any(f.filename.endswith(".whl") for f in others[v])),
        filenames={str(v): tuple(f.filename for f in others[v]) for v in unusable},
    )


def _wheel(file: IndexFile, version: Version, target: Target, pythons: Pythons) -> Wheel | None:
    if not file.filename.endswith(".whl"):
        return None
    interpreter, abi, platform = file.filename[: -len(".whl")].rsplit("-", 3)[1:]
    fits = fit(interpreter, abi, platform, target.arch, musl=target.musl is not None)
    if fits is None:
        return None
    usable = pythons.serving(fits.pythons) & pythons.required(file.requires_python)
    if not usable:
        return None
    return Wheel(file=file, version=version, fit=fits, pythons=usable, build=_build(file, interpreter, abi, fits))


def _without_equals(wheels: list[Wheel]) -> list[Wheel]:
    """Keep the first of wheels that serve exactly alike (manylinux2014 and manylinux_2_17 of one build)."""
    found: dict[tuple[Version, str], Wheel] = {}
    for wheel in wheels:
        found.setdefault((wheel.version, wheel.build), wheel)
    return list(found.values())


def _build(file: IndexFile, interpreter: str, abi: str, fits: Fit) -> str:
    """Name a wheel among those of its version, in the 64 characters that a build string may have (CEP 26)."""
    libc = "{}{}_{}".format(*fits.libc) if fits.libc else "any"
    number = file.filename.split("-")[2] if file.filename.count("-") > len(("name", "version", "py", "abi")) else ""
    parts = (interpreter.replace(".", "_")[:20], abi.replace(".", "_")[:16], libc, str(fits.rank), number[:8])
    return "_".join(part for part in parts if part) + WHEEL_BUILD
