"""Who uses a generation: processes of this machine, by what /proc shows, and jobs of any machine, by their leases.

Beside the generations of a name, ``run`` keeps a file for each job that it started in one of them:

    root/.generations/train/run-4-0f3a9c2b7d10@7c1e...52.4711-88123-9f86d081    touched every minute while the job lives

Its name says which generation, and which process of which machine (``owner``): there, whether that process lives is
seen at once. Elsewhere a lease counts until it has not been touched for a quarter of an hour.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from dataloader.base.values import dataclass
from dataloader.install.switch.keeper import start_keeper
from dataloader.install.switch.owner import began_at, is_dead, pid_of, signed
from dataloader.prefix.pin import is_generation

STALE_SECONDS = 900.0
"""Of a job that cannot be seen from here. A volume may be away for some minutes, and room is all that a lease costs."""

_MARGIN = 120.0
"""Seconds that the clocks of two machines may differ."""

_LEASE = "run-"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A process that uses a generation."""

    pid: int
    host: str | None = None
    """Its machine; ``None`` for this one."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" if self.host else f"process {self.pid}"


def take_lease(generation: Path) -> None:
    """Tell other machines that this process, or what it becomes by ``exec``, uses ``generation``.

    Another process touches the lease while this one lives. On a volume that is read-only here there is none.
    """
    lease = generation.parent / signed(f"{_LEASE}{generation.name}@")
    try:
        lease.write_text(os.uname().nodename, encoding="utf-8")
    except OSError:
        return
    start_keeper(lease)


def users(folder: Path, link: Path, left_at: Callable[[str], float], now: float) -> dict[str, list[User]]:
    """Who uses each generation in ``folder``, as far as may be seen from here.

    Args:
        link: What leads to the current one.
        left_at: When a generation ceased to be current.
        now: The time by the volume's clock.
    """
    found: dict[str, list[User]] = {}
    for generation, user in (*_by_leases(folder, now), *_by_processes(folder, link, left_at)):
        if user not in found.setdefault(generation, []):
            found[generation].append(user)
    return found


def remove_ended(folder: Path, now: float) -> None:
    """Remove the leases of jobs that have ended."""
    for lease in folder.glob(f"{_LEASE}*"):
        if not _stands(lease, now):
            lease.unlink(missing_ok=True)


def _by_leases(folder: Path, now: float) -> Iterator[tuple[str, User]]:
    for lease in folder.glob(f"{_LEASE}*"):
        generation = lease.name[len(_LEASE) :].partition("@")[0]
        if not _stands(lease, now):
            continue
        host: str | None = None
        if is_dead(lease.name) is None:
            with suppress(OSError):
                host = lease.read_text(encoding="utf-8", errors="replace")
        yield generation, User(pid=pid_of(lease.name) or 0, host=host)


def _stands(lease: Path, now: float) -> bool:
    dead = is_dead(lease.name)
    if dead is not None:
        return not dead
    try:
        return now - lease.lstat().st_mtime < STALE_SECONDS
    except OSError:
        return False


def _by_processes(folder: Path, link: Path, left_at: Callable[[str], float]) -> Iterator[tuple[str, User]]:
    """Processes that run from a generation, stand in it, have some of it open or mapped, or name it.

    Other containers see the volume elsewhere: what counts is the end of a path.
    """
    inside = re.compile(rf"/{re.escape(folder.parent.name)}/{re.escape(folder.name)}/([^/\0\n:]+)")
    programs = tuple(f"{path}/bin/" for path in {link, link.parent.resolve() / link.name})
    for process in Path("/proc").glob("[0-9]*"):
        user = User(pid=int(process.name))
        texts = _traces(process)
        seen = {entry for text in texts for entry in inside.findall(text)}
        for entry in seen:
            yield entry, user
        if seen or not texts or not any(word.startswith(programs) for word in texts[0].split("\0")):
            continue
        # It began by the link, and shows no more: it is another user's, or has closed what it had open.
        since = began_at(user.pid) - _MARGIN
        for path in folder.iterdir():
            if is_generation(path.name) and left_at(path.name) >= since:
                yield path.name, user


def _traces(process: Path) -> list[str]:
    """What /proc shows of a process, its command line first; of other users' no more than that."""
    texts: list[str] = []
    for name in ("cmdline", "environ", "maps"):
        try:
            texts.append((process / name).read_text(encoding="utf-8", errors="surrogateescape"))
        except OSError:
            break
    links = [process / "exe", process / "cwd"]
    with suppress(OSError):
        links += (process / "fd").iterdir()
    for link in links:
        with suppress(OSError):  # it has ended or was closed
            texts.append(str(link.readlink()))
    return texts
