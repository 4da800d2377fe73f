"""What a lock says of packages that are built from source: how, and the key of what comes of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple, Protocol

from dataloader.base.origin import Origin
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.lockfile.builds import build_of
from dataloader.lockfile.model import LockedPython, Lockfile, PypiPackage
from dataloader.machine.target import Target
from dataloader.request.request import Request
from dataloader.request.specs.requirements import PypiRequirement


class BuildNeeds(NamedTuple):
    """What a source says of its build; nothing of it is run."""

    requires: tuple[str, ...]
    """PEP 508 texts: what is asked for before its backend is."""
    compiles: bool
    """Whether it has something that a compiler is for."""


class Sources(Protocol):
    """Says what has to be known of sources."""

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """Return the METADATA that the wheel of a source will have."""
        ...

    async def located(self, name: str, url: str, sha256: str | None) -> IndexFile:
        """Return the source archive at a URL."""
        ...

    async def needs(self, package: PypiPackage) -> BuildNeeds:
        """Return what a source says that its build needs."""
        ...


async def with_builds(
    packages: Iterable[PypiPackage],
    sources: Sources | None,
    request: Request,
    *,
    target: Target,
    python: LockedPython,
    frameworks: Collection[str],
    versions: dict[str, str],
    abis: Mapping[str, Mapping[str, str]],
) -> list[PypiPackage]:
    """Return packages, sources with how they are built.

    A framework that a build names is of the version that the environment has: what is compiled against another one's
    headers does not load. So is NumPy, where the build admits that. It may be any of the others that a build needs.

    Args:
        abis: Framework -> what else is known of what is compiled against it.
    """
    found = []
    packages = tuple(packages)
    for package in packages:
        if package.file_name.endswith(".whl"):
            found.append(package)
            continue
        assert sources is not None
        assert python.version is not None
        extra = request.build_requires.get(package.name, ())
        needs = await sources.needs(package)
        asked = (*needs.requires, *extra)
        named = {_project(text) for text in asked} & set(frameworks)
        isolated = package.name not in request.unisolated
        against = {name: versions[name] for name in sorted(named & versions.keys())}
        if "numpy" in versions and any(_admits(text, "numpy", versions["numpy"]) for text in asked):
            against["numpy"] = versions["numpy"]
        if not isolated:
            against = _seen_by(package, packages)
        build = build_of(
            package,
            python=".".join(python.version.split(".")[:2]),
            platform=target.platform,
            glibc=target.glibc,
            requires=extra,
            against=against,
            abi={
                **{key: value for name in sorted(abis.keys() & against.keys()) for key, value in abis[name].items()},
                **(_compiled_for(target, request) if needs.compiles else {}),
            },
            isolated=isolated,
        )
        found.append(replace(package, build=build))
    return found


def _compiled_for(target: Target, request: Request) -> dict[str, str]:
    """Return what is known of the compilers of a build: what machines have to run it on, and what was asked for.

    Which compiler there is, is no part of it: two machines may share what both can load.
    """
    gcc = request.stack.get("gcc")
    said = {"libstdcxx": target.libstdcxx, "gcc": gcc if isinstance(gcc, str) and gcc[:1].isdigit() else None}
    return {key: value for key, value in said.items() if value}


def _seen_by(package: PypiPackage, packages: Iterable[PypiPackage]) -> dict[str, str]:
    """Return the versions of an environment's wheels that a build may see: of all but those that need it."""
    needs = {package.name: {_project(text) for text in package.requires_dist} for package in packages}
    left_out = {package.name}
    while more := {name for name, asked in needs.items() if asked & left_out} - left_out:
        left_out |= more
    wheels = (package for package in packages if package.file_name.endswith(".whl"))
    return {wheel.name: wheel.version for wheel in wheels if wheel.name not in left_out}


def _admits(requirement: str, name: str, version: str) -> bool:
    """Say whether a requirement is one of a project, and admits a version of it."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Pep508
    from packaging.utils import canonicalize_name

    try:
        parsed = Pep508(requirement)
    except InvalidRequirement:
        return False
    return canonicalize_name(parsed.name) == name and parsed.specifier.contains(version, prereleases=True)


def with_locked_commits(requirements: Iterable[PypiRequirement], old: Lockfile | None) -> tuple[PypiRequirement, ...]:
    """Return requirements, those of repositories at the commits that an earlier lock of the same requirements has."""
    if old is None:
        return tuple(requirements)
    held = {package.name: package.origin for package in old.pypi() if package.origin.commit}
    before: object = old.inputs.get("requirements", ())
    asked = {_unmarked(text) for text in before} if isinstance(before, list | tuple) else set()
    found = []
    for requirement in requirements:
        origin = Origin.of(requirement.url) if requirement.url else None
        locked = held.get(requirement.name)
        if origin and locked and origin.kind == "git" and not origin.commit and _unmarked(str(requirement)) in asked:
            same = (origin.location, origin.subdirectory) == (locked.location, locked.subdirectory)
            requirement = replace(requirement, url=str(origin.at(locked.commit or ""))) if same else requirement  # noqa: PLW2901
        found.append(requirement)
    return tuple(found)


def _unmarked(text: object) -> str:
    """Return what a requirement says of where its project comes from."""
    name, _, url = str(text).removeprefix("pypi:").partition(" @ ")
    return f"{name.partition('[')[0]} @ {url.partition(' ;')[0]}"


def _project(requirement: str) -> str:
    """Return the project that a requirement names; the requirement itself where it cannot be read."""
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Pep508
    from packaging.utils import canonicalize_name

    try:
        return canonicalize_name(Pep508(requirement).name)
    except InvalidRequirement:
        return requirement
