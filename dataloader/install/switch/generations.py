"""Environments on a shared volume: each lock's environment is built once, and a link says which one is current.

    root/train                                        a link to the current generation, switched by one rename
    root/.generations/train/4-0f3a9c2b7d10/           one environment: its number, and a digest of its lock
    root/.generations/train/history                   which were current, oldest first, and when each ceased to be

What runs in a generation keeps its files until ``prune`` removes them. Files name the generation's own path, unless a
target prefix says where the volume is mounted.

On a volume without symbolic links ``root/train`` is the environment itself, without generations.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from dataclasses import replace
from pathlib import Path

from dataloader.base.errors import PrefixError
from dataloader.base.links import takes_symbolic_links
from dataloader.base.reporter import Reporter
from dataloader.install.local import with_trees
from dataloader.install.model import Downloader, InstallPlan, SyncOptions, SyncResult
from dataloader.install.switch.jobs import remove_ended
from dataloader.install.switch.line import Generation, Line, nothing
from dataloader.install.switch.owner import signed, volume_time
from dataloader.install.sync import absolute, changes_needed, from_os_error, refresh_state, sync_prefix
from dataloader.install.tree.builder import Builder
from dataloader.lockfile.model import Lockfile


async def sync_generation(
    lock: Lockfile, root: Path, name: str, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    """Make ``root/name`` lead to an environment that holds exactly what ``lock`` names.

    An earlier generation of the same content is used again. ``options.target_prefix`` is where ``root/name`` will be
    mounted. On a volume without symbolic links it is that environment. Raises what ``sync_prefix`` raises.
    """
    started = time.monotonic()
    root = absolute(root)
    line = Line(root, name)
    if not line.link.is_symlink() and line.is_plain(takes_symbolic_links(root)):
        result = await sync_prefix(lock, root / name, options, reporter, download)
        if result.changed:
            reporter.warn(
                f"{root} has no symbolic links, so {root / name} is the environment itself: a sync replaces it under "
                "what runs in it, and there are no generations to go back to"
            )
        return result
    lock = with_trees(lock)
    try:
        result = await _sync(lock, line, options, reporter, download)
    except OSError as error:
        raise from_os_error(error, root / name) from error
    now = line.current()
    reporter.event("synced", changed=result.changed, generation=str(now) if now else None)
    return replace(result, seconds=time.monotonic() - started)


def current(root: Path, name: str) -> Path:
    """The generation that ``root/name`` leads to; PrefixError when there is none."""
    found = Line(absolute(root), name).current()
    if found is None:
        raise nothing(root, name)
    return found


def generations(root: Path, name: str) -> tuple[Generation, ...]:
    """The generations of a name, oldest first; an environment that is none counts as the only one."""
    line = Line(absolute(root), name)
    if line.is_plain(None):
        return (Generation(number=1, path=line.link, is_current=True, is_held=False, users=()),)
    return line.generations(time.time())


async def rollback(
    root: Path, name: str, reporter: Reporter, *, number: int | None = None, undo: bool = False
) -> Generation:
    """Lead ``root/name`` to the generation that was current before, or to one of that number, and hold it there.

    Args:
        undo: Lead it to where the first rollback found it, and let syncs switch it again.

    Raises:
        PrefixError: there is no such generation (``generation-missing``).
    """
    line, said = Line(absolute(root), name), shlex.quote(str(root))
    if line.is_plain(None):
        raise PrefixError(
            f"{line.link} is the environment itself, for its volume has no symbolic links: it has no generations",
            code="generation-missing",
            suggestions=(f"Go back by the lock: dataloader sync --lockfile OLD.lock --root {said} --name {name}",),
        )
    async with line.lease(reporter):
        members = dict(line.members())
        present = {path.name for path in members.values()}
        now, held = line.current(), line.held()
        if undo and held is None:
            raise PrefixError(
                f"{root / name} is not held by a rollback",
                code="generation-missing",
                suggestions=(f"`dataloader generations --root {said}` tells what is held",),
            )
        earlier = [entry for entry in line.history() if entry in present and (now is None or entry != now.name)]
        before = line.folder / earlier[-1] if earlier else None
        origin = line.folder / held if held is not None else now
        target = before if number is None else members.get(number)
        if undo:
            target = origin if origin is not None and origin.is_dir() else now
        if target is None:
            raise PrefixError(
                f"{root / name} has no {'earlier generation' if number is None else f'generation {number}'}",
                code="generation-missing",
                causes=tuple(path.name for path in members.values()),
            )
        # Where it came from it is not held: that is what syncs made.
        found = origin.name if origin is not None and origin != target and not undo else None
        line.point_at(target, forget_later=number is None and not undo, held=found)
    return next(generation for generation in generations(root, name) if generation.path == target)


async def prune(
    root: Path, name: str, reporter: Reporter, *, keep: int = 2, keep_seconds: float = 0.0, dry_run: bool = False
) -> tuple[Path, ...]:
    """Remove old generations: not the current one, not those in use, not the ``keep`` most recently current.

    What was current within the last ``keep_seconds`` stays too: jobs of other machines that ``run`` did not start
    cannot be seen from here, and started in what was current then. Returns what was removed;
    with ``dry_run`` what would be, and changes nothing.
    """
    line = Line(absolute(root), name)
    if line.is_plain(None):
        return ()
    if dry_run:
        return tuple(_old(line, reporter, time.time(), keep, keep_seconds))
    async with line.lease(reporter):
        line.sweep()
        now = volume_time(line.folder / signed(".now-"))
        remove_ended(line.folder, now)
        return tuple(path for path in _old(line, reporter, now, keep, keep_seconds) if line.remove(path, now))


def _old(line: Line, reporter: Reporter, now: float, keep: int, keep_seconds: float) -> list[Path]:
    """Return the generations that nobody needs any more; those that are in use are told."""
    rank = {entry: position for position, entry in enumerate(line.history())}
    others = [generation for generation in line.generations(now) if not generation.is_current]
    others.sort(key=lambda generation: rank.get(generation.path.name, -1))
    found = []
    for generation in others[: max(len(others) - keep, 0)]:
        if keep_seconds > 0 and line.left_at(generation.path.name) >= now - keep_seconds:
            continue
        if generation.in_use:
            reporter.info(f"{generation.path} stays: in use by {', '.join(map(str, generation.users[:3]))}")
        else:
            found.append(generation.path)
    return found


async def _sync(
    lock: Lockfile, line: Line, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    with reporter.stage("plan"):
        plan = line.plan(lock, options)
    reporter.event("planned", **plan.facts())
    if options.check and not plan.is_empty:
        raise changes_needed(plan, line.link)
    if options.check or options.dry_run:
        return SyncResult(plan=plan, changed=False)
    now = line.current()
    if now is not None and not plan.is_empty and line.held() is not None:
        return _held(line, now, plan, reporter)
    if plan.is_empty and now is not None:
        await line.clear()
        with options.along():
            refresh_state(lock, now, options)
        return SyncResult(plan=plan, changed=False)
    line.folder.mkdir(parents=True, exist_ok=True)
    async with line.lease(reporter, options.wait_seconds):
        line.sweep()
        plan = line.plan(lock, options)  # another process may have done it while we waited
        if plan.is_empty:
            with options.along():
                return SyncResult(plan=plan, changed=False)
        if line.held() is not None and (there := line.current()) is not None:
            return _held(line, there, plan, reporter)  # rolled back while we waited
        line.check_link()
        digest = _digest(lock, options)
        ready = line.find(digest, lock, options)
        if ready is not None:
            with options.along():
                line.point_at(ready)
            return SyncResult(plan=plan, changed=True)
        final = line.next_path(digest)
        builder = Builder(lock, options, reporter, download, pinned=True)

        def install(tree: Path) -> None:
            tree.rename(final)
            with options.along():
                line.point_at(final)

        await builder.run(line.new_tree, str(options.target_prefix or final), install)
    return SyncResult(plan=plan, changed=True, downloaded_bytes=builder.downloaded_bytes, warnings=builder.warnings)


def _held(line: Line, now: Path, plan: InstallPlan, reporter: Reporter) -> SyncResult:
    """Leave an environment where a rollback led it, and say so."""
    number, said = now.name.split("-")[0], shlex.quote(str(line.link.parent))
    undo = f"`dataloader rollback --root {said} --name {line.link.name} --undo` lets it go"
    held = f"a rollback holds it at generation {number}; {undo}"
    reporter.warn(f"{line.link} stays as it is: {held}")
    reporter.event("held", generation=str(now))
    return SyncResult(plan=plan, changed=False, held=held)


def _digest(lock: Lockfile, options: SyncOptions) -> str:
    """What a generation is made of, in twelve hexadecimal digits."""
    content = [
        *sorted(f"{package.url.rsplit('/', 1)[-1]} {package.stored_as}" for package in lock.packages),
        f"{lock.platform} {lock.python.source} {lock.python.version} {options.target_prefix}",
        *sorted(lock.requested),
        *(f"{name}={value}" for name, value in sorted(lock.variables.items())),
        "pinned",  # generations of older releases are not
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:12]
