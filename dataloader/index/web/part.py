"""What has arrived of a download: hashed, handed on, and kept in a file that a later run can take up."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

BATCH = 1 << 20
"""Bytes that are hashed and written at a time."""


class Sink(Protocol):
    """Takes the bytes of a download while they arrive, in the download's thread."""

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes, whose buffer is used again afterwards; OSError where they cannot be written."""

    def restart(self) -> None:
        """Forget what came: the file comes again from its first byte."""


@dataclass
class Part:
    """The bytes so far."""

    path: Path
    file: BinaryIO
    sink: Sink | None = None
    hasher: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0
    etag: str | None = None
    """The version of the file that the bytes are of, if a server named it."""
    is_kept: bool = True
    """Whether the file, or the memory, has all bytes; else only the sink got them."""
    in_memory: list[bytes] | None = None
    """The bytes so far where there is a sink and it is not clear yet whether a file of them is worth its while."""

    def take_over(self) -> None:
        """Hash what an earlier run left."""
        self.file.seek(0)
        while chunk := self.file.read(BATCH):
            self._pass_on(chunk)
        self._begin()

    def append(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self.in_memory is not None:
            self.in_memory.append(bytes(data))
        elif self.is_kept:
            self.file.write(data)
        self._pass_on(data)

    def restart(self) -> None:
        """Begin again with the first byte."""
        self._empty()
        self.hasher = hashlib.sha256()
        self.size = 0
        self.etag = None
        self.is_kept = True
        self._begin()
        if self.sink is not None:
            self.sink.restart()

    def keep(self) -> None:
        """Write the bytes to the file, these and all that come."""
        if self.in_memory is not None:
            self.file.writelines(self.in_memory)
            self.in_memory = None

    def let_go(self) -> None:
        """Leave the bytes to the sink alone."""
        if self.is_kept and self.sink is not None:
            self._empty()
            self.in_memory = None
            self.is_kept = False

    def place(self, destination: Path) -> None:
        """Give the file its name, if it has the bytes."""
        if self.in_memory is not None:
            self.let_go()  # it was here before a file was worth its while
        if self.is_kept:
            self.file.flush()
            self.path.replace(destination)

    def _begin(self) -> None:
        self.in_memory = [] if self.sink is not None and not self.size else None

    def _pass_on(self, data: bytes | memoryview) -> None:
        self.hasher.update(data)
        self.size += len(data)
        if self.sink is not None:
            self.sink.feed(data)

    def _empty(self) -> None:
        self.file.seek(0)
        self.file.truncate()


@contextmanager
def open_part(destination: Path, sink: Sink | None) -> Iterator[Part]:
    """The partial file of ``destination``, this process's alone; left behind only if it is worth resuming."""
    path = destination.with_name(destination.name + ".part")
    file = _open_locked(path)
    if file is None:
        # Another process downloads the same file (or the file system has no locks): do not share its bytes.
        path = destination.with_name(f"{destination.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        file = path.open("w+b")
        private = True
    else:
        private = False
    part = Part(path=path, file=file, sink=sink)
    with file:
        try:
            yield part
        except OSError:
            # A full disk is not helped by half a file.
            path.unlink(missing_ok=True)
            raise
        except BaseException:
            with suppress(OSError):  # then less is resumed; what went wrong first is what counts
                part.keep()
            raise
        finally:
            if private or part.size == 0 or not part.is_kept:
                path.unlink(missing_ok=True)


def _open_locked(path: Path) -> BinaryIO | None:
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Between open and lock the other process may have renamed this very file to its destination.
        if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
    except OSError:
        pass
    file.close()
    return None
