"""Conda packages into a tree: the only place of ``install`` that knows rattler."""

# ruff: noqa: ARG002  (the shape of rattler's reporter is rattler's)

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from dataloader.base.digests import hex_digest
from dataloader.base.errors import DataloaderError, DiskFull, IndexUnavailable, IntegrityError, PrefixError
from dataloader.base.reporter import Reporter
from dataloader.install.conda.cache import (
    discard,
    entry_name,
    find_damage,
    missing_of,
    note_new,
    package_cache,
)
from dataloader.install.conda.fetch import CondaArchives
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store.fetch import tell_package
from dataloader.install.store.store import VanishedEntry
from dataloader.lockfile.model import CondaPackage

if TYPE_CHECKING:
    from rattler import PackageRecord, RepoDataRecord
    from rattler.package_cache import PackageCache


async def link_conda(
    packages: Iterable[CondaPackage],
    tree: Path,
    final: Path,
    *,
    platform: str,
    options: SyncOptions,
    reporter: Reporter,
    download: Downloader,
) -> int:
    """Fetch what the caches lack and link all packages into the empty ``tree``, patched to live at ``final``.

    Returns the bytes downloaded.

    Raises:
        IndexUnavailable: an archive cannot be had; offline, all that are missing are named.
        IntegrityError: an archive does not have the locked hash.
        DiskFull, PrefixError: as their names say.
        VanishedEntry: another process has removed a package from the cache.
    """
    cache_dir, layers = options.cache_dir, options.layers
    records = {package: to_record(package) for package in packages}
    damages = find_damage(records, cache_dir, layers)
    for damage in damages:
        reporter.warn(f"A cache entry is damaged ({damage.path} of {damage.package.name}); fetching it again.")
        discard(damage, cache_dir)
    cache = package_cache(cache_dir, layers, damages)
    index = await cache.index()
    missing = [package for package, record in records.items() if not index.contains_record(record)]
    remote = [package.url for package in missing if not package.url.startswith("file:")]
    if options.offline and remote:
        raise IndexUnavailable(
            f"{len(remote)} conda package(s) are not in the cache, and --offline keeps the network away.",
            code="offline-missing",
            causes=tuple(sorted(remote)),
            suggestions=(
                "Run `dataloader sync` once without --offline, or set DATALOADER_CACHE_DIR to a filled cache.",
            ),
        )
    for package in missing:
        _check_local_archive(package)
    for package in records.keys() - set(missing):
        tell_package(reporter, package, "cache")
    archives = CondaArchives(options, reporter, download)
    try:
        await archives.fetch(missing)
        records |= {package: to_record(local) for package, local in archives.local.items()}
        rest = [package for package in missing if package not in archives.local]
        progress = _Progress(reporter, sum(package.size or 0 for package in rest))
        try:
            await _install(records.values(), tree, final, platform, options, progress, cache)
        except DataloaderError as error:
            # Whatever rattler says of it: what was there when it began and is not now was removed by another process.
            vanished = missing_of(records.keys() - set(missing), cache_dir, layers)
            if not vanished:
                raise
            raise VanishedEntry(cache_dir / "pkgs" / entry_name(vanished[0])) from error
        archives.tell_origin(tree)
        archives.remove()
    except (IntegrityError, PrefixError):
        archives.remove()  # they would be refused again
        raise
    finally:
        archives.close()
    note_new(missing, cache_dir)
    return archives.downloaded_bytes + progress.downloaded


async def _install(
    records: Iterable[RepoDataRecord],
    tree: Path,
    final: Path,
    platform: str,
    options: SyncOptions,
    progress: _Progress,
    cache: PackageCache,
) -> None:
    import rattler
    from rattler.exceptions import InstallerError, IoError, LinkError
    from rattler.networking import Client

    try:
        await rattler.install(
            list(records),
            target_prefix=tree,
            platform=rattler.Subdir(platform),
            execute_link_scripts=False,
            client=options.conda_client or Client.default_client(),  # without one it knows no credentials
            reporter=progress,
            alternative_target_prefix=final,
            package_cache=cache,
        )
    except (InstallerError, LinkError, IoError) as error:
        raise _translated(str(error), tree) from error
    finally:
        progress.close()


def to_record(package: CondaPackage) -> RepoDataRecord:
    """A locked package as rattler installs it."""
    from rattler import RepoDataRecord

    return RepoDataRecord(package_record(package), package.file_name, package.url, package.channel)


