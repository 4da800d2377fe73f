"""Environments on a shared volume: each lock's environment is built once, and a link says which one is current.

    root/train                                        a link to the current generation, switched by one rename
    root/.generations/train/4-0f3a9c2b7d10/           one environment: its number, and a digest of its lock
    root/.generations/train/history                   which were current, oldest first, and when each ceased to be

What runs in a generation keeps its files until ``prune`` removes them. Files name the generation's own path, unless a
target prefix says where the volume is mounted.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataloader.base.errors import PrefixBusy, PrefixError
from dataloader.base.files import remove_tree
from dataloader.base.reporter import Reporter
from dataloader.install.model import Downloader, InstallPlan, SyncOptions, SyncResult
from dataloader.install.plan import make_plan
from dataloader.install.switch.jobs import User, remove_ended, users
from dataloader.install.switch.lease import Lease
from dataloader.install.switch.owner import signed, volume_time
from dataloader.install.sync import absolute, changes_needed, from_os_error, plan_prefix, refresh_state
from dataloader.install.tree.builder import Builder
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.model import Inventory
from dataloader.prefix.pin import GENERATIONS

_KEPT_HISTORY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One environment of a name."""

    number: int
    path: Path
    is_current: bool
    is_held: bool
    """Whether a rollback led here, and holds against syncs."""
    users: tuple[User, ...]
    """Processes that use it: of this machine as far as they may be seen, of others what ``run`` started."""

    @property
    def in_use(self) -> bool:
        """Whether anything is known to use it."""
        return bool(self.users)


async def sync_generation(
    lock: Lockfile, root: Path, name: str, options: SyncOptions, reporter: Reporter, download: Downloader
) -> SyncResult:
    """Make ``root/name`` lead to an environment that holds exactly what ``lock`` names.

    An earlier generation of the same content is used again. ``options.target_prefix`` is where ``root/name`` will be
    mounted. Raises what ``sync_prefix`` raises.
    """
    started = time.monotonic()
    root = absolute(root)
    try:
        result = await _sync(lock, _Line(root, name), options, reporter, download)
    except OSError as error:
        raise from_os_error(error, root / name) from error
    now = _Line(root, name).current()
    reporter.event("synced", changed=result.changed, generation=str(now) if now else None)
    return replace(result, seconds=time.monotonic() - started)


def current(root: Path, name: str) -> Path:
    """The generation that ``root/name`` leads to; PrefixError when there is none."""
    found = _Line(absolute(root), name).current()
    if found is None:
        raise _nothing(root, name)
    return found


def generations(root: Path, name: str) -> tuple[Generation, ...]:
    """The generations of a name, oldest first."""
    return _Line(absolute(root), name).generations(time.time())


def names(root: Path) -> tuple[str, ...]:
    """The environments below a root that have generations, sorted."""
    folder = absolute(root) / GENERATIONS
    return tuple(sorted(path.name for path in folder.iterdir() if path.is_dir())) if folder.is_dir() else ()


async def rollback(
    root: Path, name: str, reporter: Reporter, *, number: int | None = None, undo: bool = False
) -> Generation:
    """Lead ``root/name`` to the generation that was current before, or to one of that number, and hold it there.

    Args:
        undo: Lead it to where the first rollback found it, and let syncs switch it again.

    Raises:
        PrefixError: there is no such generation (``generation-missing``).
    """
    line = _Line(absolute(root), name)
    async with line.lease(reporter):
        members = dict(line.members())
        present = {path.name for path in members.values()}
        now, held = line.current(), line.held()
        if undo and held is None:
            raise PrefixError(
                f"{root / name} is not held by a rollback.",
                code="generation-missing",
                suggestions=(f"`dataloader generations --root {root}` tells what is held.",),
            )
        earlier = [entry for entry in line.history() if entry in present and (now is None or entry != now.name)]
        before = line.folder / earlier[-1] if earlier else None
        origin = line.folder / held if held is not None else now
        target = before if number is None else members.get(number)
        if undo:
            target = origin if origin is not None and origin.is_dir() else now
        if target is None:
            raise PrefixError(
                f"{root / name} has no {'earlier generation' if number is None else f'generation {number}'}.",
                code="generation-missing",
                causes=tuple(path.name for path in members.values()),
            )
        # Where it came from it is not held: that is what syncs made.
        found = origin.name if origin is not None and origin != target and not undo else None
        line.point_at(target, forget_later=number is None and not undo, held=found)
    return next(each for each in generations(root, name) if each.path == target)


