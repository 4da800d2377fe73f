"""Conda packages into the cache: downloaded as wheels are, unpacked by rattler beside it, judged, and taken in.

What only rattler can fetch (other schemes than http, hashes other than sha256, servers that want credentials which its
own store has) it unpacks as it comes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dataloader.base.digests import hex_digest
from dataloader.base.errors import DataloaderError, DiskFull, IndexUnavailable, IntegrityError, PrefixError, UsageError
from dataloader.base.files import remove_tree
from dataloader.base.links import takes_symbolic_links
from dataloader.base.redaction import redact
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import to_its_end, together
from dataloader.install.bounds import Refused
from dataloader.install.conda.cache import Unpacked, find, judged, refused, take_in, temporary_folder
from dataloader.install.conda.contents import with_true_record
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store.fetch import Archives, source_of
from dataloader.install.switch.settle import settle, wait_for_all
from dataloader.lockfile.model import CondaPackage
from dataloader.machine.host import available_processors

_NETWORK = r"status|http|request|connect|dns|timed out|presign|truncated|failed to open"
"""rattler's words for what a server or a channel's folder did not give."""


async def fetch_conda(
    missing: Iterable[CondaPackage], options: SyncOptions, reporter: Reporter, download: Downloader
) -> tuple[dict[CondaPackage, Unpacked], int]:
    """Fetch packages into the writable cache.

    Returns:
        Their entries, and the bytes downloaded.

    Raises:
        IndexUnavailable: one cannot be had; offline, all that are missing are named.
        IntegrityError: one does not have the locked hash, or wants what it may not have.
        DiskFull, PrefixError: as their names say.
    """
    missing = list(missing)
    if not missing:
        return {}, 0
    _check_offline(missing, options)
    fetching = _Fetching(options, reporter, Archives(options, reporter, download, "download-conda", missing))
    try:
        entries = await together([fetching.entry_of(package) for package in missing])
    finally:
        fetching.archives.close()
    return dict(zip(missing, entries, strict=True)), fetching.archives.downloaded_bytes


class _Fetching:
    """The packages that one sync fetches."""

    def __init__(self, options: SyncOptions, reporter: Reporter, archives: Archives) -> None:
        self.archives = archives
        self._options = options
        self._reporter = reporter
        self._slots = asyncio.Semaphore(available_processors())

    async def entry_of(self, package: CondaPackage) -> Unpacked:
        """The entry of a package, made by us unless another sync was quicker."""
        cache_dir = self._options.cache_dir
        async with self.archives.lease(package):
            found = await asyncio.to_thread(find, [package], cache_dir, ())
            if package in found.entries:
                self.archives.was_there(package)
                return found.entries[package]
            archive = await self._bring(package)
            try:
                async with self._slots:
                    entry = await self._unpack(package, archive)
            except IntegrityError:
                if archive is not None:
                    archive.unlink(missing_ok=True)  # it has the locked hash, and would be refused for ever
                raise
            if archive is not None:
                archive.unlink(missing_ok=True)
            else:
                self.archives.brought_by_another(package)
            return entry

    async def _bring(self, package: CondaPackage) -> Path | None:
        """The archive, in the cache's folder of downloads; ``None`` where rattler takes it from where it lies."""
        if not package.sha256 or not (self._options.bundled or package.url.startswith("http")):
            await asyncio.to_thread(_check_local_archive, package)
            return None
        archive = self.archives.shared_path(package)
        try:
            await self.archives.bring(package, archive)
        except UsageError as error:
            if error.code != "index-auth":
                raise
            self._reporter.debug(f"{error.message} Trying what rattler's own store of credentials has.")
            return None
        return archive

    async def _unpack(self, package: CondaPackage, archive: Path | None) -> Unpacked:
        cache_dir = self._options.cache_dir
        folder = temporary_folder(cache_dir)
        try:
            await self._extract(package, archive, folder)
            contents = await asyncio.to_thread(judged, folder, package)
            _check_descriptions(package, folder)
            all_files = self._options.strict_records or self._options.rebuild
            contents = await asyncio.to_thread(with_true_record, folder, contents, all_files=all_files)
            sizes = await settle(folder, self._reporter)
            entry = await asyncio.to_thread(take_in, folder, package, cache_dir, contents)
            await wait_for_all(entry, sizes)
        finally:
            await to_its_end(asyncio.to_thread(remove_tree, folder))
        return Unpacked(layer=cache_dir, contents=contents)

    async def _extract(self, package: CondaPackage, archive: Path | None, folder: Path) -> None:
        """Unpack an archive by rattler, which keeps it inside the folder and checks its hash."""
        from rattler.networking import Client
        from rattler.package_streaming import download_and_extract

        url = package.url if archive is None else archive.absolute().as_uri()
        client = self._options.conda_client or Client.default_client()  # without one it knows no credentials
        sha256 = bytes.fromhex(package.sha256) if package.sha256 else None
        try:
            _, md5 = await to_its_end(download_and_extract(client, url, folder, sha256))
        except OSError as error:
            is_here = archive is not None or package.url.startswith("file:")
            raise _translated(str(error), package, folder, is_here=is_here) from error
        if not sha256 and package.md5 and md5.hex() != package.md5:
            raise _differs(package.file_name, "md5", package.md5, md5.hex())


