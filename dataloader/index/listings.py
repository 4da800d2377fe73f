"""Which files a project has, by the pages of one index or by one place of find-links."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dataloader.base.errors import DataloaderError, IndexUnavailable
from dataloader.base.reporter import Reporter
from dataloader.index.local import read_find_links, read_project_page
from dataloader.index.model import IndexFile
from dataloader.index.once import Once, now
from dataloader.index.pages.simple import ACCEPT, Page, parse_page
from dataloader.index.settings import DEFAULT_INDEX, IndexSettings
from dataloader.index.store import IndexStore, StoredPage
from dataloader.index.web.addresses import local_path
from dataloader.index.web.credentials import redact
from dataloader.index.web.failures import Forbidden, NotFound, offline_missing
from dataloader.index.web.http import Web


class Listings:
    """Pages, each asked for once in a process and kept on disk."""

    def __init__(self, web: Web, store: IndexStore, settings: IndexSettings, once: Once, reporter: Reporter) -> None:
        self._web, self._store, self._settings, self._once, self._reporter = web, store, settings, once, reporter
        self._right: set[str] = set()
        """Indexes that had a page: their addresses are right, and need not be looked at to say that one is missing."""

    async def listed(self, index: str, project: str, retries: int | None = None) -> tuple[IndexFile, ...]:
        """Return the files of a project that one index has."""
        root = local_path(index)
        if root is not None:
            page = await self._once(("page", index, project), lambda: now(read_project_page, root, project, index))
            return page.files
        url = f"{index.rstrip('/')}/{project}/"
        files = await self._once(("page", url), lambda: self._fetch_page(url, project, index, retries))
        if files:
            self._right.add(index)
        return files

    async def kept(self, index: str, project: str) -> tuple[IndexFile, ...]:
        """Return what is known of an index's files, offline, where find-links have some too."""
        try:
            return await self.listed(index, project)
        except IndexUnavailable as error:
            if error.code != "offline-missing":
                raise
            self._reporter.debug(f"{redact(index)} is not asked what it has of {project}: offline")
            return ()

    async def linked(self, location: str, project: str) -> tuple[IndexFile, ...]:
        """Return the files of a project that one place of find-links has."""
        by_project = await self._once(("links", location), lambda: self._read_links(location))
        return by_project.get(project, ())

    async def _read_links(self, location: str) -> Mapping[str, tuple[IndexFile, ...]]:
        path = local_path(location)
        if path is None:
            files = await self._fetch_page(location, None, location)
        else:
            if not path.exists():
                # pip does the same: a shared configuration may name what this machine does not have.
                self._reporter.debug(f"Find-links {location} does not exist and is skipped.")
            files = read_find_links(path, location).files
        groups: dict[str, list[IndexFile]] = {}
        for file in files:
            groups.setdefault(file.name, []).append(file)
        return {name: tuple(group) for name, group in groups.items()}

    async def _fetch_page(
        self, url: str, project: str | None, index: str, retries: int | None = None
    ) -> tuple[IndexFile, ...]:
        settings = self._settings
        system = settings.system
        key = f"{url}#{system.key}" if system else url  # a page thinned for one system is no page for another
        stored = self._store.load_page(key)
        if stored is not None:
            fresh = stored.age < (settings.freshness if stored.max_age is None else stored.max_age)
            if settings.offline or (fresh and not settings.refresh):
                return stored.files
        if settings.offline:
            raise offline_missing(f"the page {redact(url)} is not in the cache")
        headers = {"Accept": ACCEPT}
        if stored is not None and stored.etag:
            headers["If-None-Match"] = stored.etag
        if stored is not None and stored.last_modified:
            headers["If-Modified-Since"] = stored.last_modified
        try:
            answer = await self._web.get(url, headers, retries=retries)
        except (NotFound, Forbidden) as error:
            if isinstance(error, Forbidden) and not await self._once(("open", index), lambda: self._is_open(index)):
                raise
            self._store.save_page(key, StoredPage(files=(), age=0, found=False))
            return ()
        if answer.status == 304 and stored is not None:
            self._store.confirm_page(key)
            return stored.files
        kind = answer.headers.get("Content-Type", "")
        page = parse_page(answer.body, kind, answer.url, project=project, index=index, system=system)
        self._note_skipped(url, page)
        self._remember(key, page, answer.headers)
        return page.files

    async def _is_open(self, index: str) -> bool:
        """Whether an index that forbade a page shows its root: object stores say 403 of what they do not have."""
        try:
            await self._web.get(f"{index.rstrip('/')}/", {"Accept": ACCEPT}, limit=1)
        except Forbidden:
            return False
        except NotFound:
            return True
        return True

    def _remember(self, key: str, page: Page, headers: Mapping[str, str]) -> None:
        control = headers.get("Cache-Control", "").lower()
        if "no-store" in control:
            return
        max_age = re.search(r"max-age=(\d+)", control)
        allowed = 0.0 if "no-cache" in control else (float(max_age[1]) if max_age else None)
        etag, modified = headers.get("ETag"), headers.get("Last-Modified")
        self._store.save_page(
            key, StoredPage(files=page.files, age=0, max_age=allowed, etag=etag, last_modified=modified)
        )

    def _note_skipped(self, url: str, page: Page) -> None:
        if page.skipped:
            self._reporter.debug(
                f"{redact(url)}: {len(page.skipped)} files are neither wheels nor sdists of the project "
                f"and are skipped, {page.skipped[0]} for one."
            )

    async def account_of(self, index: str, project: str) -> str:
        """Return what an index says of a project that it does not have; its address is looked at too."""
        where, root = redact(index), local_path(index)
        if root is not None:
            return f"{where} {f'has no folder {project}' if root.is_dir() else 'is not there'}"
        if self._settings.offline:
            return f"{where} had no page of {project} when it was asked last"
        if index in self._right or index.rstrip("/") == DEFAULT_INDEX:
            return f"{where} has no page of {project}"
        try:
            await self._web.get(f"{index.rstrip('/')}/", {"Accept": ACCEPT}, limit=1)
        except NotFound:
            return f"{where} has no page of {project}, and none at its own address either: is the address right?"
        except DataloaderError as error:
            return f"{where} has no page of {project}; its own address: {error.message}"
        return f"{where} has no page of {project}"
