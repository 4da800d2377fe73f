"""Wheels into the store: downloads side by side, each unpacked while the next ones arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataloader.errors import IndexUnavailable, IntegrityError
from dataloader.install.hashing import hex_digest
from dataloader.install.lease import Lease
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store import StoredWheel, WheelStore
from dataloader.lockfile.model import PypiPackage
from dataloader.reporter import Reporter

T = TypeVar("T")

_UNPACKERS = 2
"""Threads. Measured on 4.7 GB of wheels: a third one gains nothing, the disk is the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The wheels of a lock, all in the store."""

    wheels: dict[str, StoredWheel]
    """By normalised name."""
    downloaded_bytes: int


async def fetch_wheels(
    packages: Iterable[PypiPackage],
    store: WheelStore,
    options: SyncOptions,
    reporter: Reporter,
    download: Downloader,
) -> Fetched:
    """Make sure that the store has every wheel.

    Raises:
        IndexUnavailable: offline, and some are missing (all are named); or no server answered.
        IntegrityError: a wheel does not have the locked hash, or is not a wheel.
    """
    found = {package.name: (package, store.find(package.sha256)) for package in packages}
    wheels = {name: stored for name, (_, stored) in found.items() if stored}
    missing = [package for package, stored in found.values() if not stored]
    remote = [package for package in missing if not package.url.startswith("file:")]
    if options.offline and remote:
        raise IndexUnavailable(
            f"{len(remote)} wheel(s) are not in the cache, and --offline keeps the network away.",
            code="offline-missing",
            causes=tuple(sorted(package.file_name for package in remote)),
            suggestions=(
                "Run `dataloader sync` once without --offline, or set DATALOADER_CACHE_DIR to a filled cache.",
            ),
        )
    if not missing:
        return Fetched(wheels=wheels, downloaded_bytes=0)
    folder = options.cache_dir / "downloads"
    folder.mkdir(parents=True, exist_ok=True)
    slots = asyncio.Semaphore(options.downloads)
    downloaded = 0
    reporter.start("unpack", "Unpacking wheels", None)
    with ThreadPoolExecutor(_UNPACKERS, thread_name_prefix="unpack") as pool:

        async def fetch(package: PypiPackage) -> StoredWheel:
            nonlocal downloaded
            lease = Lease(folder / f"{package.sha256}.lease", package.file_name, reporter, options.wait_seconds)
            async with lease:
                if stored := store.find(package.sha256):
                    return stored  # another process has fetched it meanwhile
                archive = folder / f"{package.sha256}.whl"
                async with slots:
                    # A whole archive is there when an earlier sync died while it was unpacking.
                    if not await asyncio.to_thread(_is_whole, archive, package.sha256):
                        await download(package.url, package.sha256, package.size, archive, package.file_name)
                size = archive.stat().st_size
                stored = await store.add(archive, package.file_name, package.sha256, pool, reporter)
                _check_identity(package, stored)
                archive.unlink()
                downloaded += size
                return stored

        try:
            # Large ones first: the longest download bounds the whole.
            ordered = sorted(missing, key=lambda package: -(package.size or 0))
            done = await gather_or_cancel([fetch(package) for package in ordered])
        finally:
            reporter.finish("unpack")
    wheels |= {package.name: stored for package, stored in zip(ordered, done, strict=True)}
    return Fetched(wheels=wheels, downloaded_bytes=downloaded)


async def gather_or_cancel(work: list[Coroutine[Any, Any, T]]) -> list[T]:
    """Like ``asyncio.gather``, but the first failure stops the others before it is raised."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _is_whole(archive: Path, sha256: str) -> bool:
    try:
        return hex_digest(archive) == sha256
    except FileNotFoundError:
        return False


def _check_identity(package: PypiPackage, stored: StoredWheel) -> None:
    """The lock's hash may name a wheel of another project or version: a hand-edited or tampered lock."""
    from packaging.version import InvalidVersion, Version

    recipe = stored.recipe
    try:
        same_version = Version(recipe.version) == Version(package.version)
    except InvalidVersion:
        same_version = recipe.version == package.version
    if recipe.name != package.name or not same_version:
        raise IntegrityError(
            f"{package.file_name} is {recipe.name} {recipe.version}, not {package.name} {package.version} as locked.",
            code="wheel-identity",
            suggestions=("Make the lock again with `dataloader lock`.",),
        )