async def prune(
    root: Path, name: str, reporter: Reporter, *, keep: int = 2, keep_seconds: float = 0.0, dry_run: bool = False
) -> tuple[Path, ...]:
    """Remove old generations: not the current one, not those in use, not the ``keep`` most recently current.

    What was current within the last ``keep_seconds`` stays too: jobs of other machines that ``run`` did not start
    cannot be seen from here, and started in what was current then. Returns what was removed;
    with ``dry_run`` what would be, and changes nothing.
    """
    line = _Line(absolute(root), name)
    if dry_run:
        return tuple(_old(line, reporter, time.time(), keep, keep_seconds))
    async with line.lease(reporter):
        line.sweep()
        now = volume_time(line.folder / signed(".now-"))
        remove_ended(line.folder, now)
        return tuple(path for path in _old(line, reporter, now, keep, keep_seconds) if line.remove(path, now))


def _old(line: _Line, reporter: Reporter, now: float, keep: int, keep_seconds: float) -> list[Path]:
    """Return the generations that nobody needs any more; those that are in use are told."""
    rank = {entry: position for position, entry in enumerate(line.history())}
    others = [each for each in line.generations(now) if not each.is_current]
    others.sort(key=lambda each: rank.get(each.path.name, -1))
    found = []
    for generation in others[: max(len(others) - keep, 0)]:
        if keep_seconds > 0 and line.left_at(generation.path.name) >= now - keep_seconds:
            continue
        if generation.in_use:
            reporter.info(f"{generation.path} stays: in use by {', '.join(map(str, generation.users[:3]))}.")
        else:
            found.append(generation.path)
    return found


