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
from contextlib import suppress
from pathlib import Path

from dataloader.base.errors import TryAgain
from dataloader.base.files import walk
from dataloader.base.reporter import Reporter
from dataloader.base.tasks import to_its_end
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

_RECALL = 30.0
"""Seconds to wait at most for scouts that were renamed on their way, before they are removed."""

_LARGE = 8 << 20
"""Bytes of a file that may still be on its way when a small one that came later has arrived."""


async def settle(folder: Path, reporter: Reporter) -> dict[str, int]:
    """Return when ``folder``, which is about to be renamed, will be whole under its new name.

    The answer is for ``wait_for_all``, once it has that name: its files and their sizes; empty on other volumes.

    Raises:
        TryAgain: it is not, and for minutes no more of it has come to light (``volume-unsettled``).
    """
    if file_system(folder) in _BY_FILE:
        return {}
    scouts = _Scouts(folder)
    try:
        if await asyncio.to_thread(scouts.has_arrived, scouts.send()):
            return {}
        return await _settle(folder, scouts, reporter)
    finally:
        await to_its_end(scouts.recall())


async def _settle(folder: Path, scouts: _Scouts, reporter: Reporter) -> dict[str, int]:
    sizes = await asyncio.to_thread(_sizes, folder)
    aside = folder.with_name(f"{folder.name}-{uuid.uuid4().hex[:8]}")
    task = f"settle {folder.name}"
    reporter.start(task, f"Waiting for {folder.parent} to write back", len(sizes), "files")
    try:
        await _written_back(scouts, max(sizes.values(), default=0))
        await _moved(folder, aside)
        await wait_for_all(aside, sizes, lambda amount: reporter.advance(task, amount))
        await _moved(aside, folder)
    finally:
        reporter.finish(task)
    return sizes


async def _written_back(scouts: _Scouts, largest: int) -> None:
    """Return when what was written before now has most likely arrived."""
    began, pause = time.monotonic(), 1.0
    sent = [await asyncio.to_thread(scouts.send) for _ in range(_SCOUTS)]
    while True:
        await asyncio.sleep(pause)
        pause *= 1.25
        if await asyncio.to_thread(scouts.has_arrived, sent.pop()):
            break
        if not sent:
            raise _unsettled(scouts.folder)
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


class _Scouts:
    """Small directories beside a folder.

    They are removed together at the end, when they have arrived: the file of one that is removed before arrives all the
    same, and the directory is there again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sent: list[Path] = []
        self._renamed: list[Path] = []

    def send(self) -> Path:
        """Write one."""
        # Named after the folder, so that whoever clears up after a killed process finds it.
        scout = self.folder.with_name(f"{self.folder.name}-{uuid.uuid4().hex[:8]}")
        self._sent.append(scout)
        scout.mkdir()
        (scout / "file").write_text(scout.name, encoding="utf-8")
        return scout

    def has_arrived(self, scout: Path) -> bool:
        """Whether its file can be read at once after the directory is renamed, which can be tried once."""
        renamed = scout.with_name(f"{scout.name}-b")
        self._renamed.append(renamed)
        with suppress(OSError):  # then it stays where it is
            scout.rename(renamed)
        return _ends_at(renamed / "file", len(scout.name))

    async def recall(self) -> None:
        """Remove them all."""
        deadline = time.monotonic() + _RECALL
        while time.monotonic() < deadline and await asyncio.to_thread(self._are_on_their_way):
            await asyncio.sleep(0.5)
        for path in (*self._sent, *self._renamed):
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    def _are_on_their_way(self) -> bool:
        return any(path.is_dir() and not _ends_at(path / "file", len(path.name) - 2) for path in self._renamed)


def _rename(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError:
        return target.exists() and not source.exists()
    return True


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every regular file, as the volume knows them while nothing has been renamed."""
    found = {}
    for where, _, names in walk(folder):
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
    return TryAgain(f"{folder.parent} does not show what is written to it", code="volume-unsettled")
