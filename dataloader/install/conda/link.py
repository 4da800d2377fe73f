"""Conda packages into a tree: the only place of ``install`` that knows rattler."""

# ruff: noqa: ARG002  (the shape of rattler's reporter is rattler's)

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from dataloader.base.errors import DataloaderError, DiskFull, IndexUnavailable, IntegrityError, PrefixError
from dataloader.base.links import links_are_links, takes_symbolic_links
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.install.bounds import Refused
from dataloader.install.conda.cache import (
    InLayers,
    Unpacked,
    discard,
    entry_name,
    find,
    missing_of,
    package_cache,
    refused,
)
from dataloader.install.conda.contents import ANY_SITE_PACKAGES, INDEX, PATHS, check_identity, check_together, placed_in
from dataloader.install.conda.fetch import fetch_conda
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store.entries import VanishedEntry
from dataloader.install.store.fetch import tell_package
from dataloader.install.store.slips import Slip, tell_slips
from dataloader.lockfile.model import CondaPackage
from dataloader.prefix.layout import conda_layout

if TYPE_CHECKING:
    from rattler import PackageRecord, RepoDataRecord
    from rattler.package_cache import PackageCache


class Linked(NamedTuple):
    """The conda packages of an environment."""

    downloaded_bytes: int
    slips: dict[str, Slip]
    """Of files that differ from what their package's own record said of them, by path in the environment."""


async def link_conda(
    packages: Iterable[CondaPackage],
    tree: Path,
    final: Path,
    *,
    platform: str,
    options: SyncOptions,
    reporter: Reporter,
    download: Downloader,
) -> Linked:
    """Fetch what the caches lack and link all packages into the empty ``tree``, patched to live at ``final``.

    Raises:
        IndexUnavailable: an archive cannot be had; offline, all that are missing are named.
        IntegrityError: an archive does not have the locked hash, or wants what it may not have; nothing was linked.
        DiskFull, PrefixError: as their names say.
        VanishedEntry: another process has removed a package from the cache.
    """
    packages = tuple(packages)
    if "\n" in str(final):
        raise PrefixError(
            f"the path {str(final)!r} has two lines, and scripts of conda packages begin with one that names it",
            suggestions=("sync to another directory",),
        )
    for package in packages:
        _check_identity(package)
    found = _found(packages, options, reporter)
    missing = [package for package in packages if package not in found.entries]
    fetched, downloaded = await fetch_conda(missing, options, reporter, download)
    entries = found.entries | fetched
    site_packages = _site_packages(entries)
    for warning in _judge(entries, site_packages):
        reporter.warn(warning)
    _tell_slips(entries, options, reporter)
    _check_links(entries, tree, final)
    cache = package_cache(options.cache_dir, options.layers, found.damages)
    try:
        records = [to_record(completed(package, entries[package])) for package in packages]
        may_link = all(links_are_links(_index_of(package, entries[package]), tree) for package in packages[:1])
        await _install(records, tree, final, platform, options, _Progress(reporter), cache, may_link=may_link)
    except DataloaderError as error:
        # Whatever rattler says of it: what was there when it began and is not now was removed by another process.
        vanished = missing_of(packages, options.cache_dir, options.layers)
        if not vanished:
            raise
        raise VanishedEntry(options.cache_dir / "pkgs" / entry_name(vanished[0])) from error
    found_slips = {
        placed_in(site_packages, entry.contents, path): slip
        for entry in entries.values()
        for path, slip in entry.contents.slips.items()
    }
    return Linked(downloaded_bytes=downloaded, slips=found_slips)


def _tell_slips(entries: Mapping[CondaPackage, Unpacked], options: SyncOptions, reporter: Reporter) -> None:
    slips = {f"{package.name} {package.version}": sorted(e.contents.slips) for package, e in entries.items()}
    slips = {package: paths for package, paths in slips.items() if paths}
    tell_slips(slips, PATHS, reporter, code="conda-record-mismatch", strict=options.strict_records)


def _check_links(entries: Mapping[CondaPackage, Unpacked], tree: Path, final: Path) -> None:
    """Refuse what rattler cannot put on a volume without symbolic links: those to folders; it copies files."""
    if not any(entry.contents.links for entry in entries.values()) or takes_symbolic_links(tree) is not False:
        return
    folders = [
        f"{path} of {package.name}, which leads to {target}"
        for package, entry in entries.items()
        for path, target in entry.contents.links.items()
        if (entry.layer / "pkgs" / entry_name(package) / path).is_dir()
    ]
    if folders:
        raise PrefixError(
            f"the volume of {final} has no symbolic links, and conda packages of the lock hold links to folders",
            code="volume-without-links",
            causes=tuple(folders[:5]),
            suggestions=(
                "choose a volume with symbolic links (NFS, JuiceFS, or SMB mounted with `mfsymlinks`)",
                "or push the environment as an image from where it can be made: `dataloader push --help`",
            ),
        )


