"""Wheels into the store: downloads side by side, each unpacked while it arrives."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dataloader.base.core_metadata import is_version_of
from dataloader.base.digests import hex_digest
from dataloader.base.errors import IndexUnavailable, IntegrityError, InternalError
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import together
from dataloader.base.values import dataclass
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store.behind import Workers
from dataloader.install.store.leftovers import sweep
from dataloader.install.store.recipe import Recipe
from dataloader.install.store.slips import tell_slips
from dataloader.install.store.store import StoredWheel, WheelStore, examined
from dataloader.install.switch.lease import Lease
from dataloader.lockfile.model import Package, PypiPackage
from dataloader.machine.host import available_processors
from dataloader.process.tuning import keep_freed, short_turns

if TYPE_CHECKING:
    from dataloader.install.store.unpack import ArrivingWheel

T = TypeVar("T")

_LOOK = 0.25
"""Seconds after which it is seen whether more can be fetched at once."""
_AGAIN = "Run the command again: it will be fetched anew."
_BUSY = 0.75
"""Share of the processors' time from which on more downloads would only get into each other's way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The wheels of a lock, all in the store."""

    wheels: dict[str, StoredWheel]
    """By normalised name."""
    downloaded_bytes: int


class Archives:
    """Brings archives into the cache's download folder, each once for all syncs that share the cache."""

    def __init__(
        self, options: SyncOptions, reporter: Reporter, download: Downloader, stage: str, packages: Sequence[Package]
    ) -> None:
        self.folder = options.cache_dir / "downloads"
        self.downloaded_bytes = 0
        self._options = options
        self._reporter = reporter
        self._download = download
        self._stage = stage
        self._began = time.monotonic()
        self._waiting = len(packages)
        processors = available_processors()
        self.workers = Workers(processors)
        """Of those who unpack."""
        self._slots = asyncio.Semaphore(min(options.downloads, processors))
        self._widening = asyncio.ensure_future(self._widen(max(0, options.downloads - processors), processors))
        self.folder.mkdir(parents=True, exist_ok=True)
        sizes = [package.size for package in packages]
        known = None if None in sizes else sum(size or 0 for size in sizes)
        reporter.event("stage-started", stage=stage, total=len(packages), unit="packages", bytes=known)

    def lease(self, package: Package) -> Lease:
        """Held while an archive is fetched and used."""
        # Where the lock has no sha256, the archive's address stands for it.
        name = package.stored_as or hashlib.sha256(package.url.encode()).hexdigest()
        path = self.folder / f"{name}.lease"
        clear = partial(sweep, self._options.cache_dir)  # who died with it left half of a wheel, or of several
        return Lease(path, package.file_name, self._reporter, self._options.wait_seconds, clear)

    def path(self, package: PypiPackage) -> Path:
        """Where a wheel's archive lies, if it is written at all."""
        return self.folder / f"{package.stored_as}.whl"

    def shared_path(self, package: Package) -> Path:
        """The same for a conda package; rattler tells the two formats by their names."""
        return self.folder / f"{package.sha256}.{'conda' if package.file_name.endswith('.conda') else 'tar.bz2'}"

    async def bring(self, package: Package, archive: Path, arriving: ArrivingWheel | None = None) -> None:
        """Make ``archive`` the package's file, or hand it to ``arriving`` as it comes. The caller holds its lease."""
        async with self._slots:
            began = time.monotonic()
            # A whole archive is there when another sync has fetched it, and died or is about to unpack it.
            if await asyncio.to_thread(_is_whole, archive, package.sha256 or ""):
                self._done(package, "cache", archive.stat().st_size)
                return
            with self.workers.one_more():
                size = await self._fetch(package, archive, arriving)
        self._done(package, source_of(package), size, time.monotonic() - began)

    async def bring_whole(self, package: Package, archive: Path) -> None:
        """Make ``archive`` the file of a package that was brought, if it is not."""
        async with self._slots:
            if not archive.exists():
                self._reporter.debug(f"{package.file_name} cannot be unpacked as it comes and is fetched whole.")
                await self._fetch(package, archive, None)

    async def build(self, package: PypiPackage, folder: Path) -> Path:
        """Have a source's wheel made below a folder. The caller holds its lease."""
        if self._options.build is None:
            raise InternalError(f"{package.file_name} is to be built, and nothing is there that builds")
        began = time.monotonic()
        wheel, is_fetched = await self._options.build(package, folder)
        size = wheel.stat().st_size
        self.downloaded_bytes += size if is_fetched else 0
        self._done(package, "network" if is_fetched else "built", size, time.monotonic() - began)
        return wheel

    def was_there(self, package: Package) -> None:
        """Another sync has brought it into the cache meanwhile."""
        self._done(package, "cache")

    def brought_by_another(self, package: Package) -> None:
        """Somebody else's means have brought it."""
        self._done(package, source_of(package))

    def close(self, *, is_ok: bool = False) -> None:
        """End the stage, if it has not ended."""
        self._widening.cancel()
        if self._stage:
            seconds = round(time.monotonic() - self._began, 3)
            self._reporter.event("stage-finished", stage=self._stage, seconds=seconds, ok=is_ok)
            self._stage = ""

    async def _widen(self, slots: int, processors: int) -> None:
        """Fetch ``slots`` more at once, one after the other, while the processors wait for the network.

        Where they do not, the largest files share the processors among them first, and the small ones fill what is
        left: with all at once, the largest one would be alone at the end.
        """
        while slots:
            began, used = time.monotonic(), time.process_time()
            await asyncio.sleep(_LOOK)
            if time.process_time() - used < _BUSY * processors * (time.monotonic() - began):
                self._slots.release()
                slots -= 1

    async def _fetch(self, package: Package, archive: Path, arriving: ArrivingWheel | None) -> int:
        await self._download(package.url, package.sha256, package.size, archive, package.file_name, arriving)
        if arriving is not None and (arriving.size or not archive.exists()):
            size = arriving.size
        else:
            size = archive.stat().st_size
        self.downloaded_bytes += size
        return size

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
    """Tell programs that a package is at hand: from the ``cache``, the ``network``, a ``file``, or just ``built``."""
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
    found = {package.name: (package, store.find(package.stored_as)) for package in packages}
    if options.rebuild:  # what somebody changed in place may have been changed in the cache with it
        for name, (package, stored) in found.items():
            if stored:
                found[name] = package, await asyncio.to_thread(store.examine, stored, reporter, all_files=True)
    wheels = {name: stored for name, (_, stored) in found.items() if stored}
    missing = [package for package, stored in found.values() if not stored]
    _check_offline(missing, options)
    for name, stored in wheels.items():
        package = found[name][0]
        _check_identity(package, stored)
        # Where the index gave no size, what the files take says as much.
        tell_package(reporter, package, "cache", package.size or sum(file.size for file in stored.recipe.files))
    if not missing:
        return Fetched(wheels=await _with_true_records(wheels, store, options, reporter), downloaded_bytes=0)
    archives = Archives(options, reporter, download, "download", missing)
    keep_freed()
    reporter.start("unpack", "Unpacking wheels", None)
    with short_turns(), ThreadPoolExecutor(options.downloads, thread_name_prefix="unpack") as pool:

        async def fetch(package: PypiPackage) -> StoredWheel:
            async with archives.lease(package):
                if stored := store.find(package.stored_as):
                    archives.was_there(package)
                    return stored  # another process has fetched it meanwhile
                try:
                    unpack = partial(_unpack, package, archives, pool, reporter)
                    stored = await store.add(package.stored_as, unpack, reporter)
                    _check_identity(package, stored)
                except IntegrityError:
                    archives.path(package).unlink(missing_ok=True)  # it was refused
                    store.discard(package.stored_as)
                    raise
                archives.path(package).unlink(missing_ok=True)
                return stored

        try:
            # Large ones first: the longest download bounds the whole.
            ordered = sorted(missing, key=lambda package: -(package.size or 0))
            done = await together([fetch(package) for package in ordered])
        finally:
            archives.close()
            reporter.finish("unpack")
    wheels |= {package.name: stored for package, stored in zip(ordered, done, strict=True)}
    wheels = await _with_true_records(wheels, store, options, reporter)
    return Fetched(wheels=wheels, downloaded_bytes=archives.downloaded_bytes)


