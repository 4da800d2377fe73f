"""Wheels into the store: downloads side by side, each unpacked while the next ones arrive."""

from __future__ import annotations

import asyncio
import time
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
from dataloader.lockfile.model import Package, PypiPackage
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


class Archives:
    """Brings archives into the cache's download folder, each once for all syncs that share the cache."""

    def __init__(self, options: SyncOptions, reporter: Reporter, download: Downloader, stage: str, count: int) -> None:
        self.folder = options.cache_dir / "downloads"
        self.downloaded_bytes = 0
        self._options = options
        self._reporter = reporter
        self._download = download
        self._stage = stage
        self._began = time.monotonic()
        self._waiting = count
        self._slots = asyncio.Semaphore(options.downloads)
        self.folder.mkdir(parents=True, exist_ok=True)
        reporter.event("stage-started", stage=stage, total=count, unit="packages")

    def lease(self, package: Package) -> Lease:
        """Held while an archive is fetched and used."""
        path = self.folder / f"{package.sha256}.lease"
        return Lease(path, package.file_name, self._reporter, self._options.wait_seconds)

    async def bring(self, package: Package, archive: Path) -> None:
        """Make ``archive`` the package's file. The caller holds its lease."""
        async with self._slots:
            began = time.monotonic()
            # A whole archive is there when another sync has fetched it, and died or is about to unpack it.
            if await asyncio.to_thread(_is_whole, archive, package.sha256 or ""):
                self._done(package, "cache", archive.stat().st_size)
                return
            await self._download(package.url, package.sha256, package.size, archive, package.file_name)
        size = archive.stat().st_size
        self.downloaded_bytes += size
        self._done(package, source_of(package), size, time.monotonic() - began)

    def was_there(self, package: Package) -> None:
        """Another sync has brought it into the cache meanwhile."""
        self._done(package, "cache")

    def gave_up(self) -> None:
        """One package is somebody else's to fetch."""
        self._count_down()

    def close(self, *, is_ok: bool = False) -> None:
        """End the stage, if it has not ended."""
        if self._stage:
            seconds = round(time.monotonic() - self._began, 3)
            self._reporter.event("stage-finished", stage=self._stage, seconds=seconds, ok=is_ok)
            self._stage = ""

    def _done(self, package: Package, source: str, size: int | None = None, seconds: float = 0.0) -> None:
        tell_package(self._reporter, package, source, size, seconds)
        self._count_down()

    def _count_down(self) -> None:
        self._waiting -= 1
        if self._waiting == 0:
            self.close(is_ok=True)


def tell_package(
    reporter: Reporter, package: Package, source: str, size: int | None = None, seconds: float = 0.0
) -> None:
    """Tell programs that a package is at hand: from the ``cache``, the ``network``, or a ``file``."""
    kind = "pypi" if isinstance(package, PypiPackage) else "conda"
    facts = {"package": package.name, "package_version": package.version, "bytes": size or package.size}
    reporter.event("package", kind=kind, source=source, seconds=round(seconds, 3), **facts)


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
    _check_offline(missing, options)
    for name, stored in wheels.items():
        package = found[name][0]
        # Where the index gave no size, what the files take says as much.
        tell_package(reporter, package, "cache", package.size or sum(file.size for file in stored.recipe.files))
    if not missing:
        return Fetched(wheels=wheels, downloaded_bytes=0)
    archives = Archives(options, reporter, download, "download", len(missing))
    reporter.start("unpack", "Unpacking wheels", None)
    with ThreadPoolExecutor(_UNPACKERS, thread_name_prefix="unpack") as pool:

        async def fetch(package: PypiPackage) -> StoredWheel:
            async with archives.lease(package):
                if stored := store.find(package.sha256):
                    archives.was_there(package)
                    return stored  # another process has fetched it meanwhile
                archive = archives.folder / f"{package.sha256}.whl"
                await archives.bring(package, archive)
                stored = await store.add(archive, package.file_name, package.sha256, pool, reporter)
                _check_identity(package, stored)
                archive.unlink()
                return stored

        try:
            # Large ones first: the longest download bounds the whole.
            ordered = sorted(missing, key=lambda package: -(package.size or 0))
            done = await gather_or_cancel([fetch(package) for package in ordered])
        finally:
            archives.close()
            reporter.finish("unpack")
    wheels |= {package.name: stored for package, stored in zip(ordered, done, strict=True)}
    return Fetched(wheels=wheels, downloaded_bytes=archives.downloaded_bytes)


def source_of(package: Package) -> str:
    """Where a package that the cache lacks comes from."""
    return "file" if package.url.startswith("file:") else "network"


def _check_offline(missing: list[PypiPackage], options: SyncOptions) -> None:
    remote = [package for package in missing if source_of(package) == "network"]
    if options.offline and remote:
        raise IndexUnavailable(
            f"{len(remote)} wheel(s) are not in the cache, and --offline keeps the network away.",
            code="offline-missing",
            causes=tuple(sorted(package.file_name for package in remote)),
            suggestions=(
                "Run `dataloader sync` once without --offline, or set DATALOADER_CACHE_DIR to a filled cache.",
            ),
        )


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
