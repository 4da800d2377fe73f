"""Mode and owner of what a workload reads. What a cache shares is copied first: its files stay as they are."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_FICLONE = 0x40049409
"""ioctl_ficlone(2)."""


def apply(folder: Path, *, mode: int, uid: int, gid: int, spared: Collection[Path] = ()) -> int:
    """Give every file and folder below ``folder``, and itself, the mode and the owner. Returns how many were changed.

    A file with other links (a cache's) is replaced by a copy of its own: a clone where the volume can. Symbolic links
    get the owner alone.

    Args:
        folder: Where to begin.
        mode: Permission bits.
        uid: User id.
        gid: Group id.
        spared: Folders that are passed over.

    Raises:
        OSError: the volume or the user does not allow it.
    """
    changed = 0
    for path, entry in _walk(folder, frozenset(spared)):
        is_link = stat.S_ISLNK(entry.st_mode)
        fits = is_link or stat.S_IMODE(entry.st_mode) == mode
        if fits and (entry.st_uid, entry.st_gid) == (uid, gid):
            continue
        if stat.S_ISREG(entry.st_mode) and entry.st_nlink > 1:
            _replace(path, entry, mode, uid, gid)
        else:
            os.chown(path, uid, gid, follow_symlinks=False)
            if not is_link:
                os.chmod(path, mode)  # noqa: PTH101 -- after chown, which may clear bits
        changed += 1
    return changed


def _walk(folder: Path, spared: frozenset[Path]) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below ``folder``, and first of all itself."""
    yield os.fspath(folder), os.lstat(folder)
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if Path(where, name) not in spared]
        for name in (*folders, *names):
            path = f"{where}/{name}"
            yield path, os.lstat(path)


def _replace(path: str, entry: os.stat_result, mode: int, uid: int, gid: int) -> None:
    """A copy in the place of the file, under its name at every moment."""
    aside = f"{path}.{os.getpid()}.own"
    try:
        with open(path, "rb") as source, open(aside, "xb") as copy:
            try:
                fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
            except OSError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}:
                    raise
                shutil.copyfileobj(source, copy, 1 << 20)
            os.fchown(copy.fileno(), uid, gid)
            os.fchmod(copy.fileno(), mode)
        os.utime(aside, ns=(entry.st_atime_ns, entry.st_mtime_ns))
        os.replace(aside, path)  # noqa: PTH105
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