async def _with_true_records(
    wheels: dict[str, StoredWheel], store: WheelStore, options: SyncOptions, reporter: Reporter
) -> dict[str, StoredWheel]:
    """The same wheels; where records have to be true, none that differs from its own.

    The archives have the locked hashes, so what differs is a publisher's slip: it is told, and refused if so asked.
    """
    if options.strict_records:
        for name, stored in wheels.items():
            examined = await asyncio.to_thread(store.examine, stored, reporter, all_files=False)
            if examined is None:
                raise IntegrityError(f"{stored.files} is damaged", code="cache-damaged", suggestions=(_AGAIN,))
            wheels[name] = examined
    slips = {f"{w.recipe.name} {w.recipe.version}": sorted(w.recipe.slips) for w in wheels.values() if w.recipe.slips}
    tell_slips(slips, "RECORD", reporter, code="wheel-record-mismatch", strict=options.strict_records)
    return wheels


async def _unpack(package: PypiPackage, archives: Archives, pool: Executor, reporter: Reporter, files: Path) -> Recipe:
    """Fetch a wheel and unpack it into ``files``: while it comes, if that can be."""
    from dataloader.install.store.unpack import ArrivingWheel, unpack_wheel

    def unpacked(amount: int) -> None:
        reporter.advance("unpack", amount)

    if package.build is not None:
        with tempfile.TemporaryDirectory(dir=files.parent, prefix=".build-") as folder:
            wheel = await archives.build(package, Path(folder))
            recipe = await unpack_wheel(wheel, wheel.name, files, pool, unpacked)
        # What is known of its libraries is kept by their content: another build of this key may differ.
        made = StoredWheel(sha256=package.stored_as, layer=files, files=files, recipe=recipe)
        return (await asyncio.to_thread(examined, made, all_files=False))[0].recipe
    archive = archives.path(package)
    arriving = ArrivingWheel(package.file_name, files, pool, archives.workers)
    try:
        await archives.bring(package, archive, arriving)
        arrived = await asyncio.to_thread(arriving.recipe)  # it waits for the pool
    finally:
        arriving.close()
    if arrived is not None:
        unpacked(sum(file.size for file in arrived.files))
        return arrived
    await archives.bring_whole(package, archive)
    return await unpack_wheel(archive, package.file_name, files, pool, unpacked)


def source_of(package: Package) -> str:
    """Where a package that the cache lacks comes from."""
    return "file" if package.url.startswith("file:") else "network"


def _check_offline(missing: list[PypiPackage], options: SyncOptions) -> None:
    fetched = [package for package in missing if package.build is None]  # who builds says what is lacking
    remote = [package for package in fetched if source_of(package) == "network" and not options.at_hand(package.url)]
    if options.offline and remote:
        raise IndexUnavailable(
            f"{len(remote)} wheel(s) are not in the cache, and --offline keeps the network away",
            code="offline-missing",
            causes=tuple(sorted(package.file_name for package in remote)),
            suggestions=(
                "run `dataloader sync` once without --offline, or set DATALOADER_CACHE_DIR to a filled cache",
                "or name the folder that has them with --find-links",
            ),
        )


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
        same_version = is_version_of(str(Version(recipe.version)), str(Version(package.version)))
    except InvalidVersion:
        same_version = recipe.version == package.version
    if recipe.name != package.name or not same_version:
        raise IntegrityError(
            f"{package.file_name} is {recipe.name} {recipe.version}, not {package.name} {package.version} as locked",
            code="wheel-identity",
            suggestions=("make the lock again with `dataloader lock`",),
        )
