"""rattler's solver by itself, as a judge and a peer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

import rattler


async def solve_alone(
    channels: Iterable[str],
    specs: Iterable[str],
    *,
    platform: str = "linux-64",
    glibc: str = "2.36",
    exclude_newer: dt.datetime | None = None,
    cache: Path | None = None,
) -> list[rattler.RepoDataRecord]:
    """Return what rattler chooses for match specs on a machine without a GPU."""
    virtual = (("__glibc", glibc), ("__linux", "5.10"), ("__unix", "0"))
    return await rattler.solve(
        sources=[rattler.Channel(url) for url in channels],
        specs=[rattler.MatchSpec(spec) for spec in specs],
        platforms=[rattler.Subdir(platform), rattler.Subdir("noarch")],
        virtual_packages=[
            rattler.GenericVirtualPackage(rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0"))
            for name, version in virtual
        ],
        exclude_newer=exclude_newer,
        gateway=rattler.Gateway(cache_dir=cache) if cache is not None else None,
    )
