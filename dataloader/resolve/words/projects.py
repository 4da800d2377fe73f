"""A project's files as candidates: which wheels a target could use, and in which order. Values in, values out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Generic, TypeAlias, TypeVar

from packaging.version import Version

from dataloader.base.values import dataclass
from dataloader.index.filenames import variant_label, without_variant
from dataloader.index.model import IndexFile
from dataloader.index.variants import VariantsFile
from dataloader.machine.target import Target
from dataloader.request.dates import is_late
from dataloader.resolve.words.pythons import Pythons, PythonSet
from dataloader.resolve.words.tags import Fit, fit
from dataloader.resolve.words.variants import MOST, NULL, Chosen, variants_on
from dataloader.resolve.words.versions import VersionSpace, parse_version

T = TypeVar("T")
Described: TypeAlias = Mapping[str, VariantsFile | None]
"""``IndexFile.variants`` -> what is there."""

WHEEL_BUILD = "_whl"
"""Build strings of wheels end so; no conda build does."""

_BUILT = Fit(pythons=(), floor=None, rank=0)
"""A wheel that is yet to be made will fit as the least specific one does."""

PYPI_BUILD_NUMBER = 1_000_000
"""Build numbers of wheels start here, conda's stay below: a bound on one world is a bound on the build number."""

PREFERRED = 100_000
"""Added to the build number of the preferred build of a version: more than the ranks of wheels differ by."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wheel:
    """One wheel that the target could use with at least one of the known Pythons."""

    file: IndexFile
    version: Version
    fit: Fit
    pythons: PythonSet
    build: str
    """Build string that tells the wheels of a version apart."""
    variant: Chosen | None = None
    """Of a variant wheel (PEP 825): its variant."""

    @property
    def text(self) -> str:
        """The version, normalised."""
        return self.file.version

    @property
    def is_built_otherwise(self) -> bool:
        """Whether it is another build than the one that its release has for everybody."""
        return self.variant is not None and self.variant.label != NULL


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Project:
    """What the indexes have of one project."""

    name: str
    wheels: tuple[Wheel, ...]
    """Usable wheels, newest version first, the most specific wheel of a version first."""
    unusable: tuple[str, ...]
    """Versions that have files but no wheel for this target and these Pythons, newest first."""
    sdist_only: frozenset[str]
    """Those of ``unusable`` that have no wheel at all."""
    unusable_files: Mapping[str, tuple[IndexFile, ...]]
    """Version in ``unusable`` -> its files, for messages."""
    late: Mapping[str, str] = field(default_factory=dict)
    """Version that is left out for its date -> when its first file was published."""
    dated: bool = False
    """Whether any file has an upload time."""
    variants: Mapping[str, str] = field(default_factory=dict)
    """File name of a variant wheel that does not fit the target -> why."""
    undated: frozenset[str] = frozenset()
    """Indexes that named files without saying when they were published; a directory of one's own is none."""

    def usable(self, *, prereleases: bool, pinned: frozenset[str]) -> tuple[Wheel, ...]:
        """Return the wheels that may be offered: no yanked ones and no pre-releases, unless pinned or allowed.

        Where a project has nothing but pre-releases, they are offered (PEP 440).
        """
        kept = tuple(w for w in self.wheels if not w.file.yanked or w.text in pinned)
        final = tuple(w for w in kept if not w.version.is_prerelease or w.text in pinned)
        return kept if prereleases or not final else final


def make_project(
    name: str,
    files: Collection[IndexFile],
    target: Target,
    pythons: Pythons,
    *,
    exclude_newer: str | None = None,
    no_wheels: bool = False,
    built: bool = False,
    variants: Described = MappingProxyType({}),
) -> Project:
    """Sort a project's files into usable wheels and versions that have none.

    Where it may be ``built``, a source archive stands for the wheels that a version lacks.

    ``exclude_newer`` (a cutoff of ``dataloader.request.dates``) drops files published then or later; a file without an
    upload time is kept, as it cannot be judged. The very same files are sorted once, whoever asks: a refusal is solved
    again with each change that may mend it. Of variant wheels those count that fit by ``variants``.
    """
    return _sorted(name, _TheSame(files), target, pythons, exclude_newer, no_wheels, built, _TheSame(variants))


class _TheSame(Generic[T]):
    """What was read of an index, by identity."""

    def __init__(self, read: T) -> None:
        self.read = read

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _TheSame) and self.read is other.read

    def __hash__(self) -> int:
        return id(self.read)


