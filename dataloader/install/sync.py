"""Make a prefix match a lock: plan, fetch, build beside, switch, clear up."""

from __future__ import annotations

import errno
import os
import shlex
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from dataloader.base.errors import ChangesNeeded, DataloaderError, DiskFull, PrefixBusy, PrefixError
from dataloader.base.files import NO_ROOM, remove_tree, replace_file
from dataloader.base.reporter import Reporter
from dataloader.install.local import with_trees
from dataloader.install.model import Downloader, InstallPlan, SyncOptions, SyncResult
from dataloader.install.plan import make_plan
from dataloader.install.switch.exchange import carry_over, recover, switch
from dataloader.install.switch.lease import Lease
from dataloader.install.switch.place import Place, place_of
from dataloader.install.tree.build import made_from
from dataloader.install.tree.builder import Builder
from dataloader.install.tree.linking import Linker
from dataloader.install.tree.venv import resolve_interpreter
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.activate import variables_of
from dataloader.prefix.locate import ENVIRONMENTS, JOURNAL, STATE
from dataloader.prefix.model import Inventory
from dataloader.prefix.pin import generation_of
from dataloader.prefix.python import find_interpreter, missing_python
from dataloader.prefix.state import check_usable, owned_paths, read_inventory, read_state
from dataloader.prefix.unchanged import fingerprint, has_remains


def plan_prefix(lock: Lockfile, prefix: Path, options: SyncOptions | None = None) -> InstallPlan:
    """What a sync would do to ``prefix``. Reads only."""
    lock = with_trees(lock)
    if not prefix.exists():
        return make_plan(lock, Inventory(), wheel_digests={}, rebuild=("there is no environment yet",))
    check_usable(prefix, adopt=options.adopt if options else False)
    state = read_state(prefix)
    reasons = []
    if (prefix / JOURNAL).is_file():
        reasons.append("an earlier sync was cut off")
    if options and options.rebuild:
        reasons.append("it is to be made anew")
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
        elif state.site_packages and missing_python(prefix):
            reasons.append("its Python is gone")
        if set(state.requested) != set(lock.requested):
            reasons.append("other packages were asked for by name")
        if variables_of(prefix) != lock.variables:
            reasons.append("other variables are to be set")
    plan = make_plan(lock, read_inventory(prefix), wheel_digests=state.wheels if state else {}, rebuild=tuple(reasons))
    return replace(plan, python=_python_change(lock, prefix))


def _python_change(lock: Lockfile, prefix: Path) -> tuple[str, str] | None:
    """The host Python that the environment stands on and the lock's; None where it is the same, or none of both."""
    new, old = lock.python.version, find_interpreter(prefix).version
    is_host = lock.python.source == "host" and (prefix / "pyvenv.cfg").is_file()
    return (old, new) if is_host and old and new and old != new else None


