"""Make a prefix match a lock: plan, fetch, build beside, switch, clear up."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dataloader.errors import ChangesNeeded, DataloaderError, DiskFull, IntegrityError, PrefixError
from dataloader.install.build import build_tree, host_python, layout_of, write_state
from dataloader.install.fetch import fetch_wheels
from dataloader.install.lease import Lease
from dataloader.install.linking import Linker
from dataloader.install.model import Downloader, InstallPlan, Inventory, SyncOptions, SyncResult
from dataloader.install.place import Place, place_of
from dataloader.install.plan import make_plan
from dataloader.install.prefix import check_usable, owned_paths, read_inventory, read_state
from dataloader.install.settle import settle
from dataloader.install.status import JOURNAL, STATE, fingerprint
from dataloader.install.store import WheelStore
from dataloader.install.switch import carry_over, recover, remove_tree, switch
from dataloader.install.tree import Tree
from dataloader.install.venv import resolve_interpreter
from dataloader.install.wheel import DamagedEntry
from dataloader.interpreters import Interpreter
from dataloader.lockfile.model import Lockfile
from dataloader.reporter import Reporter

_ATTEMPTS = 4
"""Builds in one sync: each damaged cache entry that is found costs one, and is fetched again."""


def installed(prefix: Path) -> Inventory:
    """The packages of both worlds in ``prefix``; PrefixError when there is no environment."""
    if not prefix.is_dir():
        raise PrefixError(
            f"There is no environment at {prefix}.",
            code="prefix-missing",
            suggestions=("Make it with `dataloader sync`.",),
        )
    return read_inventory(prefix)


def plan_prefix(lock: Lockfile, prefix: Path, options: SyncOptions | None = None) -> InstallPlan:
    """What a sync would do to ``prefix``. Reads only."""
    if not prefix.exists():
        return make_plan(lock, Inventory(), wheel_digests={}, rebuild=("there is no environment yet",))
    check_usable(prefix, adopt=options.adopt if options else False)
    state = read_state(prefix)
    reasons = []
    if (prefix / JOURNAL).is_file():
        reasons.append("an earlier sync was cut off")
    if state is None:
        reasons.append("there is no environment of ours yet")
    else:
        if options and state.target_prefix != _target(prefix, options):
            reasons.append(f"its files were written for {state.target_prefix}")
        if options and options.interpreter and state.interpreter:
            asked = resolve_interpreter(options.interpreter).path
            if state.interpreter != str(asked):
                reasons.append(f"it stands on {state.interpreter}, not on {asked}")
        if (state.interpreter is not None) != (lock.python.source == "host"):
            reasons.append("its Python comes from elsewhere")
        elif state.site_packages and not (prefix / "bin" / "python").exists():
            reasons.append("its Python is gone")
        if set(state.requested) != set(lock.requested):
            reasons.append("other packages were asked for by name")
    return make_plan(lock, read_inventory(prefix), wheel_digests=state.wheels if state else {}, rebuild=tuple(reasons))


async def sync_prefix(
    lock: Lockfile, prefix: Path, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    """Make ``prefix`` hold exactly what ``lock`` names; it is the old environment or the new one at every moment.

    Raises:
        ChangesNeeded: ``options.check``, and there is something to do.
        PrefixBusy: another process kept the prefix for longer than ``options.wait_seconds``.
        PrefixError, DiskFull, IndexUnavailable, IntegrityError: as their names say; the old environment is untouched.
    """
    started = time.monotonic()
    if options.interpreter is not None and lock.python.source == "host":
        options = replace(options, interpreter=resolve_interpreter(options.interpreter))
    prefix = _absolute(prefix)
    try:
        result = await _sync(lock, prefix, options, reporter, download)
    except OSError as error:
        raise from_os_error(error, prefix) from error
    return replace(result, seconds=time.monotonic() - started)


async def _sync(
    lock: Lockfile, prefix: Path, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    plan = plan_prefix(lock, prefix, options)
    if options.check and not plan.is_empty:
        raise _changes_needed(plan, prefix)
    if options.check or options.dry_run:
        return SyncResult(plan=plan, changed=False)
    if plan.is_empty:
        _refresh_state(prefix, options)
        return SyncResult(plan=plan, changed=False)
    place = place_of(prefix)
    async with Lease(place.helper("lease"), os.fspath(prefix), reporter, options.wait_seconds):
        recover(place)
        plan = plan_prefix(lock, prefix, options)  # another process may have done it while we waited
        if plan.is_empty:
            return SyncResult(plan=plan, changed=False)
        return await _Build(lock, place, _target(prefix, options), options, reporter, download).run(plan)


class _Build:
    """One build and switch, under the prefix's lease."""

    def __init__(
        self,
        lock: Lockfile,
        place: Place,
        final: str,
        options: SyncOptions,
        reporter: Reporter,
        download: Downloader,
    ) -> None:
        self._lock = lock
        self._place = place
        self._prefix = place.prefix
        self._final = final
        self._options = options
        self._reporter = reporter
        self._download = download
        self._store = WheelStore(options.cache_dir, options.layers)
        self._downloaded = 0

    async def run(self, plan: InstallPlan) -> SyncResult:
        """Build, retrying after damaged cache entries, and switch."""
        python = host_python(self._lock, self._options)
        self._store.sweep()
        for attempt in range(_ATTEMPTS):
            folder = self._place.new_tree()
            try:
                tree = await self._build(folder, python)
                await settle(folder.parent, self._reporter)
                self._switch(tree)
                break
            except DamagedEntry as damage:
                self._forget(damage, last=attempt == _ATTEMPTS - 1)
            finally:
                if folder.exists() and not remove_tree(folder):
                    self._reporter.warn(f"{folder} could not be removed; the next sync tries again.")
        for warning in tree.warnings:
            self._reporter.warn(warning)
        return SyncResult(plan=plan, changed=True, downloaded_bytes=self._downloaded, warnings=tuple(tree.warnings))

    async def _build(self, folder: Path, python: Interpreter | None) -> Tree:
        lock, options = self._lock, self._options
        fetched = await fetch_wheels(lock.pypi(), self._store, options, self._reporter, self._download)
        self._downloaded += fetched.downloaded_bytes
        if lock.conda():
            from dataloader.install.conda import link_conda

            self._downloaded += await link_conda(
                lock.conda(),
                folder,
                Path(self._final),
                platform=lock.platform,
                cache_dir=options.cache_dir,
                layers=options.layers,
                offline=options.offline,
                client=options.conda_client,
                reporter=self._reporter,
            )
        tree = Tree(os.fspath(folder), self._final, layout_of(lock, python))
        build_tree(tree, lock, fetched.wheels, python, self._reporter)
        write_state(tree, lock, options, python)
        return tree

    def _switch(self, tree: Tree) -> None:
        folder = Path(tree.root)
        linker = Linker(self._reporter, os.fspath(self._prefix))
        owned = owned_paths(self._prefix) if self._prefix.exists() else set()
        if self._prefix.exists():
            carry_over(self._prefix, folder, owned, linker)
        old = switch(folder, self._place)
        if old is not None:
            carry_over(old, self._prefix, owned, linker)  # what was written between the first pass and the switch
            remove_tree(old)

    def _forget(self, damage: DamagedEntry, *, last: bool) -> None:
        if last:
            raise IntegrityError(
                f"The cache under {damage.stored.layer} keeps changing: {damage.source} is not what was unpacked.",
                code="cache-damaged",
                suggestions=("Check the volume, and run `dataloader cache verify`.",),
            ) from damage
        self._reporter.warn(f"A cache entry is damaged ({damage.source} in {damage.stored.files}); fetching it again.")
        self._store.forget(damage.stored)


