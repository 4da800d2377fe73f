"""pylock.toml (PEP 751): packaging reads it, and chooses from it as the specification says."""

from __future__ import annotations

from typing import Any

from packaging.pylock import (
    Package,
    PackageArchive,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockUnsupportedVersionError,
    PylockValidationError,
)

from dataloader.base.markers import marker_environment
from dataloader.base.names import file_name_of
from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.model import LeftOut, LockSelection, Taken, Unlocated
from dataloader.formats.wheels import host_python, python_for, tags_of
from dataloader.lockfile.model import PypiPackage


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return what a pylock.toml selects for a machine."""
    try:
        lock = Pylock.from_dict(content.data)
    except (PylockValidationError, PylockUnsupportedVersionError) as error:
        raise ValueError(str(error)) from error
    python = python_for(str(lock.requires_python) if lock.requires_python else None, wanted)
    if python is None:
        raise unfit(content, f"it is for Python {lock.requires_python}, and this machine has none that fits")
    tags = tags_of(python, wanted)
    extras = lock.extras if wanted.all_extras else wanted.extras
    _check_known(content, "extra", wanted.extras, lock.extras)
    _check_known(content, "group", wanted.groups or (), lock.dependency_groups)
    try:
        chosen = list(
            lock.select(
                environment=marker_environment(python, wanted.platform),  # type: ignore[arg-type]
                tags=tags,
                extras=list(extras or ()),
                dependency_groups=None if wanted.groups is None else list(wanted.groups),
            )
        )
    except PylockSelectError as error:
        raise unfit(content, f"nothing of it fits this machine: {error}") from error
    packages: list[PypiPackage] = []
    unlocated: list[Unlocated] = []
    left_out: list[LeftOut] = []
    for package, source in chosen:
        found = _taken(content, package, source)
        if isinstance(found, PypiPackage):
            packages.append(found)
        elif isinstance(found, Unlocated):
            unlocated.append(found)
        else:
            left_out.append(found)
    return Taken(
        packages=tuple(packages),
        unlocated=tuple(unlocated),
        left_out=tuple(left_out),
        python=host_python(python),
        indexes=tuple(dict.fromkeys(p.index for p, _ in chosen if p.index)),
        roots=_roots(lock, {p.name for p, _ in chosen}),
    )


def _check_known(content: Content, kind: str, asked: Any, known: Any) -> None:
    for name in asked:
        if name not in (known or ()):
            raise unfit(content, f"it has no {kind} {name}", f"it has: {', '.join(known or ()) or 'none'}")


def _taken(content: Content, package: Package, source: object) -> PypiPackage | Unlocated | LeftOut:
    if not isinstance(source, PackageWheel | PackageArchive):
        kind = type(source).__name__.removeprefix("Package").lower()
        return LeftOut(name=package.name, why=f"it is locked as {kind}, which would have to be built")
    filename = source.filename if isinstance(source, PackageWheel) else _last(source.url or source.path or "")
    if not filename.endswith(".whl"):
        return LeftOut(name=package.name, why=f"{filename} would have to be built")
    sha256 = source.hashes.get("sha256")
    if sha256 is None:
        raise ValueError(f"{package.name} has no sha256 among its hashes")
    version = str(package.version) if package.version else filename.split("-")[1]
    url = source.url or ((content.path.parent / source.path).absolute().as_uri() if source.path else None)
    if url is None:
        return Unlocated(name=package.name, version=version, files={filename: sha256}, index=package.index)
    return PypiPackage(
        name=package.name,
        version=version,
        url=url,
        sha256=sha256,
        size=source.size,
        requires_python=str(package.requires_python) if package.requires_python else None,
        index=package.index if isinstance(source, PackageWheel) else None,
    )


def _last(location: str) -> str:

    return file_name_of(location)


def _roots(lock: Pylock, chosen: set[Any]) -> tuple[str, ...]:
    """Return what nothing else of the lock needs, if the lock says who needs what."""
    needed = {dependency.get("name") for package in lock.packages for dependency in package.dependencies or ()}
    return tuple(sorted(name for name in chosen if name not in needed)) if needed else tuple(sorted(chosen))
