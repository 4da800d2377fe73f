"""The index as the rest of the tool sees it: files of a project, METADATA of a wheel, downloads.

Nothing is asked twice in a process; pages and METADATA are remembered on disk.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar, final
from urllib.parse import urlsplit

from dataloader.base.cache import cache_root
from dataloader.base.digests import hex_digest
from dataloader.base.errors import IndexUnavailable, IntegrityError, InternalError
from dataloader.base.names import normalized
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import together
from dataloader.index.at_hand import AtHand
from dataloader.index.evidence import Evidence
from dataloader.index.listings import Listings
from dataloader.index.model import IndexFile, WheelMetadata
from dataloader.index.once import Once, now
from dataloader.index.settings import IndexSettings
from dataloader.index.store import IndexStore
from dataloader.index.variants import VariantsFile, parse_variants
from dataloader.index.web.addresses import local_path
from dataloader.index.web.credentials import Credentials, check_url, public_channel, redact, without_credentials
from dataloader.index.web.download import Throttle, Wanted, download
from dataloader.index.web.failures import NotFound, offline_missing
from dataloader.index.web.http import Web
from dataloader.index.web.mirrors import Mirrors
from dataloader.index.web.part import Sink
from dataloader.index.wheels.members import LocalMembers, Members, remote_members
from dataloader.index.wheels.metadata import parse_metadata
from dataloader.index.wheels.on_disk import read_metadata
from dataloader.index.wheels.ranges import fetch_metadata_text

T = TypeVar("T")


@final
class IndexClient:
    """Asks the indexes of ``settings``; use with ``async with``, in one event loop.

    Files of all indexes and find-links are joined, as pip does: the order says only which of two files of the same
    name is taken.
    """

    def __init__(
        self,
        settings: IndexSettings,
        reporter: Reporter | None = None,
        *,
        cache_dir: Path | None = None,
        known: Iterable[str] = (),
    ) -> None:
        self.settings = settings
        self._reporter = reporter or Reporter()
        self._store = IndexStore((cache_dir or cache_root(settings.environ)) / "index", self._reporter)
        configured = [*([settings.index_url] if settings.index_url else []), *settings.extra_index_urls]
        only = [url for urls in settings.index_for.values() for url in urls]
        for location in (*configured, *settings.find_links, *only):
            check_url(location)
        self._credentials = Credentials([*configured, *settings.find_links, *only], settings.environ, self._reporter)
        settings = self._remember_channels(known)
        self._indexes = [without_credentials(url) for url in configured]
        self._index_for = {
            normalized(name): tuple(without_credentials(url) for url in urls)
            for name, urls in settings.index_for.items()
        }
        self._find_links = [without_credentials(location) for location in settings.find_links]
        self.at_hand = AtHand(self._find_links, Mirrors(settings.mirrors))
        self._web = Web(settings, self._credentials, self._reporter)
        self._once = Once()
        self._listings = Listings(self._web, self._store, self.settings, self._once, self._reporter)
        self.evidence = Evidence(self._web, self._store, self.settings, self._indexes)
        """What says who published a file."""
        self._throttle = Throttle(settings.limit_rate)
        self._download_slots = asyncio.Semaphore(settings.downloads)
        self.silent: set[str] = set()
        """Hosts of further indexes that did not answer: ask no more."""

    async def __aenter__(self) -> IndexClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._once.close()
        await self._web.__aexit__(kind, error, trace)

    def _remember_channels(self, urls: Iterable[str]) -> IndexSettings:
        """What channels hold of users and passwords serves their files; an address with a token is one more mirror."""
        mirrors = dict(self.settings.mirrors)
        for url in urls:
            self._credentials.remember(url)
            public, own = public_channel(url), without_credentials(url)
            if public != own:
                mirrors[public] = (*mirrors.get(public, ()), own)
        return replace(self.settings, mirrors=mirrors)

    async def project(self, name: str, *, only: tuple[str, ...] | None = None) -> tuple[IndexFile, ...]:
        """Every file of a project, wheels and sdists, yanked ones too; ``()`` when no index knows it.

        ``only`` names the indexes that are asked instead of the configured ones, this once.

        Raises:
            IndexUnavailable: An index did not answer (``index-unreachable``, ``redirect-loop``), answered nonsense
                (``index-bad-page``), or must not be asked (``offline-missing``).
            UsageError: An index wants other credentials (``index-auth``).
        """
        project = normalized(name)
        for url in only or ():
            self._credentials.remember(url)
        only = self._index_for.get(project) if only is None else tuple(without_credentials(url) for url in only)
        asked: list[Coroutine[None, None, tuple[IndexFile, ...]]] = []
        if only is None:
            asked += [self._listings.linked(location, project) for location in self._find_links]
        if self.settings.offline:  # what a folder has needs no page that nobody kept
            linked = await together(asked)
            listed = self._listings.kept if any(linked) else self._listings.listed
            asked = [listed(index, project) for index in (self._indexes if only is None else only)]
            answers = [*linked, *await together(asked)]
        else:
            asked += [self._listings.listed(index, project) for index in (self._indexes if only is None else only)]
            answers = await together(asked)
        found: dict[str, IndexFile] = {}
        answers = [files for files in answers if files]
        for files in answers:
            for file in files:
                found.setdefault(file.filename, file)
        # What was the same before is the same: what was made of it serves again.
        return answers[0] if len(answers) == 1 and len(answers[0]) == len(found) else tuple(found.values())

    async def further(self, name: str, index: str) -> tuple[IndexFile, ...]:
        """Every file of a project that an index has which nobody configured: what may be out of reach is asked twice.

        Raises:
            IndexUnavailable, UsageError: As ``project``; also when its host did not answer before.
        """
        host = urlsplit(index).netloc
        if host in self.silent:
            raise IndexUnavailable(f"{host} did not answer before", code="index-unreachable")
        self._credentials.remember(index)
        url = without_credentials(index)
        try:
            return await self._listings.listed(url, normalized(name), retries=1)
        except IndexUnavailable:
            self.silent.add(host)
            raise

    async def account(self, name: str) -> tuple[str, ...]:
        """What each place says of a project that none of them has; its address is looked at too."""
        project = normalized(name)
        told = [
            await self._listings.account_of(index, project) for index in self._index_for.get(project, self._indexes)
        ]
        for location in self._find_links:
            path = local_path(location)
            gone = path is not None and not path.exists()
            told.append(f"{redact(location)} {'is not there' if gone else f'has no file of {project}'}")
        return tuple(told)

    async def metadata(self, file: IndexFile) -> WheelMetadata:
        """METADATA of a wheel: from the cache, its own file on the index (PEP 658), or the wheel's last bytes.

        Raises:
            IntegrityError: The wheel is malformed (``wheel-malformed``), or METADATA is not what the index promised.
            IndexUnavailable, UsageError: As ``project``.
        """
        if file.kind != "wheel":
            raise InternalError(f"METADATA was asked of {file.filename}, which is no wheel")
        key = file.sha256 or file.url
        if (found := self._store.load_metadata(key)) is not None:
            return found
        return await self._once(("metadata", key), lambda: self._fetch_metadata(file, key))

    async def variants(self, file: IndexFile) -> VariantsFile | None:
        """What a variant wheel's release says of its variants; ``None`` where nothing is there (PEP 825).

        Raises:
            IndexUnavailable: As ``project``; ``index-bad-page`` where it cannot be read.
            IntegrityError: It has another hash than the index promised (``hash-mismatch``).
        """
        if not file.variants:
            return None
        return await self._once(("variants", file.variants), lambda: self._fetch_variants(file))

    async def members(self, file: IndexFile) -> Members:
        """The files of a wheel, each to be had alone: by ranges, or where there are none from the whole wheel.

        Raises:
            IntegrityError, IndexUnavailable, UsageError: As ``metadata``.
        """
        path = local_path(file.url)
        if path is None and self.settings.offline:
            raise offline_missing(f"{file.filename} is not in the cache")
        try:
            if path is None:
                found = await remote_members(self._web, file, self._reporter)
                return found or LocalMembers(await self._whole(file))
            return LocalMembers(path)
        except NotFound as error:
            raise _gone(file) from error
        except OSError as error:
            raise _unreadable(file, error) from error

    async def whole(self, file: IndexFile) -> Path:
        """A file itself: where it lies on this machine, or kept in the cache until it is installed.

        Raises:
            IntegrityError, IndexUnavailable, UsageError: As ``download``.
        """
        try:
            return local_path(file.url) or await self._whole(file)
        except NotFound as error:
            raise _gone(file) from error

    async def digest(self, file: IndexFile) -> str:
        """sha256 of a file; where the index gives none, of what it serves now."""
        if file.sha256:
            return file.sha256
        return await self._once(("digest", file.url), lambda: self._fetch_digest(file))

    async def download(
        self,
        url: str,
        sha256: str | None,
        size: int | None,
        destination: Path,
        task: str | None = None,
        sink: Sink | None = None,
    ) -> None:
        """Bring a file to ``destination``; progress in bytes goes to the reporter under ``task``.

        With a ``sink`` its bytes may go there alone, or, where the file is at hand already, to ``destination`` alone.

        Raises:
            IntegrityError: Nobody serves the bytes of that sha256 (``hash-mismatch``).
            IndexUnavailable: Nobody serves it whole (``index-unreachable``, ``download-truncated``, ``redirect-loop``,
                ``offline-missing``).
            DiskFull, UsageError: As the names say.
        """
        self._credentials.remember(url)
        url = without_credentials(url.partition("#")[0])
        wanted = Wanted(url=url, sha256=sha256, size=size, destination=destination, task=task or destination.name)
        kept = self._store.kept_file(url)
        if await _is_intact(kept, sha256):
            destination.parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(shutil.move, kept, destination)
        elif at_hand := await self.at_hand.find(url, sha256):
            destination.parent.mkdir(parents=True, exist_ok=True)
            await asyncio.to_thread(shutil.copyfile, at_hand, destination)
        else:
            await self._bring(wanted, sink)

    # files

    async def _fetch_metadata(self, file: IndexFile, key: str) -> WheelMetadata:
        path = local_path(file.url)
        try:
            if path is not None:
                text = await now(read_metadata, path, file.name)
            elif self.settings.offline:
                raise offline_missing(f"the METADATA of {file.filename} is not in the cache")
            else:
                text = await fetch_metadata_text(self._web, file, lambda: self._whole(file))
            metadata = parse_metadata(text, project=file.name, version=file.version)
        except NotFound as error:
            raise _gone(file) from error
        except OSError as error:
            raise _unreadable(file, error) from error
        except IntegrityError as error:
            error.causes = (*error.causes, f"The wheel is {redact(file.url)}.")
            raise
        if path is None:
            self._store.save_metadata(key, metadata)
        return metadata

    async def _fetch_variants(self, file: IndexFile) -> VariantsFile | None:
        url, _, fragment = file.variants.partition("#")
        path = local_path(url)
        text = None if path is not None else self._store.load_variants(file.variants)
        if text is None:
            try:
                if path is not None:
                    text = await now(path.read_bytes)
                elif self.settings.offline:
                    raise offline_missing(f"{url.rpartition('/')[2]} is not in the cache")
                else:
                    text = (await self._web.get(url, {}, sha256=fragment.removeprefix("sha256=") or None)).body
            except NotFound:
                return None
            except OSError as error:
                raise _unreadable(file, error) from error
        found = parse_variants(text, redact(url))
        if path is None:
            self._store.save_variants(file.variants, text)
        return found

    async def _fetch_digest(self, file: IndexFile) -> str:
        path = local_path(file.url)
        try:
            if path is None:
                return self._store.load_digest(file.url) or await _hash(await self._whole(file))
            facts = path.stat()
            key = f"{path} {facts.st_size} {facts.st_mtime_ns}"
            digest = self._store.load_digest(key) or await _hash(path)
        except OSError as error:
            raise _unreadable(file, error) from error
        self._store.save_digest(key, digest)
        return digest

    async def _whole(self, file: IndexFile) -> Path:
        """The file itself, kept in the cache until it is installed."""
        kept = self._store.kept_file(file.url)

        async def fetch() -> Path:
            if not await _is_intact(kept, file.sha256 or self._store.load_digest(file.url)):
                wanted = Wanted(url=file.url, sha256=file.sha256, size=file.size, destination=kept, task=file.filename)
                self._store.save_digest(file.url, await self._bring(wanted))
            return kept

        return await self._once(("whole", file.url), fetch)

    async def _bring(self, wanted: Wanted, sink: Sink | None = None) -> str:
        if self.settings.offline and local_path(wanted.url) is None:
            raise offline_missing(f"{wanted.destination.name} is not in the cache")
        async with self._download_slots:
            return await download(self._web, wanted, self._throttle, self._reporter, sink)


async def _hash(path: Path) -> str:
    return await asyncio.to_thread(hex_digest, path)


async def _is_intact(kept: Path, sha256: str | None) -> bool:
    """Whether a kept file can be used; one that is damaged, or that nothing can be said of, is removed."""
    if not kept.is_file():
        return False
    if sha256 is not None and await _hash(kept) == sha256:
        return True
    kept.unlink(missing_ok=True)
    return False


def _gone(file: IndexFile) -> IndexUnavailable:
    return IndexUnavailable(
        f"{redact(file.url)} is not there although {redact(file.index)} names it", code="index-unreachable"
    )


def _unreadable(file: IndexFile, error: OSError) -> IndexUnavailable:
    return IndexUnavailable(f"{redact(file.url)} cannot be read: {error.strerror}", code="index-unreachable")
