"""From a lock to a finished tree: fetch, link, install, and once more where a cache entry turns out to be damaged."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import DiskFull, IntegrityError, TryAgain
from dataloader.base.files import NO_ROOM, remove_tree
from dataloader.base.reporter import Reporter
from dataloader.install.conda.cache import entry_name
from dataloader.install.model import Downloader, Prover, SyncOptions
from dataloader.install.store.entries import VanishedEntry
from dataloader.install.store.fetch import fetch_wheels
from dataloader.install.store.leftovers import discard_archives, sweep
from dataloader.install.store.store import WheelStore
from dataloader.install.store.users import InUse
from dataloader.install.switch.durable import flush_volume
from dataloader.install.switch.settle import settle
from dataloader.install.tree.build import build_tree, compile_modules, host_python, layout_of, write_pin, write_state
from dataloader.install.tree.tree import Tree
from dataloader.install.tree.wheel import DamagedEntry
from dataloader.lockfile.model import CondaPackage, Lockfile
from dataloader.machine.interpreters import Interpreter

if TYPE_CHECKING:
    from dataloader.install.conda.link import Linked

_ATTEMPTS = 4
"""Builds in one sync: each damaged cache entry that is found costs one, and is fetched again."""

_LOSSES = 20
"""Builds in one sync that end because something vanished from the cache, which is fetched again."""


class Builder:
    """Builds the environment of one lock.

    Args:
        pinned: A link will lead to it, and later to another one.
    """

    def __init__(
        self,
        lock: Lockfile,
        options: SyncOptions,
        reporter: Reporter,
        download: Downloader,
        *,
        pinned: bool = False,
    ) -> None:
        self._lock = lock
        self._options = options
        self._reporter = reporter
        self._download = download
        self._pinned = pinned
        self._store = WheelStore(options.cache_dir, options.layers)
        self.downloaded_bytes = 0
        self.warnings: tuple[str, ...] = ()

    async def run(self, new_folder: Callable[[], Path], final: str, install: Callable[[Path], None]) -> None:
        """Build in a new folder, with ``final`` as the path in files, and hand the finished tree to ``install``.

        What is left of the folder afterwards is removed.
        """
        prover = self._options.prover
        with prover() if prover is not None else nullcontext() as proving:
            await self._run(new_folder, final, install, proving)

    async def _run(
        self,
        new_folder: Callable[[], Path],
        final: str,
        install: Callable[[Path], None],
        prover: Prover | None,
    ) -> None:
        filling, cache = self._options.filling, self._options.cache_dir
        python = host_python(self._lock, self._options) if filling is None else None
        names = frozenset(_names(self._lock)) if filling is None else filling.names
        with InUse(cache, names):
            sweep(cache)
            try:
                tree = await self._until_built(new_folder, final, install, python, prover)
            except (DiskFull, OSError) as error:
                if isinstance(error, DiskFull) or error.errno in NO_ROOM:
                    discard_archives(cache, names)
                raise
        self.warnings = tuple(tree.warnings)
        for warning in tree.warnings:
            self._reporter.warn(warning)

    async def _until_built(
        self,
        new_folder: Callable[[], Path],
        final: str,
        install: Callable[[Path], None],
        python: Interpreter | None,
        prover: Prover | None,
    ) -> Tree:
        damages = losses = 0
        while True:
            folder = new_folder()
            try:
                tree = await self._build(folder, final, python, prover)
                await settle(folder, self._reporter)
                if prover is not None:
                    with self._reporter.stage("verify"):
                        await asyncio.to_thread(prover.prove, folder, tree.libraries())
                if self._options.durable:
                    with self._reporter.stage("flush"):
                        await asyncio.to_thread(flush_volume, folder)
                with self._reporter.stage("switch"):
                    install(folder)
            except DamagedEntry as damage:
                damages += 1
                self._forget(damage, last=damages == _ATTEMPTS)
            except (VanishedEntry, FileNotFoundError) as loss:
                losses += 1
                self._fetch_again(loss, last=losses == _LOSSES)
            else:
                return tree
            finally:
                if folder.exists() and not remove_tree(folder):
                    self._reporter.warn(f"{folder} could not be removed; the next sync tries again")

    async def _build(self, folder: Path, final: str, python: Interpreter | None, prover: Prover | None) -> Tree:
        if (filling := self._options.filling) is not None:
            fetched_bytes = await filling.fill(folder, self._options, self._reporter, pinned=self._pinned)
            self.downloaded_bytes += fetched_bytes
            return Tree(os.fspath(folder), final, None)
        # Both worlds at once: wheels arrive and are unpacked while rattler fetches and links.
        fetching = asyncio.ensure_future(
            fetch_wheels(self._lock.pypi(), self._store, self._options, self._reporter, self._download)
        )
        linking = asyncio.ensure_future(self._link_conda(folder, final))
        try:
            linked, fetched = await asyncio.gather(linking, fetching)
        finally:
            for work in (fetching, linking):
                work.cancel()
            await asyncio.gather(fetching, linking, return_exceptions=True)
        self.downloaded_bytes += fetched.downloaded_bytes + (linked.downloaded_bytes if linked else 0)
        if prover is not None:
            prover.foresee({path: key for wheel in fetched.wheels.values() for path, key in wheel.libraries()})
        tree = Tree(os.fspath(folder), final, layout_of(self._lock, python))
        if self._pinned:
            write_pin(tree, python)
        build_tree(tree, self._lock, fetched.wheels, python, self._reporter)
        if self._options.compile_bytecode:
            with self._reporter.stage("compile"):
                await asyncio.to_thread(compile_modules, tree, python)
        write_state(tree, self._lock, self._options, python, linked.slips if linked else {})
        return tree

    async def _link_conda(self, folder: Path, final: str) -> Linked | None:
        if not self._lock.conda():
            return None
        from dataloader.install.conda.link import link_conda

        return await link_conda(
            self._lock.conda(),
            folder,
            Path(final),
            platform=self._lock.platform,
            options=self._options,
            reporter=self._reporter,
            download=self._download,
        )

    def _forget(self, damage: DamagedEntry, *, last: bool) -> None:
        if last:
            raise IntegrityError(
                f"the cache under {damage.stored.layer} keeps changing: {damage.source} is not what was unpacked",
                code="cache-damaged",
                suggestions=("check the volume; then remove the cache and run the command again",),
            ) from damage
        self._reporter.warn(f"a cache entry is damaged ({damage.source} in {damage.stored.files}); fetching it again")
        self._store.forget(damage.stored)

    def _fetch_again(self, loss: VanishedEntry | FileNotFoundError, *, last: bool) -> None:
        """Other processes may remove what they like from a cache: versions that do not look who uses it, or people."""
        cache = self._options.cache_dir
        lost = loss.entry if isinstance(loss, VanishedEntry) else Path(os.fsdecode(loss.filename or ""))
        if not lost.is_relative_to(cache) and isinstance(loss, FileNotFoundError):
            raise loss
        if last:
            raise TryAgain(
                f"packages vanish from the cache {cache} before they are used",
                code="cache-emptied",
                causes=(f"{lost} is gone, and so was something {_LOSSES - 1} times before",),
                suggestions=("look for what removes files there; `dataloader cache prune` spares a running sync",),
            ) from loss
        self._reporter.info(f"{lost} was removed from the cache by another process; fetching it again")


def _names(lock: Lockfile) -> Iterator[str]:
    """What the cache calls the packages of a lock, and their archives."""
    for package in lock.packages:
        if isinstance(package, CondaPackage):
            yield entry_name(package)
        if package.stored_as:
            yield package.stored_as
