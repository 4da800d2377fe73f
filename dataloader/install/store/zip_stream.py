"""Unpack a zip archive from its front while it arrives, so that the archive itself never has to be written.

A zip archive is described by the directory at its end; what stands before each member only repeats it, and may lie.
So this takes plain archives alone: once the directory is there, every member must be where and what it says, and
nothing else may have been unpacked. Whatever is unusual makes the stream give up; the archive is then read from its
end like any other (``unpack.py``), which also says what is wrong with it.
"""

# ruff: noqa: PTH103, PTH120
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import errno
import io
import os
import struct
import zipfile
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple, TypeAlias

from dataloader.install.bounds import Refused, check_count, check_member
from dataloader.install.store.behind import Behind, Workers
from dataloader.install.store.inflate import ENCRYPTED, HEADER, PACKED, PATCHED, UTF8, Inflater, checksum
from dataloader.install.store.member import MemberFile, UnpackedFile, make_executable

_DESCRIBED_LATER = 0x8
"""Flag of a member whose sizes follow it (APPNOTE.TXT, section 4.4.4)."""

_DESCRIPTOR = b"PK\7\x08"
_MEMBER, _DIRECTORY = b"PK\3\4", (b"PK\1\2", b"PK\5\6")
_ZIP64 = 0x1
"""Extra field with sizes of eight bytes, where those of four are all ones."""
_ONES = 0xFFFFFFFF

_LONGEST_DIRECTORY = 64 << 20
"""Bytes; 100 for each member is usual."""
_LONGEST_COMMENT = 1 << 17
"""Bytes that zipfile may look through for the end of a directory, which is 64 KiB of comment and a little."""
_PIECE = 1 << 14
"""Bytes taken in first where the end is not known."""

Steps: TypeAlias = Generator[None, None, None]
_Write: TypeAlias = Callable[[Callable[[], object], int], None]
_Sums: TypeAlias = Generator[None, None, tuple[int, int, int]]
"""Checksum, packed size and size of a member as it was read."""


class _Found(NamedTuple):
    """A member as it was met."""

    name: str
    offset: int
    flags: int
    method: int
    checksum: int
    packed: int
    size: int


class _NotPlain(Exception):
    """The archive has to be read from its end."""


_UNUSUAL = (
    _NotPlain,
    Refused,
    zipfile.BadZipFile,
    UnicodeDecodeError,
    FileExistsError,
    NotADirectoryError,
    IsADirectoryError,
)


