"""Wait for a volume that writes back in the background, before a folder on it is renamed.

An rclone mount uploads files some seconds after they are closed. A directory that is renamed before cannot be read for
that time; one that is renamed while files of it are on their way loses these for good, for they arrive under the old
name. Nothing on the mount tells how far it is. So, but for file systems that are known to write to a file and not
to its path, small directories are written after the folder, and one after the other renamed: once one of them can be
read at once, what was written before it is there, and the folder can follow.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from dataloader.base.errors import TryAgain
from dataloader.base.reporter import Reporter
from dataloader.install.switch.mounts import file_system

_BY_FILE = frozenset(
    ("bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "nfs", "nfs4", "overlay", "tmpfs", "xfs", "zfs")
)
"""File systems of the kernel that write a file's bytes to that file, whatever it is called meanwhile. A scout there is
for nothing, and not for free: ext4 that is mounted with ``discard`` and without a journal waits for the disk, seconds
where that is busy, when a directory is removed."""

_PATIENCE = 300.0
"""Seconds without any progress. The delay of the file systems in question is a few; large files take their time."""

_SCOUTS = 20
"""Small directories written at once; tried after 1 s, 2.3 s, 3.8 s, ... the last one after six minutes."""

_MARGIN = 2.0
"""Seconds between a scout's arrival and the first rename."""

_LARGE = 8 << 20
"""Bytes of a file that may still be on its way when a small one that came later has arrived."""


async def settle(folder: Path, reporter: Reporter) -> dict[str, int]:
    """Return when ``folder``, which is about to be renamed, will be whole under its new name.

    The answer is for ``wait_for_all``, once it has that name: its files and their sizes; empty on other volumes.

    Raises:
        TryAgain: it is not, and for minutes no more of it has come to light (``volume-unsettled``).
    """
    if await asyncio.to_thread(_follows_renames, folder):
        return {}
    sizes = await asyncio.to_thread(_sizes, folder)
    aside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    task = f"settle {folder.name}"
    reporter.start(task, f"Waiting for {folder.parent} to write back", len(sizes), "files")
    try:
        await _written_back(folder, max(sizes.values(), default=0))
        await _moved(folder, aside)
        await wait_for_all(aside, sizes, lambda amount: reporter.advance(task, amount))
        await _moved(aside, folder)
    finally:
        reporter.finish(task)
    return sizes


async def _written_back(folder: Path, largest: int) -> None:
    """Return when what was written before now has most likely arrived."""
    began, pause = time.monotonic(), 1.0
    scouts = [await asyncio.to_thread(_send_scout, folder) for _ in range(_SCOUTS)]
    try:
        while scouts:
            await asyncio.sleep(pause)
            pause *= 1.25
            if await asyncio.to_thread(_has_arrived, scouts.pop()):
                break
        else:
            raise _unsettled(folder)
    finally:
        for scout in scouts:
            await asyncio.to_thread(shutil.rmtree, scout, ignore_errors=True)
    # Some are sent side by side: those that were begun before the scout may still be on their way.
    await asyncio.sleep(time.monotonic() - began if largest > _LARGE else _MARGIN)


async def wait_for_all(folder: Path, sizes: dict[str, int], advance: Callable[[int], None] = lambda _: None) -> None:
    """Poll for the files that cannot be read yet; the last look takes in all of them once more."""
    waiting, since, pause = sizes, time.monotonic(), 0.05
    while waiting:
        hidden = await asyncio.to_thread(_unreadable, folder, waiting)
        advance(len(waiting) - len(hidden))
        if not hidden and waiting is not sizes:
            hidden = await asyncio.to_thread(_unreadable, folder, sizes)
            advance(-len(hidden))
        if len(hidden) < len(waiting):
            since, pause = time.monotonic(), 0.05
        elif time.monotonic() - since > _PATIENCE:
            raise _unsettled(folder)
        waiting = hidden
        if waiting:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 2.0)


async def _moved(source: Path, target: Path) -> None:
    """Rename, as soon as the volume lets us."""
    deadline, pause = time.monotonic() + _PATIENCE, 0.05
    while not await asyncio.to_thread(_rename, source, target):
        if time.monotonic() > deadline:
            raise _unsettled(source)
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


def _follows_renames(folder: Path) -> bool:
    """Whether what is written to ``folder``'s volume can be renamed at once."""
    return file_system(folder) in _BY_FILE or _has_arrived(_send_scout(folder))


def _send_scout(folder: Path) -> Path:
    """Write a small directory beside ``folder``."""
    # Named after the folder, so that whoever clears up after a killed process finds it.
    scout = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    scout.mkdir()
    (scout / "file").write_text(scout.name, encoding="utf-8")
    return scout


def _has_arrived(scout: Path) -> bool:
    """Whether its file can be read at once after the directory was renamed, which is the scout's end."""
    renamed = scout.with_name(f"{scout.name}-b")
    try:
        scout.rename(renamed)
        return (renamed / "file").read_text(encoding="utf-8") == scout.name
    except OSError:
        return False
    finally:
        for path in (scout, renamed):
            shutil.rmtree(path, ignore_errors=True)


def _rename(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError:
        return target.exists() and not source.exists()
    return True


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every regular file, as the volume knows them while nothing has been renamed."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            status = os.lstat(os.path.join(where, name))  # noqa: PTH118  (ten thousands of them)
            if stat.S_ISREG(status.st_mode):
                found[os.path.relpath(os.path.join(where, name), folder)] = status.st_size  # noqa: PTH118
    return found


def _unreadable(folder: Path, sizes: dict[str, int]) -> dict[str, int]:
    """Those files that cannot be read to their end now."""
    return {name: size for name, size in sizes.items() if not _ends_at(folder / name, size)}


def _ends_at(path: Path, size: int) -> bool:
    # The last byte stands for all: reading everything would bring gigabytes back over the network.
    try:
        with path.open("rb", buffering=0) as stream:
            stream.seek(max(size - 1, 0))
            return len(stream.read(2)) == min(size, 1)
    except OSError:
        return False


def _unsettled(folder: Path) -> TryAgain:
    return TryAgain(f"{folder.parent} does not show what is written to it.", code="volume-unsettled")