async def sync_prefix(
    lock: Lockfile, prefix: Path, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    """Make ``prefix`` hold exactly what ``lock`` names; it is the old environment or the new one at every moment.

    Raises:
        ChangesNeeded: ``options.check``, and there is something to do.
        Declined: of ``options.confirm``.
        PrefixBusy: another process kept the prefix for longer than ``options.wait_seconds``.
        PrefixError, DiskFull, IndexUnavailable, IntegrityError: as their names say; the old environment is untouched.
    """
    started = time.monotonic()
    if options.interpreter is not None and lock.python.source == "host":
        options = replace(options, interpreter=resolve_interpreter(options.interpreter))
    prefix = absolute(prefix)
    lock = with_trees(lock)
    try:
        result = await _sync(lock, prefix, options, reporter, download)
    except OSError as error:
        raise from_os_error(error, prefix) from error
    reporter.event("synced", changed=result.changed)
    return replace(result, seconds=time.monotonic() - started)


async def _sync(
    lock: Lockfile, prefix: Path, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    with reporter.stage("plan"):
        plan = plan_prefix(lock, prefix, options)
    reporter.event("planned", **plan.facts())
    if options.check and not plan.is_empty:
        raise changes_needed(plan, prefix)
    if options.check or options.dry_run:
        return SyncResult(plan=plan, changed=False)
    if plan.is_empty:
        if has_remains(prefix):
            await _clear(prefix)
        with options.along():
            refresh_state(lock, prefix, options)
        return SyncResult(plan=plan, changed=False)
    _refuse_generation(prefix)
    if options.confirm is not None:
        options.confirm(plan)
    place = place_of(prefix)
    async with Lease(place.helper("lease"), os.fspath(prefix), reporter, options.wait_seconds):
        recover(place)
        plan = plan_prefix(lock, prefix, options)  # another process may have done it while we waited
        if plan.is_empty:
            with options.along():
                refresh_state(lock, prefix, options)
            return SyncResult(plan=plan, changed=False)
        builder = Builder(lock, options, reporter, download)
        await builder.run(
            place.new_tree, _target(prefix, options), lambda tree: _install(tree, place, options, reporter)
        )
    return SyncResult(plan=plan, changed=True, downloaded_bytes=builder.downloaded_bytes, warnings=builder.warnings)


def _refuse_generation(prefix: Path) -> None:
    """A generation is never changed: what runs in it would lose its files."""
    generation = generation_of(os.fspath(prefix))
    if generation is None:
        return
    folder = Path(generation).parent
    root = shlex.quote(str(folder.parents[1]))
    raise PrefixError(
        f"{generation} is a generation, which is not changed any more",
        suggestions=(f"make the next one: dataloader sync --root {root} --name {folder.name}",),
    )


async def _clear(prefix: Path) -> None:
    """Remove what a sync left that was cut off behind the switch; one that is at work is not waited for."""
    with suppress(PrefixBusy, PrefixError, OSError):  # on a read-only volume it stays, and harms nobody
        place = place_of(prefix)
        async with Lease(place.helper("lease"), os.fspath(prefix), Reporter(), 0.0):
            recover(place)


def _install(tree: Path, place: Place, options: SyncOptions, reporter: Reporter) -> None:
    """Switch a finished tree in, and take along what people and programs put into the old environment."""
    prefix = place.prefix
    linker = Linker(reporter, os.fspath(prefix))
    owned = owned_paths(prefix) if prefix.exists() else set()
    if prefix.exists():
        carry_over(prefix, tree, owned, linker)
    with options.along():
        old = switch(tree, place)
    _pass_over(prefix)
    if old is not None:
        carry_over(old, prefix, owned, linker)  # what was written between the first pass and the switch
        remove_tree(old)


def _pass_over(prefix: Path) -> None:
    """Have git pass over the folder of a project's environments."""
    if os.fspath(prefix.parent).endswith(f"/{ENVIRONMENTS}"):
        with suppress(OSError), (prefix.parents[1] / ".gitignore").open("x") as file:
            file.write("*\n")


def absolute(path: Path) -> Path:
    """Absolute and without ``..``, links kept: people mount and link environments where they like."""
    return Path(os.path.abspath(path))  # noqa: PTH100  (resolve() would follow the links)


def _target(prefix: Path, options: SyncOptions) -> str:
    return os.fspath(absolute(options.target_prefix or prefix))


def changes_needed(plan: InstallPlan, prefix: Path) -> ChangesNeeded:
    """What ``--check`` says when there is work."""
    steps = [f"{step.name}: {step.reason}" for step in (*plan.install, *plan.replace, *plan.remove)]
    return ChangesNeeded(
        f"{prefix} does not match the lock: {plan.summary()}",
        causes=(*plan.rebuild, *steps),
        suggestions=("run `dataloader sync`",),
    )


def refresh_state(lock: Lockfile, prefix: Path, options: SyncOptions) -> None:
    """Note that the prefix matches this lock, so that the next look is quick. A read-only prefix stays as it is."""
    state = read_state(prefix)
    if state is None:
        return
    fresh = replace(
        state,
        lock_digest=options.lock_digest,
        fingerprint=fingerprint(os.fspath(prefix), state.site_packages),
        **made_from(lock, options),
    )
    if fresh == state:
        return
    with suppress(OSError):  # read-only, or another process was quicker: it only costs time
        replace_file(prefix / STATE, fresh.to_bytes())


def from_os_error(error: OSError, prefix: Path) -> DataloaderError:
    """What a failure of the file system means to the user."""
    where = error.filename if isinstance(error.filename, str) else os.fspath(prefix)
    fact = f"{where}: {error.strerror or error}"
    if error.errno in NO_ROOM:
        return DiskFull(
            f"no room left for {prefix} or its cache; what was there before is unchanged",
            causes=(fact,),
            suggestions=("free some room, and run the command again",),
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return PrefixError(
            f"{prefix} cannot be changed; what was there before is unchanged",
            code="prefix-read-only",
            causes=(fact,),
            suggestions=("choose a directory you may write to with --prefix, or a cache with DATALOADER_CACHE_DIR",),
        )
    unusable = error.errno == errno.ENOTDIR
    return PrefixError(
        f"{prefix} could not be built; what was there before is unchanged",
        code="prefix-io",
        causes=(fact,),
        suggestions=("choose a cache that is a directory with DATALOADER_CACHE_DIR, or another --prefix",)
        if unusable
        else (),
    )
