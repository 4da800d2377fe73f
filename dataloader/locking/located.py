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

    wheels = await together(_wheel(each, taken, wanted, client) for each in taken.unlocated)
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
    await channels.look_up(each.name for each in taken.listed)
    return [await _conda(each, channels, urls) for each in taken.listed], list(wheels)


async def _conda(one: Listed, channels: Channels, urls: Sequence[str]) -> CondaPackage:
    from dataloader.resolve.channels.rattler import to_package

    for record in await channels.records(one.name):
        if (str(record.version), str(record.build)) == (one.version, one.build) and (
            one.file in (None, record.url.rpartition("/")[2])
        ):
            return to_package(record)
    raise IndexUnavailable(
        f"no channel has {one.name} {one.version} {one.build}",
        code="locked-file-missing",
        causes=tuple(urls),
        suggestions=("name the channel that has it: -c CHANNEL",),
    )


async def _wheel(one: Unlocated, taken: Taken, wanted: LockSelection, client: IndexClient) -> PypiPackage:
    """Return the wheel of an index that has the name and the hash that the lock has, or the version alone."""
    only = (one.index,) if one.index else None
    listed = {file.filename: file for file in await client.project(one.name, only=only)}
    if one.files:
        files = one.files
    else:
        from dataloader.formats.wheels import fitting, python_for, tags_of

        python = taken.python.version or python_for(None, wanted) or "3"
        tags = tags_of(python, wanted)
        of_version = [(f.filename, f.sha256 or "") for f in listed.values() if f.version == one.version]
        files = dict(fitting(of_version, tags))
    for filename, sha256 in files.items():
        file = listed.get(filename)
        if file is not None and (file.sha256 is None or file.sha256 == sha256):
            return PypiPackage(
                name=one.name,
                version=one.version,
                url=file.url,
                sha256=sha256 or await client.digest(file),
                size=file.size,
                index=one.index or file.index,
            )
    names = ", ".join(list(one.files)[:2])
    what = f"{names} of {one.name} {one.version} with the hash that is locked"
    raise IndexUnavailable(
        f"no index has {what if names else f'a wheel of {one.name} {one.version} that fits'}",
        code="locked-file-missing",
        causes=(f"{len(listed)} files of {one.name} are there",),
        suggestions=("name the index that has it: --extra-index-url URL",),
    )