def package_record(package: CondaPackage) -> PackageRecord:
    """What the lock knows of a package, as rattler has it; where it lies apart."""
    from rattler import PackageRecord
    from rattler.package import BuildString

    return PackageRecord(
        package.name,
        package.version,
        BuildString(package.build),
        package.build_number,
        package.subdir,
        noarch=package.noarch,  # type: ignore[arg-type]  # the lock's reader has checked the word
        depends=list(package.depends),
        constrains=list(package.constrains),
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        size=package.size,
        license=package.license,
        python_site_packages_path=package.python_site_packages_path,
    )


def _check_local_archive(package: CondaPackage) -> None:
    """rattler checks what it downloads, but takes an archive of a file:// channel as it is (py-rattler 0.28)."""
    if not package.url.startswith("file:"):
        return
    path = Path(unquote(urlsplit(package.url).path))
    for algorithm, expected in (("sha256", package.sha256), ("md5", package.md5)):
        if not expected:
            continue
        try:
            found = hex_digest(path, algorithm)
        except FileNotFoundError as error:
            raise IndexUnavailable(f"{path} is not there (any more).", code="channel-unavailable") from error
        if found != expected:
            raise IntegrityError(
                f"{path} does not have the locked {algorithm}.",
                code="hash-mismatch",
                causes=(f"expected {expected}", f"found {found}"),
                suggestions=("Make the lock again with `dataloader lock` if the channel has changed on purpose.",),
            )
        return


def _translated(message: str, tree: Path) -> DataloaderError:
    """rattler's errors are text; the words below are those of its hash check, its HTTP client and the system."""
    fact = re.sub(r"//[^/@\s]+@", "//", re.sub(r"/t/[^/\s]+/", "/t/***/", message.strip()))
    if re.search(r"hash mismatch|sha256|md5|checksum|invalid (zip|gzip|tar)|zstd|unexpected end", fact, re.IGNORECASE):
        return IntegrityError("A conda package is not what the lock promises.", code="hash-mismatch", causes=(fact,))
    if re.search(r"os error (28|122)|No space left|quota", fact):
        return DiskFull(f"The volume of {tree.parent} or of the cache is full.", causes=(fact,))
    if re.search(r"os error (1|13|30)\)|[Pp]ermission denied|[Rr]ead-only", fact):
        return PrefixError(f"{tree.parent} or the cache cannot be written.", code="prefix-read-only", causes=(fact,))
    if re.search(r"status|HTTP|request|connect|dns|timed out|No such file", fact, re.IGNORECASE):
        return IndexUnavailable("A conda package cannot be fetched.", code="channel-unavailable", causes=(fact,))
    return PrefixError("The conda packages cannot be installed.", code="conda-install-failed", causes=(fact,))


class _Progress:
    """rattler's ``InstallerReporter``: downloads are told in bytes, linking in packages."""

    def __init__(self, reporter: Reporter, total: int) -> None:
        self._reporter = reporter
        self._total = total
        self._seen: dict[int, int] = {}
        self._started: set[str] = set()

    @property
    def downloaded(self) -> int:
        """Bytes so far."""
        return sum(self._seen.values())

    def close(self) -> None:
        """End the tasks that were begun."""
        for task in sorted(self._started):
            self._reporter.finish(task)
        self._started.clear()

    def on_transaction_start(self, total_operations: int) -> None:
        self._start("conda-link", "Linking conda packages", total_operations, "packages")

    def on_transaction_operation_start(self, operation: int) -> None: ...

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_validate_start(self, cache_entry: int) -> int:
        return cache_entry

    def on_validate_complete(self, validate_idx: int) -> None: ...

    def on_download_start(self, cache_entry: int) -> int:
        self._start("conda-download", "Downloading conda packages", self._total, "bytes")
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:
        self._reporter.advance("conda-download", progress - self._seen.get(download_idx, 0))
        self._seen[download_idx] = progress

    def on_download_completed(self, download_idx: int) -> None: ...

    def on_populate_cache_complete(self, cache_entry: int) -> None: ...

    def on_unlink_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_unlink_complete(self, index: int) -> None: ...

    def on_link_start(self, operation: int, package_name: str) -> int:
        return operation

    def on_link_complete(self, index: int) -> None: ...

    def on_transaction_operation_complete(self, operation: int) -> None:
        self._reporter.advance("conda-link", 1)

    def on_transaction_complete(self) -> None: ...

    def on_post_link_start(self, package_name: str, script_path: str) -> int:
        return 0

    def on_post_link_complete(self, index: int, success: bool) -> None: ...

    def on_pre_unlink_start(self, package_name: str, script_path: str) -> int:
        return 0

    def on_pre_unlink_complete(self, index: int, success: bool) -> None: ...

    def _start(self, task: str, label: str, total: int, unit: str) -> None:
        if task not in self._started:
            self._started.add(task)
            self._reporter.start(task, label, total, unit)
