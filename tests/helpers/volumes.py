"""A volume of a cluster for tests: a folder seen through FUSE, which refuses what such volumes refuse.

    python -m tests.helpers.volumes BEHIND VOLUME [no-hard-links] [links-are-symbolic] [no-symbolic-links]

A file that is removed while it is open stays under another name, as on NFS (``.nfs...``): here FUSE's own library does
that (``.fuse_hidden...``), and the folder cannot be removed until it is closed.
"""

# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH115, PTH208, PTH211
# What the kernel asks, in its own words.

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


@contextmanager
def volume(folder: Path, *refusals: str) -> Iterator[Path]:
    """Mount one below ``folder``; skips where that is not possible."""
    if find_spec("mfusepy") is None or not os.access("/dev/fuse", os.W_OK) or not shutil.which("umount"):
        pytest.skip("FUSE is not to be had")
    behind, mounted = folder / "behind", folder / "volume"
    behind.mkdir(parents=True)
    mounted.mkdir()
    command = [sys.executable, "-m", "tests.helpers.volumes", str(behind), str(mounted), *refusals]
    server = subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not os.path.ismount(mounted):
            if server.poll() is not None:
                assert server.stderr is not None
                pytest.skip(f"mounting is not possible here: {server.stderr.read().decode()[-300:]}")
            time.sleep(0.02)
        yield mounted
    finally:
        subprocess.run(["umount", "-l", str(mounted)], check=False, capture_output=True)
        server.terminate()
        server.wait()
        assert server.stderr is not None
        server.stderr.close()


class Volume:
    """Passes everything on, less what is refused."""

    use_ns = True

    def __init__(self, behind: str, mounted: str, refusals: frozenset[str]) -> None:
        self._behind = behind
        self._mounted = mounted
        self._refusals = refusals

    def _at(self, path: str) -> str:
        return self._behind + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int | float]:
        status = os.lstat(self._at(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        times = {name: getattr(status, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}
        return {**{name: getattr(status, name) for name in names}, **times}

    def readdir(self, path: str, fh: int) -> Iterator[tuple[str, dict[str, int], int]]:
        for name in (".", "..", *os.listdir(self._at(path))):
            status = os.lstat(f"{self._at(path)}/{name}")
            yield name, {"st_mode": status.st_mode, "st_ino": status.st_ino}, 0

    def link(self, target: str, source: str) -> int:
        if "links-are-symbolic" in self._refusals:
            os.symlink(self._mounted + source, self._at(target))
            return 0
        if "no-hard-links" in self._refusals:
            raise OSError(errno.EPERM, "no links")
        os.link(self._at(source), self._at(target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        if "no-symbolic-links" in self._refusals:
            raise OSError(errno.EOPNOTSUPP, "no symbolic links")
        os.symlink(source, self._at(target))
        return 0

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)

    def rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def rename(self, old: str, new: str) -> None:
        os.rename(self._at(old), self._at(new))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._at(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self._at(path), uid, gid, follow_symlinks=False)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._at(path), ns=times, follow_symlinks=False) if times else os.utime(self._at(path))
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        os.truncate(self._at(path), length)

    def release(self, path: str, fh: int) -> None:
        os.close(fh)

    def statfs(self, path: str) -> dict[str, int]:
        status = os.statvfs(self._behind)
        names = ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_namemax")
        return {name: getattr(status, name) for name in names}


def serve(behind: str, mounted: str, *refusals: str) -> None:
    """Serve the volume until it is unmounted."""
    import mfusepy

    kind = type("Mounted", (Volume, mfusepy.Operations), {})
    volume = kind(behind, mounted, frozenset(refusals))
    mfusepy.FUSE(volume, mounted, foreground=True, use_ino=True, nothreads=True, default_permissions=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