def _absolute(path: Path) -> Path:
    """Absolute and without ``..``, links kept: people mount and link environments where they like."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow the links)


def _target(prefix: Path, options: SyncOptions) -> str:
    return os.fspath(_absolute(options.target_prefix or prefix))


def _changes_needed(plan: InstallPlan, prefix: Path) -> ChangesNeeded:
    steps = [f"{step.name}: {step.reason}" for step in (*plan.install, *plan.replace, *plan.remove)]
    return ChangesNeeded(
        f"{prefix} does not match the lock: {plan.summary()}.",
        causes=(*plan.rebuild, *steps),
        suggestions=("Run `dataloader sync`.",),
    )


def _refresh_state(prefix: Path, options: SyncOptions) -> None:
    """Note that the prefix matches this lock, so that the next look is quick. A read-only prefix stays as it is."""
    state = read_state(prefix)
    if state is None:
        return
    fresh = replace(
        state, lock_digest=options.lock_digest, fingerprint=fingerprint(os.fspath(prefix), state.site_packages)
    )
    if fresh == state:
        return
    temporary = prefix / f"{STATE}.{os.getpid()}"
    try:
        temporary.write_bytes(fresh.to_bytes())
        temporary.replace(prefix / STATE)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def from_os_error(error: OSError, prefix: Path) -> DataloaderError:
    """What a failure of the file system means to the user."""
    where = error.filename if isinstance(error.filename, str) else os.fspath(prefix)
    fact = f"{where}: {error.strerror or error}"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(
            f"No room left for {prefix} or its cache; what was there before is unchanged.",
            causes=(fact,),
            suggestions=("Free some room (`dataloader cache prune`), and run the command again.",),
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return PrefixError(
            f"{prefix} cannot be changed; what was there before is unchanged.",
            code="prefix-read-only",
            causes=(fact,),
            suggestions=("Choose a directory you may write to with --prefix, or a cache with DATALOADER_CACHE_DIR.",),
        )
    return PrefixError(
        f"{prefix} could not be built; what was there before is unchanged.", code="prefix-io", causes=(fact,)
    )
