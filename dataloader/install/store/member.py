"""One file of an archive while it is unpacked: hashed as it is written, unless it is large."""

# ruff: noqa: PTH101, PTH116
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from typing import NamedTuple

from dataloader.base.digests import LARGE, encode

_UNOPENED, _CLOSED = -1, -2


class UnpackedFile(NamedTuple):
    """One archive member as it was written."""

    digest: str
    """sha256 as RECORD has it; empty if it was not hashed."""
    size: int
    mtime_ns: int
    executable: bool
    crc: int | None = None
    """CRC-32 by the archive, where the digest is not of what was written but of what RECORD says."""


class MemberFile:
    """A new file under ``root``, in a folder that is there."""

    def __init__(self, root: str, name: str) -> None:
        self._path = f"{root}/{name}"
        self._descriptor = _UNOPENED
        self._digest: hashlib._Hash | None = hashlib.sha256()
        self._size = 0
        self._mtime_ns = 0

    def write(self, block: bytes) -> None:
        """Append to the file, which is made by the first call; FileExistsError if it is there itself."""
        if self._descriptor == _UNOPENED:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._size += len(block)
        if self._size > LARGE:
            self._digest = None
        elif self._digest is not None:
            self._digest.update(block)
        written = os.write(self._descriptor, block)
        while written < len(block):
            written += os.write(self._descriptor, memoryview(block)[written:])

    def finish(self, block: bytes) -> None:
        """Append what is last."""
        self.write(block)
        self.close()
        # Network file systems give a file its time when it is closed.
        self._mtime_ns = os.stat(self._path).st_mtime_ns

    def close(self) -> None:
        """Write nothing any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = _CLOSED

    def unpacked(self) -> UnpackedFile:
        """What was written, once the file is finished."""
        digest = encode(self._digest.digest()) if self._digest is not None else ""
        return UnpackedFile(digest, self._size, self._mtime_ns, executable=False)


def make_executable(root: str, info: zipfile.ZipInfo) -> bool:
    """Let all who may read a member run it, if it is a program by the archive's directory; return whether it is.

    Symbolic links do not exist in wheels: what claims to be one becomes a file that holds the text.
    """
    mode = info.external_attr >> 16
    if not (mode & 0o111 and stat.S_ISREG(mode)):
        return False
    path = f"{root}/{info.filename}"
    own = os.stat(path).st_mode
    os.chmod(path, stat.S_IMODE(own) | (own & 0o444) >> 2)
    return True