class ZipStream:
    """Takes an archive in pieces of any size and unpacks its members into ``root``, a new folder.

    Its caller's thread inflates; to hash and write takes about as long, and is left to threads of ``pool`` while
    ``workers``, of which the caller is one, are few.
    """

    def __init__(self, root: str, pool: Executor, workers: Workers) -> None:
        self._root = root
        # One writer: two that make files in one folder wait for each other.
        self._writer = Behind(pool, workers)
        self._input = memoryview(b"")
        self._position = 0
        """In the input."""
        self._before = 0
        """Bytes of the archive before the input."""
        self._found: list[_Found] = []
        self._files: dict[str, MemberFile] = {}
        self._folders: set[str] = set()
        self._directory = bytearray()
        self._start = 0
        """Of the directory, in bytes."""
        self._gave_up = False
        self._steps = self._archive()

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next piece.

        Raises:
            OSError: something cannot be written.
        """
        if self._gave_up:
            return
        self._before += len(self._input)
        self._input, self._position = memoryview(data), 0
        self._gave_up = True  # unless it goes well: no step follows one that failed
        try:
            next(self._steps)
        except _UNUSUAL:
            return
        self._gave_up = False

    def close(self) -> None:
        """Write nothing any more."""
        self._gave_up = True
        self._writer.drop()
        for file in self._files.values():
            file.close()

    def finish(self) -> dict[str, UnpackedFile] | None:
        """Return what was unpacked, in the order of the archive's directory; ``None`` if that names anything else.

        Raises:
            OSError: something cannot be written.
        """
        if self._gave_up:
            return None
        try:
            self._writer.finish()
        except _UNUSUAL:
            return None
        infos = self._listed()
        if infos is None or sorted(map(_named, infos), key=lambda member: member.offset) != self._found:
            return None
        return {
            info.filename: self._files[info.filename]
            .unpacked()
            ._replace(executable=make_executable(self._root, info), crc=info.CRC)
            for info in infos
            if not info.is_dir()
        }

    def _listed(self) -> list[zipfile.ZipInfo] | None:
        """The archive's directory; ``None`` if it cannot be read."""
        try:
            with zipfile.ZipFile(_End(self._directory, self._start)) as archive:
                return archive.infolist()
        # zipfile's words for damage, for a version it does not know and for a name in no encoding, and _End's for a
        # place before the archive: no disk is involved.
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
            return None

    def _archive(self) -> Steps:
        while True:
            offset = self._before + self._position
            signature = yield from self._exactly(4)
            if signature in _DIRECTORY:
                break
            if signature != _MEMBER:
                raise _NotPlain
            yield from self._member(offset)
        self._start = offset
        self._directory += signature
        while len(self._directory) <= _LONGEST_DIRECTORY:
            self._directory += self._input[self._position :]
            self._position = len(self._input)
            yield
        raise _NotPlain

    def _member(self, offset: int) -> Steps:
        header = _MEMBER + (yield from self._exactly(HEADER.size - len(_MEMBER)))
        _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = HEADER.unpack(header)
        name = (yield from self._exactly(name_length)).decode("utf-8" if flags & UTF8 else "cp437")
        extra = yield from self._exactly(extra_length)
        is_open = bool(flags & _DESCRIBED_LATER)
        is_large = _ONES in (packed, size) or (is_open and _sizes_of_eight_bytes(extra) is not None)
        if is_large and not is_open:
            size, packed = _sizes_of_eight_bytes(extra) or (0, 0)
        if flags & (ENCRYPTED | PATCHED) or method not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise _NotPlain
        if name.endswith("/"):
            if packed or size or is_open:
                raise _NotPlain
            self._found.append(_Found(name, offset, flags, method, crc, 0, 0))
            return
        if method == zipfile.ZIP_STORED and (is_open or packed != size):
            raise _NotPlain  # nothing tells where it ends
        file, write = self._new(name), self._writer.call
        if method == zipfile.ZIP_STORED:
            sums = yield from self._stored(file, write, size)
        else:
            sums = yield from self._inflated(file, write, Inflater(name), None if is_open else packed)
        if is_open:
            crc, packed, size = yield from self._descriptor(8 if is_large else 4)
        if sums != (crc, packed, size):
            raise _NotPlain
        self._found.append(_Found(name, offset, flags, method, crc, packed, size))

    def _new(self, name: str) -> MemberFile:
        check_member(name)
        if name in self._files:
            raise _NotPlain
        check_count(len(self._files))
        folder = os.path.dirname(name)
        if folder not in self._folders:
            self._folders.add(folder)
            os.makedirs(f"{self._root}/{folder}", exist_ok=True)
        file = self._files[name] = MemberFile(self._root, name)
        return file

    def _stored(self, file: MemberFile, write: _Write, size: int) -> _Sums:
        crc, left, last = 0, size, b""
        while left:
            if last:
                write(partial(file.write, last), len(last))
            last = bytes((yield from self._some(min(left, PACKED))))
            crc = checksum(last, crc)
            left -= len(last)
        write(partial(file.finish, last), len(last))
        return crc, size, size

    def _inflated(self, file: MemberFile, write: _Write, inflater: Inflater, packed: int | None) -> _Sums:
        """Inflate ``packed`` bytes, or as many as it takes."""
        crc = used = size = 0
        last = b""
        while not inflater.eof:
            # Where the end is not known, what is too much of a piece is copied.
            piece = yield from self._some(min(PACKED, max(_PIECE, used) if packed is None else packed - used))
            for block in inflater.blocks(piece):
                if last:
                    write(partial(file.write, last), len(last))
                crc = checksum(block, crc)
                size += len(block)
                last = block
            used += len(piece)
        write(partial(file.finish, last), len(last))
        rest = len(inflater.unused)
        self._position -= rest
        return crc, used - rest, size

    def _descriptor(self, width: int) -> Generator[None, None, tuple[int, int, int]]:
        first = yield from self._exactly(4)
        if first == _DESCRIPTOR:
            first = yield from self._exactly(4)
        sizes = yield from self._exactly(2 * width)
        packed, size = struct.unpack("<2Q" if width == 8 else "<2L", sizes)
        return int.from_bytes(first, "little"), packed, size

    def _exactly(self, size: int) -> Generator[None, None, bytes]:
        taken = b""
        while len(taken) < size:
            taken += yield from self._some(size - len(taken))
        return taken

    def _some(self, most: int) -> Generator[None, None, memoryview]:
        """At least one byte of the archive, at most ``most``."""
        if most <= 0:
            raise _NotPlain
        while self._position == len(self._input):
            yield
        block = self._input[self._position : self._position + most]
        self._position += len(block)
        return block


def _named(info: zipfile.ZipInfo) -> _Found:
    offset, flags, method = info.header_offset, info.flag_bits, info.compress_type
    return _Found(info.orig_filename, offset, flags, method, info.CRC, info.compress_size, info.file_size)


def _sizes_of_eight_bytes(extra: bytes) -> tuple[int, int] | None:
    """A member's unpacked and packed size by its extra field; ``None`` if it has none."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == _ZIP64 and 16 <= length <= len(extra) - 4:
            size, packed = struct.unpack_from("<2Q", extra, 4)
            return size, packed
        extra = extra[4 + length :]
    return None


class _End(io.RawIOBase):
    """The end of an archive as if all of it were there, with zeros for what is gone."""

    def __init__(self, end: bytes | bytearray, start: int) -> None:
        super().__init__()
        self._end = memoryview(end)
        self._start = start
        self._place = 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._start + len(self._end)}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._place = origin + offset
        return self._place

    def read(self, size: int | None = -1) -> bytes:
        whole = self._start + len(self._end)
        stop = whole if size is None or size < 0 else min(whole, self._place + size)
        gone = max(0, min(self._start, stop) - self._place)
        if gone > _LONGEST_COMMENT:
            raise zipfile.BadZipFile("its directory is not at its end")
        there = self._end[max(0, self._place - self._start) : max(0, stop - self._start)]
        self._place = max(self._place, stop)
        return bytes(gone) + there