def _index_of(package: CondaPackage, entry: Unpacked) -> Path:
    return entry.layer / "pkgs" / entry_name(package) / INDEX


def _found(packages: tuple[CondaPackage, ...], options: SyncOptions, reporter: Reporter) -> InLayers:
    """Return what the caches have; what is damaged there is told, and made room for."""
    found = find(packages, options.cache_dir, options.layers, anew=options.rebuild or options.strict_records)
    for damage in found.damages:
        reporter.warn(f"a cache entry is damaged ({damage.path} of {damage.package.name}); fetching it again")
        if damage.layer == options.cache_dir:
            discard(damage.package, options.cache_dir)
    for package in found.entries:
        tell_package(reporter, package, "cache")
    return found


def _check_identity(package: CondaPackage) -> None:
    try:
        check_identity(package)
    except Refused as refusal:
        raise refused(package, refusal) from refusal


def _site_packages(packages: Iterable[CondaPackage]) -> str:
    """Where modules go in the environment of these packages."""
    python = next((package for package in packages if package.name == "python"), None)
    if python is None:
        return ANY_SITE_PACKAGES
    minor = ".".join(python.version.split(".")[:2])
    return conda_layout(minor, python.python_site_packages_path).site_packages


def _judge(entries: Mapping[CondaPackage, Unpacked], site_packages: str) -> list[str]:
    """Refuse packages that would lead one another's files outside; what the user should know of the others."""
    try:
        return check_together({package: entry.contents for package, entry in entries.items()}, site_packages)
    except Refused as refusal:
        raise refusal.as_error("A conda package of the lock", code="conda-package-malformed") from refusal


async def _install(
    records: Iterable[RepoDataRecord],
    tree: Path,
    final: Path,
    platform: str,
    options: SyncOptions,
    progress: _Progress,
    cache: PackageCache,
    *,
    may_link: bool,
) -> None:
    import rattler
    from rattler.config import Config
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
            config=None if may_link else Config.from_toml("allow-hard-links = false"),
        )
    except (InstallerError, LinkError, IoError) as error:
        raise _translated(str(error), tree) from error
    finally:
        progress.close()


def completed(package: CondaPackage, entry: Unpacked) -> CondaPackage:
    """Return a package with what its own archive says of it, where the lock says next to nothing."""
    if package.described:
        return package
    index = json.loads(_index_of(package, entry).read_bytes())
    noarch = index.get("noarch")
    return replace(
        package,
        build_number=int(index.get("build_number", package.build_number)),
        noarch=noarch if noarch in ("python", "generic") else None,
        depends=tuple(index.get("depends", ())),
        constrains=tuple(index.get("constrains", ())),
        license=index.get("license"),
        python_site_packages_path=index.get("python_site_packages_path"),
    )


def to_record(package: CondaPackage) -> RepoDataRecord:
    """A locked package as rattler installs it."""
    from rattler import RepoDataRecord

    return RepoDataRecord(package_record(package), unquote(package.file_name), package.url, package.channel)


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


def _translated(message: str, tree: Path) -> DataloaderError:
    """rattler's errors are text; the words below are those of its HTTP client and the system."""
    fact = redact(message.strip())
    if re.search(r"hash mismatch", fact, re.IGNORECASE):
        return IntegrityError("a conda package is not what the lock promises", code="hash-mismatch", causes=(fact,))
    if re.search(r"os error (28|122)\b|No space left|quota", fact):
        return DiskFull(f"the volume of {tree.parent} or of the cache is full", causes=(fact,))
    if re.search(r"os error (1|13|30)\)|[Pp]ermission denied|[Rr]ead-only", fact):
        return PrefixError(f"{tree.parent} or the cache cannot be written", code="prefix-read-only", causes=(fact,))
    if re.search(r"failed to fetch|No such file", fact, re.IGNORECASE):
        return IndexUnavailable(
            "a conda package is gone from the cache while it was linked, and could not be fetched again",
            code="channel-unavailable",
            causes=(fact,),
        )
    return PrefixError("the conda packages cannot be installed", code="conda-install-failed", causes=(fact,))


class _Progress:
    """rattler's ``InstallerReporter``: linking is told in packages. What it links was fetched before."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._started: set[str] = set()

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
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None: ...

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