@lru_cache(maxsize=1024)
def _sorted(
    name: str,
    of: _TheSame[Collection[IndexFile]],
    target: Target,
    pythons: Pythons,
    exclude_newer: str | None,
    no_wheels: bool,
    built: bool,
    described: _TheSame[Described],
) -> Project:
    files = of.read
    variants = _Variants(target, described.read)
    files, late = _published_before(exclude_newer, files) if exclude_newer else (files, {})
    wheels: list[Wheel] = []
    others: dict[Version, list[IndexFile]] = {}
    versions: dict[str, Version | None] = {}
    for file in files:
        if file.version not in versions:
            versions[file.version] = parse_version(file.version)
        version = versions[file.version]
        if version is None:
            continue
        wheel = None if no_wheels else _wheel(file, version, target, pythons, variants)
        if wheel is not None:
            wheels.append(wheel)
        else:
            others.setdefault(version, []).append(file)
    if built:
        wheels += _sources(others, wheels, pythons)
    wheels.sort(key=lambda w: (w.version, w.fit.rank, w.file.filename), reverse=True)
    wheels = _without_equals(wheels)
    served = {w.version for w in wheels}
    unusable = sorted((v for v in others if v not in served), reverse=True)
    return Project(
        name=name,
        wheels=tuple(wheels),
        unusable=tuple(str(v) for v in unusable),
        sdist_only=frozenset(str(v) for v in unusable if not any(f.filename.endswith(".whl") for f in others[v])),
        unusable_files={str(v): tuple(others[v]) for v in unusable},
        variants=variants.unfit,
        late={version: when for version, when in late.items() if parse_version(version) not in {*served, *others}},
        dated=bool(late) or any(f.upload_time for f in files),
        undated=frozenset(f.index for f in files if not f.upload_time and not f.url.startswith("file:"))
        if exclude_newer
        else frozenset(),
    )


@lru_cache(maxsize=4096)
def versions_of(project: Project) -> VersionSpace:
    """Return the versions of a project's usable wheels."""
    return VersionSpace(wheel.text for wheel in project.wheels)


def _published_before(cutoff: str, files: Iterable[IndexFile]) -> tuple[list[IndexFile], dict[str, str]]:
    """Return the files that count, and the versions of the others with the time of their first file."""
    kept: list[IndexFile] = []
    late: dict[str, str] = {}
    for file in files:
        if file.upload_time and is_late(file.upload_time, cutoff):
            late[file.version] = min(late.get(file.version, file.upload_time), file.upload_time)
        else:
            kept.append(file)
    return kept, late


class _Variants:
    """The variants of releases on one target."""

    def __init__(self, target: Target, described: Described) -> None:
        self.unfit: dict[str, str] = {}
        self._target, self._described = target, described
        self._on: dict[str, tuple[dict[str, Chosen], dict[str, str]]] = {}

    def of(self, file: IndexFile) -> Chosen | None:
        """Return what variant a wheel is; ``None`` where it does not fit, and that is noted."""
        described = self._described.get(file.variants)
        if described is None:
            self.unfit[file.filename] = "nothing on its index describes its variant"
            return None
        if file.variants not in self._on:
            self._on[file.variants] = variants_on(self._target, described)
        label, (fit_, unfit) = variant_label(file.filename), self._on[file.variants]
        if label not in fit_:
            self.unfit[file.filename] = unfit.get(label, "its release does not describe that variant")
        return fit_.get(label)


_PLACE = 4000
"""What a place among variants is worth: more than the ranks of tags differ by; all of them are less than PREFERRED."""
assert MOST * _PLACE < PREFERRED


def _wheel(file: IndexFile, version: Version, target: Target, pythons: Pythons, variants: _Variants) -> Wheel | None:
    if not file.filename.endswith(".whl"):
        return None
    interpreter, abi, platform = file.tags
    fits = fit(interpreter, abi, platform, target.platform, musl=target.musl is not None)
    if fits is None:
        return None
    usable = pythons.serving(fits.pythons) & pythons.required(file.requires_python)
    if not usable:
        return None
    variant = None
    if without_variant(file.filename):
        variant = variants.of(file)
        if variant is None:
            return None
        fits = replace(fits, rank=fits.rank + variant.place * _PLACE)
    build = _build(file, interpreter, abi, fits)
    return Wheel(file=file, version=version, fit=fits, pythons=usable, build=build, variant=variant)


def _sources(
    others: Mapping[Version, Iterable[IndexFile]], wheels: Iterable[Wheel], pythons: Pythons
) -> Iterator[Wheel]:
    """Yield a version's source archive, for the Pythons that none of its wheels serves."""
    served: dict[Version, PythonSet] = {}
    for wheel in wheels:
        served[wheel.version] = served.get(wheel.version, frozenset()) | wheel.pythons
    for version, files in others.items():
        archives = sorted((f for f in files if f.kind == "sdist"), key=lambda f: f.filename.endswith(".zip"))
        for file in archives[:1]:
            lacking = pythons.required(file.requires_python) - served.get(version, frozenset())
            if lacking:
                yield Wheel(file=file, version=version, fit=_BUILT, pythons=lacking, build=f"source{WHEEL_BUILD}")


def _without_equals(wheels: list[Wheel]) -> list[Wheel]:
    """Keep the first of wheels that serve exactly alike (manylinux2014 and manylinux_2_17 of one build)."""
    found: dict[tuple[Version, str], Wheel] = {}
    for wheel in wheels:
        found.setdefault((wheel.version, wheel.build), wheel)
    return list(found.values())


def _build(file: IndexFile, interpreter: str, abi: str, fits: Fit) -> str:
    """Name a wheel among those of its version, in the 64 characters that a build string may have (CEP 26)."""
    floor = "{}{}_{}".format(*fits.floor) if fits.floor else "any"
    plain = without_variant(file.filename) or file.filename
    number = plain.split("-")[2] if plain.count("-") > len(("name", "version", "py", "abi")) else ""
    parts = (interpreter.replace(".", "_")[:20], abi.replace(".", "_")[:16], floor, str(fits.rank), number[:8])
    return "_".join(part for part in parts if part) + WHEEL_BUILD
