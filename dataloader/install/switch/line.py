"""The environments of one name below a root: their folder, the link to the current one, and what was noted of them."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataloader.base.errors import PrefixBusy, PrefixError
from dataloader.base.files import remove_tree
from dataloader.base.reporter import Reporter
from dataloader.base.values import dataclass
from dataloader.install.model import InstallPlan, SyncOptions
from dataloader.install.plan import make_plan
from dataloader.install.switch.jobs import User, users
from dataloader.install.switch.lease import Lease
from dataloader.install.sync import absolute, plan_prefix
from dataloader.lockfile.model import Lockfile
from dataloader.prefix.locate import STATE
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


def names(root: Path) -> tuple[str, ...]:
    """The environments below a root, sorted: those that have generations, and those of a volume without links."""
    root = absolute(root)
    folders = [folder for folder in (root / GENERATIONS, root) if folder.is_dir()]
    found = {path.name for folder in folders for path in folder.iterdir() if path.is_dir()}
    return tuple(sorted(n for n in found if (root / GENERATIONS / n).is_dir() or _is_environment(root / n)))


def _is_environment(path: Path) -> bool:
    return not path.name.startswith(".") and not path.is_symlink() and (path / STATE).is_file()


class Line:
    """The generations of one name under one root."""

    def __init__(self, root: Path, name: str) -> None:
        if not name or name.startswith(".") or "/" in name:
            raise PrefixError(f"{name!r} is not a name for an environment", code="name-invalid")
        self.link = root / name
        self.folder = root / GENERATIONS / name

    def is_plain(self, takes_links: bool | None) -> bool:
        """Whether the name stands, or will stand, for an environment that is no generation.

        Args:
            takes_links: Whether the volume has symbolic links; ``None``: what is there tells.
        """
        if self.link.is_symlink() or takes_links:
            return False
        return takes_links is False or _is_environment(self.link)

    def lease(self, reporter: Reporter, wait_seconds: float = 1800.0) -> Lease:
        """Held while generations come, go or are switched."""
        if not self.folder.is_dir():
            raise nothing(self.link.parent, self.link.name)
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
                f"{self.link} is there already, and is not a link to a generation",
                code="prefix-foreign",
                suggestions=("choose another --name, or move it away",),
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


def nothing(root: Path, name: str) -> PrefixError:
    """What is said of a name that nothing has."""
    return PrefixError(
        f"there is no environment {name} under {root}",
        code="prefix-missing",
        suggestions=(f"look for a slip in the name; under {root} there may be others",),
    )
