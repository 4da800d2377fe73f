"""The newest releases that there are of locked packages, whatever admits them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataloader.base.tasks import together

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.index.client import IndexClient
    from dataloader.lockfile.model import Lockfile, PypiPackage
    from dataloader.request.request import Request


async def newest_releases(
    lock: Lockfile,
    request: Request,
    client: IndexClient,
    reporter: Reporter,
    *,
    cache: Path,
    environ: Mapping[str, str],
) -> dict[str, str | None]:
    """Return the newest version of each locked package; ``None`` for what nobody lists.

    No index is asked about what came from a repository, a tree or a URL: what has its name there is another project's,
    and the name may be nobody else's business.
    """
    listed = [package for package in lock.pypi() if package.index]
    wheels = await together(_newest_wheel(client, package) for package in listed)
    newest: dict[str, str | None] = dict.fromkeys(package.name for package in lock.pypi())
    newest |= {package.name: last for package, last in zip(listed, wheels, strict=True)}
    return newest | await _newest_conda(lock, request, reporter, cache, environ)


async def _newest_wheel(client: IndexClient, package: PypiPackage) -> str | None:
    """Return the newest release that is not yanked, and no pre-release unless the locked one is."""
    from packaging.version import InvalidVersion, Version

    found: list[Version] = []
    for file in await client.project(package.name):
        try:
            version = Version(file.version)
        except InvalidVersion:
            continue
        if not file.yanked and (not version.is_prerelease or Version(package.version).is_prerelease):
            found.append(version)
    return str(max(found)) if found else None


async def _newest_conda(
    lock: Lockfile, request: Request, reporter: Reporter, cache: Path, environ: Mapping[str, str]
) -> dict[str, str | None]:
    if not lock.conda():
        return {}
    from dataloader.compat.matrix import matrix_with
    from dataloader.locking.targets import common_target, make_targets
    from dataloader.resolve.channels.rattler import Channels

    matrix = matrix_with(request.matrix)
    channels = Channels(
        lock.channels,
        common_target(make_targets(request, matrix, environ)),
        priority="strict",
        cache=cache / "repodata",
        settings=request.settings,
        reporter=reporter,
    )
    answers: list[list[Any]] = await together(channels.records(package.name) for package in lock.conda())
    found: dict[str, str | None] = {}
    for package, records in zip(lock.conda(), answers, strict=True):
        last = max((record.version for record in records), default=None)
        found[package.name] = str(last) if last is not None else None
    return found
