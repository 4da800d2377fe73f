"""Packages that a lock of another tool names without saying where they are: indexes and channels have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import IndexUnavailable
from dataloader.base.tasks import together
from dataloader.lockfile.model import CondaPackage, PypiPackage

if TYPE_CHECKING:
    from dataloader.base.reporter import Reporter
    from dataloader.formats.model import Listed, LockSelection, Taken, Unlocated
    from dataloader.index.client import IndexClient
    from dataloader.request.request import Request
    from dataloader.resolve.channels.rattler import Channels


async def locate(
    taken: Taken,
    wanted: LockSelection,
    request: Request,
    client: IndexClient,
    reporter: Reporter,
    *,
    cache: Path,
    environ: Mapping[str, str],
) -> tuple[list[CondaPackage], list[PypiPackage]]:
    """Return the packages of which a lock says no more than what they are called.

    Raises:
        IndexUnavailable: ``locked-file-missing``; nobody who was asked has one of them.
    """

    wheels = await together(_wheel(unlocated, taken, wanted, client) for unlocated in taken.unlocated)
    if not taken.listed:
        return [], list(wheels)
    from dataloader.machine.detect import detect_target
    from dataloader.resolve.channels.rattler import Channels

    urls = taken.channels or request.channels
    channels = Channels(
        urls,
        detect_target(wanted.platform, environ, ask=()),
        priority="disabled",
        cache=cache / "repodata",
        settings=request.settings,
        reporter=reporter,
    )
    await channels.look_up(listed.name for listed in taken.listed)
    return [await _conda(listed, channels, urls) for listed in taken.listed], list(wheels)


async def _conda(listed: Listed, channels: Channels, urls: Sequence[str]) -> CondaPackage:
    from dataloader.resolve.channels.rattler import to_package

    for record in await channels.records(listed.name):
        if (str(record.version), str(record.build)) == (listed.version, listed.build) and (
            listed.file in (None, record.url.rpartition("/")[2])
        ):
            return to_package(record)
    raise IndexUnavailable(
        f"no channel has {listed.name} {listed.version} {listed.build}",
        code="locked-file-missing",
        causes=tuple(urls),
        suggestions=("name the channel that has it: -c CHANNEL",),
    )


async def _wheel(unlocated: Unlocated, taken: Taken, wanted: LockSelection, client: IndexClient) -> PypiPackage:
    """Return the wheel of an index that has the name and the hash that the lock has, or the version alone."""
    only = (unlocated.index,) if unlocated.index else None
    listed = {file.filename: file for file in await client.project(unlocated.name, only=only)}
    if unlocated.files:
        files = unlocated.files
    else:
        from dataloader.formats.wheels import fitting, python_for, tags_of

        python = taken.python.version or python_for(None, wanted) or "3"
        tags = tags_of(python, wanted)
        of_version = [(f.filename, f.sha256 or "") for f in listed.values() if f.version == unlocated.version]
        files = dict(fitting(of_version, tags))
    for filename, sha256 in files.items():
        file = listed.get(filename)
        if file is not None and (file.sha256 is None or file.sha256 == sha256):
            return PypiPackage(
                name=unlocated.name,
                version=unlocated.version,
                url=file.url,
                sha256=sha256 or await client.digest(file),
                size=file.size,
                index=unlocated.index or file.index,
            )
    names = ", ".join(list(unlocated.files)[:2])
    what = f"{names} of {unlocated.name} {unlocated.version} with the hash that is locked"
    raise IndexUnavailable(
        f"no index has {what if names else f'a wheel of {unlocated.name} {unlocated.version} that fits'}",
        code="locked-file-missing",
        causes=(f"{len(listed)} files of {unlocated.name} are there",),
        suggestions=("name the index that has it: --extra-index-url URL",),
    )