async def _sync(
    lock: Lockfile, line: _Line, options: SyncOptions, reporter: Reporter, download: Downloader
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


def _held(line: _Line, now: Path, plan: InstallPlan, reporter: Reporter) -> SyncResult:
    """Leave an environment where a rollback led it, and say so."""
    number = now.name.split("-")[0]
    undo = f"`dataloader rollback --root {line.link.parent} --name {line.link.name} --undo` lets it go"
    held = f"a rollback holds it at generation {number}; {undo}"
    reporter.warn(f"{line.link} stays as it is: {held}")
    reporter.event("held", generation=str(now))
    return SyncResult(plan=plan, changed=False, held=held)


class _Line:
    """The generations of one name under one root."""

    def __init__(self, root: Path, name: str) -> None:
        if not name or name.startswith(".") or "/" in name:
            raise PrefixError(f"{name!r} is not a name for an environment.", code="name-invalid")
        self.link = root / name
        self.folder = root / GENERATIONS / name

    def lease(self, reporter: Reporter, wait_seconds: float = 1800.0) -> Lease:
        """Held while generations come, go or are switched."""
        if not self.folder.is_dir():
            raise _nothing(self.link.parent, self.link.name)
        return Lease(self.folder / "lease", str(self.link), reporter, wait_seconds)

    def current(self) -> Path | None:
        """What the link leads to."""
        if not self.link.is_symlink():
            return None
        path = self.folder / os.path.basename(os.readlink(self.link))  # noqa: PTH115, PTH119  (a text, not a path yet)
        return path if path.is_dir() else None

    def members(self) -> Iterator[tuple[int, Path]]:
        """Number and path of each, by number."""
        if self.folder.is_dir():
            found = [path for path in self.folder.iterdir() if path.name.split("-")[0].isdigit()]
            yield from sorted((int(path.name.split("-")[0]), path) for path in found)

    def generations(self, now: float) -> tuple[Generation, ...]:
        """Each of them, oldest first; ``now`` is the time by the volume's clock."""
        used = users(self.folder, self.link, self.left_at, now)
        current = self.current()
        return tuple(
            Generation(
                number=number,
                path=path,
                is_current=path == current,
                is_held=path == current and self.held() is not None,
                users=tuple(used.get(path.name, ())),
            )
            for number, path in self.members()
        )

    def plan(self, lock: Lockfile, options: SyncOptions) -> InstallPlan:
        """What differs between the current generation and the lock."""
        now = self.current()
        if now is None:
            return make_plan(lock, Inventory(), wheel_digests={}, rebuild=("there is no environment yet",))
        return plan_prefix(lock, now, options)

    def find(self, digest: str, lock: Lockfile, options: SyncOptions) -> Path | None:
        """A generation of that content that is still as it was built."""
        for _, path in self.members():
            if path.name.endswith(f"-{digest}") and plan_prefix(lock, path, options).is_empty:
                return path
        return None

    def next_path(self, digest: str) -> Path:
        """Where the next generation goes."""
        number = max((number for number, _ in self.members()), default=0) + 1
        return self.folder / f"{number}-{digest}"

    def new_tree(self) -> Path:
        """Make an empty directory to build in."""
        tree = self.folder / f".new-{uuid.uuid4().hex[:12]}"
        tree.mkdir()
        return tree

    def check_link(self) -> None:
        """Refuse to put the link where something else is."""
        if os.path.lexists(self.link) and not self.link.is_symlink():
            raise PrefixError(
                f"{self.link} is there already, and is not a link to a generation.",
                code="prefix-foreign",
                suggestions=("Choose another --name, or move it away.",),
            )

    def held(self) -> str | None:
        """The generation from which a rollback led away, if one did and was not undone: its folder's name."""
        held = self._noted().get("held")
        return held if isinstance(held, str) else None

    def point_at(self, generation: Path, *, forget_later: bool = False, held: str | None = None) -> None:
        """Switch the link, by one rename, and note it down; ``held``: from where a rollback leads away."""
        before = self.current()
        left = {entry: moment for entry, moment in self._left().items() if (self.folder / entry).is_dir()}
        if before is not None:
            left[before.name] = time.time()
        written = self.folder / f".link-{uuid.uuid4().hex[:12]}"
        written.symlink_to(Path(GENERATIONS) / self.folder.name / generation.name)
        written.rename(self.link)
        history = [entry for entry in self.history() if entry != generation.name]
        if forget_later and generation.name in self.history():
            history = history[: self.history().index(generation.name)]
        noted = self.folder / f".history-{uuid.uuid4().hex[:12]}"
        content = {"order": [*history, generation.name][-_KEPT_HISTORY:], "left": left, "held": held}
        noted.write_text(json.dumps(content), encoding="utf-8")
        noted.rename(self.folder / "history")

    def history(self) -> list[str]:
        """The names of generations in the order in which they last became current."""
        return [str(entry) for entry in self._noted().get("order", ())]

    def left_at(self, generation: str) -> float:
        """When it ceased to be current, in seconds since the epoch; at the last switch, where that was not noted."""
        moment = self._left().get(generation)
        if moment is not None:
            return moment
        return self.link.lstat().st_mtime if self.link.is_symlink() else time.time()

    def _left(self) -> dict[str, float]:
        return {str(entry): float(moment) for entry, moment in self._noted().get("left", {}).items()}

    def _noted(self) -> dict[str, Any]:
        try:
            content = json.loads((self.folder / "history").read_bytes())
        except (OSError, ValueError):
            content = {}  # it orders rollbacks; without it there is no going back, and nothing else is lost
        return content if isinstance(content, dict) else {}

    def remove(self, generation: Path, now: float) -> bool:
        """Remove one; under another name first, so that a half removed one is never taken for whole.

        False, with nothing done, when a job has begun in it since it was looked at.
        """
        doomed = generation.with_name(f".old-{uuid.uuid4().hex[:12]}")
        generation.rename(doomed)
        used = users(self.folder, self.link, self.left_at, now)
        if generation.name in used or doomed.name in used:
            doomed.rename(generation)
            return False
        remove_tree(doomed)
        return True

    async def clear(self) -> None:
        """Remove what was left behind the switch by a process that was cut off; one at work is not waited for."""
        if self._remains() or os.path.lexists(self.folder / "lease"):
            with suppress(PrefixBusy, OSError):  # on a read-only volume it stays, and harms nobody
                async with self.lease(Reporter(), 0.0):
                    self.sweep()

    def sweep(self) -> None:
        """Remove what dead processes left; the caller holds the lease."""
        for path in self._remains():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink(missing_ok=True)

    def _remains(self) -> list[Path]:
        return [*self.folder.glob(".*"), *self.folder.glob("lease-*")]


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


def _nothing(root: Path, name: str) -> PrefixError:
    return PrefixError(
        f"There is no environment {name} under {root}.",
        code="prefix-missing",
        suggestions=(f"Look for a slip in the name; under {root} there may be others.",),
    )
