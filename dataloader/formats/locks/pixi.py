"""pixi.lock, formats 4 to 7, read by rattler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from dataloader.base.names import normalized
from dataloader.formats.content import Content
from dataloader.formats.locks import unfit
from dataloader.formats.model import LeftOut, LockSelection, Taken
from dataloader.formats.rattler_record import package_of
from dataloader.formats.wheels import locked_python
from dataloader.lockfile.model import CondaPackage, PypiPackage


def read(content: Content, wanted: LockSelection) -> Taken:
    """Return one environment of a pixi.lock, for one platform."""
    import rattler
    from rattler.exceptions import EnvironmentCreationError, ParseCondaLockError

    try:
        lock = rattler.LockFile.from_path(content.path)
    except (ParseCondaLockError, EnvironmentCreationError, OSError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    environment = lock.environment(wanted.environment)
    if environment is None:
        names = ", ".join(name for name, _ in lock.environments())
        raise unfit(content, f"it has no environment {wanted.environment}", f"it has: {names} (-e NAME)")
    platform = next((platform for platform in environment.platforms() if str(platform.subdir) == wanted.platform), None)
    if platform is None:
        names = ", ".join(sorted(str(platform.subdir) for platform in environment.platforms()))
        raise unfit(content, f"{wanted.environment} has nothing for {wanted.platform}", f"it is for {names}")
    conda, left_out = _split(content, environment.packages(platform) or [])
    wheels, more = _wheels(content, environment.packages(platform) or [])
    return Taken(
        packages=(*sorted(conda, key=lambda p: p.name), *sorted(wheels, key=lambda p: p.name)),
        left_out=(*left_out, *more),
        python=locked_python(conda, wheels, wanted),
        channels=tuple(dict.fromkeys(p.channel for p in conda)),
        roots=tuple(_roots(conda, wheels)),
    )


def _split(content: Content, packages: list[Any]) -> tuple[list[CondaPackage], list[LeftOut]]:
    from rattler import CondaLockedBinaryPackage, PypiLockedPackage

    found: list[CondaPackage] = []
    left_out: list[LeftOut] = []
    for package in packages:
        if isinstance(package, CondaLockedBinaryPackage):
            found.append(_conda(package, content))
        elif not isinstance(package, PypiLockedPackage):
            left_out.append(LeftOut(name=_name(package), why=f"{package.location} would have to be built"))
    return found, left_out


def _name(package: Any) -> str:
    name = package.name
    return str(getattr(name, "normalized", name))


def _conda(package: Any, content: Content) -> CondaPackage:
    url = _url(str(package.location), content)
    return package_of(package.repo_data_record(), url=url, channel=url.rsplit("/", 2)[0] + "/")


def _wheels(content: Content, packages: list[Any]) -> tuple[list[PypiPackage], list[LeftOut]]:
    from rattler import PypiLockedPackage

    found: list[PypiPackage] = []
    left_out: list[LeftOut] = []
    for package in packages:
        if not isinstance(package, PypiLockedPackage):
            continue
        location, name = str(package.location), normalized(_name(package))
        if not unquote(location.split("#", 1)[0]).endswith(".whl"):
            left_out.append(LeftOut(name=name, why=f"{location} would have to be built"))
            continue
        sha256 = package.hashes.sha256 if package.hashes else None
        if sha256 is None:
            raise ValueError(f"{name} has no sha256")
        found.append(
            PypiPackage(
                name=name,
                version=str(package.version),
                url=_url(location, content),
                sha256=sha256.hex() if isinstance(sha256, bytes) else str(sha256),
                requires_dist=tuple(map(str, package.requires_dist)),
                requires_python=str(package.requires_python) if package.requires_python else None,
            )
        )
    return found, left_out


def _url(location: str, content: Content) -> str:
    return location if "://" in location else (content.path.absolute().parent / location).absolute().as_uri()


def _roots(conda: list[CondaPackage], wheels: list[PypiPackage]) -> Iterator[str]:
    needed = {re.split(r"[ =<>\[]", spec.strip(), maxsplit=1)[0] for p in conda for spec in p.depends}
    asked = {normalized(re.split(r"[ =<>!~;\[(]", s.strip(), maxsplit=1)[0]) for p in wheels for s in p.requires_dist}
    yield from (f"conda:{p.name}" for p in conda if p.name not in needed and normalized(p.name) not in asked)
    yield from (p.name for p in wheels if p.name not in asked)
