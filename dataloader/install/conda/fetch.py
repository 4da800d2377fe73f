"""Archives of conda packages by the same way as wheels: mirrors, resumed, at a limited rate, each once for all syncs.

rattler then unpacks them from files. What only rattler can fetch (other schemes than http, hashes other than sha256,
servers that want credentials which its own store has) is left to it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from dataloader.base.errors import UsageError
from dataloader.base.reporter import Reporter
from dataloader.install.conda.cache import entry_name
from dataloader.install.model import Downloader, SyncOptions
from dataloader.install.store.fetch import Archives, gather_or_cancel
from dataloader.install.switch.owner import signed
from dataloader.lockfile.model import CondaPackage


class CondaArchives:
    """The archives that one sync needs, as ``file://`` packages in a folder of its own; use with ``async with``."""

    def __init__(self, options: SyncOptions, reporter: Reporter, download: Downloader) -> None:
        self._options = options
        self._reporter = reporter
        self._download = download
        self._folder = options.cache_dir / "downloads" / signed("conda-")
        self.local: dict[CondaPackage, CondaPackage] = {}
        """Each package that was fetched to the same one with the address of a file."""
        self.downloaded_bytes = 0

    async def fetch(self, missing: Iterable[CondaPackage]) -> None:
        """Fetch what can be.

        Raises:
            IndexUnavailable, IntegrityError, DiskFull: as their names say.
        """
        wanted = [package for package in missing if package.url.startswith("http") and package.sha256]
        if not wanted:
            return
        self._folder.mkdir(parents=True)
        archives = Archives(self._options, self._reporter, self._download, "download-conda", len(wanted))
        try:
            await gather_or_cancel([self._one(package, archives) for package in wanted])
        finally:
            archives.close()
        self.downloaded_bytes = archives.downloaded_bytes

    async def _one(self, package: CondaPackage, archives: Archives) -> None:
        async with archives.lease(package):
            if (self._options.cache_dir / "pkgs" / entry_name(package)).is_dir():
                archives.was_there(package)  # rattler checks the entry
                return
            shared = archives.shared_path(package)
            try:
                await archives.bring(package, shared)
            except UsageError as error:
                if error.code != "index-auth":
                    raise
                self._reporter.debug(f"{error.message} Trying what rattler's own store of credentials has.")
                archives.gave_up()
                return
            ours = self._folder / package.file_name
            try:
                os.link(shared, ours)
            except OSError:
                shutil.copyfile(shared, ours)
            self.local[package] = replace(package, url=ours.absolute().as_uri())

    def tell_origin(self, tree: Path) -> None:
        """Put the true addresses into the records of an environment that was linked from our files."""
        from urllib.parse import unquote

        for package in self.local:
            path = tree / "conda-meta" / f"{entry_name(package)}.json"
            record = json.loads(path.read_bytes())
            # rattler took both from the address of our file, where the "!" of an epoch is quoted.
            record["url"], record["fn"] = package.url, unquote(package.file_name)
            path.write_text(json.dumps(record, indent=2), encoding="utf-8")

    def remove(self) -> None:
        """Remove the archives: they were unpacked, or refused."""
        for package in self.local:
            (self._folder.parent / f"{package.sha256}.conda-archive").unlink(missing_ok=True)

    def close(self) -> None:
        """Remove our folder. Archives that were not unpacked stay in the shared one for the next sync."""
        shutil.rmtree(self._folder, ignore_errors=True)
