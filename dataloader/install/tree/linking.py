"""Put one stored file at another path without copying it where the volume allows: hard link, clone, copy."""

# ruff: noqa: PTH101, PTH108, PTH116
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress

from dataloader.base.links import hard_link
from dataloader.base.reporter import Reporter

_FICLONE = 0x40049409
"""ioctl_ficlone(2): share the extents of another file (btrfs, xfs, bcachefs, overlay on them)."""

_CANNOT = frozenset(
    {
        errno.EXDEV,
        errno.EPERM,
        errno.EACCES,
        errno.EOPNOTSUPP,
        errno.ENOSYS,
        errno.EINVAL,
        errno.ENOTTY,
        errno.EBADF,
        errno.EIO,  # rclone's answer to link(2); a true error of the device fails the copy too
    }
)
"""What a volume answers to a way it does not know (or does not allow); anything else is a failure of its own."""


class Linker:
    """Places files of one store in one tree; remembers the best way that works, and says once when it is copying."""

    def __init__(self, reporter: Reporter, source: str) -> None:
        self._reporter = reporter
        self._source = source
        self._lock = threading.Lock()
        self._ways: list[Callable[[str, str], None]] = [hard_link, clone, copy]
        self._is_proven = False
        """Whether a hard link between the two was looked at, and was one."""

    def place(self, source: str, target: str) -> None:
        """Make ``target`` (which must not exist) hold what ``source`` holds; may be called from several threads."""
        way = self._ways[0]
        try:
            way(source, target)
        except OSError as error:
            if error.errno == errno.EMLINK and way is hard_link:
                copy(source, target)  # the file system's limit on names of one file; the next file may be fine
                return
            if error.errno not in _CANNOT or way is copy:
                raise
            self._give_up(way)
            self.place(source, target)
            return
        self._is_proven |= way is hard_link

    def place_in(self, there: int, source_name: str, here: int, name: str, source: str, target: str) -> None:
        """The same, by open folders: walking two long paths costs half of a link's time."""
        if self._is_proven and self._ways[0] is hard_link:
            try:
                os.link(source_name, name, src_dir_fd=there, dst_dir_fd=here)
            except FileNotFoundError:
                raise
            except OSError:
                self.place(source, target)  # which finds out what this volume can do
        else:
            self.place(source, target)

    def _give_up(self, way: Callable[[str, str], None]) -> None:
        with self._lock:
            if self._ways[0] is not way:
                return  # another thread has seen it too
            self._ways.pop(0)
        if self._ways[0] is copy:
            self._reporter.warn(
                f"{self._source} and the environment do not share files (no hard links, no clones between them); "
                "copying instead; keep the cache on the environment's volume to save time and room"
            )


class Folders:
    """The folders that files come from and go to, held open while one after the other lies in them."""

    def __init__(self) -> None:
        self._paths: tuple[str, str] | None = None
        self._open: tuple[int, int] | None = None

    def __enter__(self) -> Folders:  # noqa: PYI034 -- Self needs Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def enter(self, source: str, root: str, folder: str, make: Callable[[str], None]) -> tuple[int, int]:
        """Descriptors of ``source`` and of ``root/folder``, which ``make`` is told to make first."""
        target = f"{root}/{folder}"
        if self._paths != (source, target) or self._open is None:
            self._close()
            make(folder)
            there = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                here = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                os.close(there)
                raise
            self._paths, self._open = (source, target), (there, here)
        return self._open

    def _close(self) -> None:
        if self._open is not None:
            for descriptor in self._open:
                os.close(descriptor)
        self._paths = self._open = None


def clone(source: str, target: str) -> None:
    """Share the extents of ``source``; time and mode are carried over."""
    with open(source, "rb") as reading, open(target, "xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            os.unlink(target)
            raise
    _copy_status(source, target)


def copy(source: str, target: str) -> None:
    """Copy content, time and mode."""
    with open(source, "rb") as reading, open(target, "xb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
    _copy_status(source, target)


def _copy_status(source: str, target: str) -> None:
    status = os.stat(source)
    # A volume without times or modes of its own shows what it has; the content is what counts.
    with suppress(OSError):
        os.chmod(target, status.st_mode & 0o7777)
    with suppress(OSError):
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