def _check_descriptions(package: CondaPackage, folder: Path) -> None:
    """Have rattler read what it will read when it links, so that it never stumbles then."""
    from rattler.package import IndexJson, PathsJson

    try:
        IndexJson.from_package_directory(folder)
        PathsJson.from_package_directory_with_deprecated_fallback(folder)
    except Exception as error:
        raise refused(package, Refused(f"is described as no package is: {error}", escapes=False)) from error


def _check_offline(missing: list[CondaPackage], options: SyncOptions) -> None:
    remote = [
        package.url for package in missing if source_of(package) == "network" and not options.at_hand(package.url)
    ]
    if options.offline and remote:
        raise IndexUnavailable(
            f"{len(remote)} conda package(s) are not in the cache, and --offline keeps the network away",
            code="offline-missing",
            causes=tuple(sorted(remote)),
            suggestions=(
                "run `dataloader sync` once without --offline, or set DATALOADER_CACHE_DIR to a filled cache",
                "or name the folder that has them with --find-links",
            ),
        )


def _check_local_archive(package: CondaPackage) -> None:
    """An archive of a file:// channel, before anything of it is unpacked."""
    if not package.url.startswith("file:"):
        return
    path = Path(unquote(urlsplit(package.url).path))
    for algorithm, expected in (("sha256", package.sha256), ("md5", package.md5)):
        if not expected:
            continue
        try:
            found = hex_digest(path, algorithm)
        except FileNotFoundError as error:
            raise IndexUnavailable(f"{path} is not there (any more)", code="channel-unavailable") from error
        if found != expected:
            raise _differs(str(path), algorithm, expected, found)
        return


def _differs(what: str, algorithm: str, expected: str, found: str) -> IntegrityError:
    return IntegrityError(
        f"{what} does not have the locked {algorithm}",
        code="hash-mismatch",
        causes=(f"expected {expected}", f"found {found}"),
        suggestions=("make the lock again with `dataloader lock` if the channel has changed on purpose",),
    )


def _translated(message: str, package: CondaPackage, folder: Path, *, is_here: bool) -> DataloaderError:
    """rattler's errors are text; the words below are those of its hash check, its HTTP client and the system.

    Args:
        is_here: Whether the archive lies on this machine, whole and of the right hash: then only its content or our
            own volume can be at fault.
    """
    fact = redact(message.strip())
    if re.search(r"os error (28|122)\b|No space left|quota", fact):
        return DiskFull(f"the volume of {folder.parent} is full", causes=(fact,))
    if re.search(r"os error (1|13|30)\)|[Pp]ermission denied|[Rr]ead-only", fact):
        return PrefixError(f"the cache {folder.parent} cannot be written", code="prefix-read-only", causes=(fact,))
    if takes_symbolic_links(folder) is False:
        return PrefixError(
            f"the cache {folder.parents[1]} is on a volume without symbolic links, which conda packages hold",
            code="volume-without-links",
            causes=(fact,),
            suggestions=("choose a cache on another volume with DATALOADER_CACHE_DIR; the environment may stay",),
        )
    if not folder.is_dir():
        return IndexUnavailable(f"{folder} was removed while {package.file_name} was unpacked", causes=(fact,))
    if re.search(r"hash mismatch", fact, re.IGNORECASE):
        return IntegrityError(
            f"{package.file_name} is not what the lock promises", code="hash-mismatch", causes=(fact,)
        )
    if not is_here and re.search(_NETWORK, fact, re.IGNORECASE):
        return IndexUnavailable(f"{package.file_name} cannot be fetched", code="channel-unavailable", causes=(fact,))
    outside = re.search(r"outside of destination|escapes the destination", fact)
    return refused(package, Refused(f"cannot be unpacked: {fact}", escapes=outside is not None))
