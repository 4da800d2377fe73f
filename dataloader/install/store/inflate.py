"""The content of zip members, read by any number of threads at once; inflated by ISA-L where it is installed.

``zipfile`` finds the members. Its own reading takes a lock for every block, and zlib needs twice the time of ISA-L:
of a cold sync, inflating is half.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Protocol

HEADER = struct.Struct("<4s5H3L2H")
"""A member's local header (APPNOTE.TXT, section 4.3.7)."""

ENCRYPTED, PATCHED, UTF8 = 0x1, 0x20, 0x800
"""Flags of a member (APPNOTE.TXT, section 4.4.4)."""

PACKED = 1 << 20
_UNPACKED = 1 << 20
"""Bytes taken in and given out at a time, at most."""


class _Decompressor(Protocol):
    """As the standard library has them for its newer formats (``bz2.BZ2Decompressor``)."""

    eof: bool
    unused_data: bytes
    needs_input: bool

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...


class _ZlibDecompressor:
    """One of zlib."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        self.eof = False
        self.unused_data = b""
        self.needs_input = True

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        block = self._stream.decompress(data or self._stream.unconsumed_tail, max_length)
        self.eof, self.unused_data = self._stream.eof, self._stream.unused_data
        # A full block may have left more inside, although all of the input was taken in.
        self.needs_input = not self.eof and not self._stream.unconsumed_tail and len(block) < max_length
        return block


# checksum: CRC-32 of a block, continued from that of the blocks before it.
try:
    from isal import igzip_lib, isal_zlib
except ImportError:  # there is no wheel of it for this machine
    _Damaged: type[Exception] = zlib.error
    checksum = zlib.crc32

    def _decompressor() -> _Decompressor:
        return _ZlibDecompressor()

else:
    _Damaged = isal_zlib.error  # type: ignore[assignment]  # its stub has an instance in place of the class
    checksum = isal_zlib.crc32

    def _decompressor() -> _Decompressor:
        made: _Decompressor = igzip_lib.IgzipDecompressor(igzip_lib.DECOMP_DEFLATE)
        return made


class Inflater:
    """One deflated stream, in blocks of bounded size."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream = _decompressor()

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        return self._stream.eof

    @property
    def unused(self) -> bytes:
        """What was given in behind its end."""
        return self._stream.unused_data

    def blocks(self, packed: bytes | memoryview) -> Iterator[bytes]:
        """Yield what these next bytes unpack to; BadZipFile where they are damaged."""
        stream = self._stream
        while not stream.eof:
            try:
                block = stream.decompress(packed, _UNPACKED)
            except _Damaged as error:
                raise zipfile.BadZipFile(f"{self._name} is damaged: {error}") from error
            yield block
            packed = b""
            if stream.needs_input:
                break


def read_member(archive: zipfile.ZipFile, descriptor: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member.

    Args:
        descriptor: The archive, open for reading.

    Raises:
        BadZipFile, EOFError, zlib.error, RuntimeError (encrypted, or of an unknown method): it cannot be read whole.
    """
    if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & (ENCRYPTED | PATCHED):
        with archive.open(info) as stream:
            while block := stream.read(PACKED):
                yield block
        return
    crc = size = 0
    for block in _inflated(descriptor, _start(descriptor, info), info):
        crc = checksum(block, crc)
        size += len(block)
        yield block
    if crc != info.CRC or size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is damaged")


def _start(descriptor: int, info: zipfile.ZipInfo) -> int:
    """Where the member's data begin. Its local header must name it as the archive's directory does."""
    header = os.pread(descriptor, HEADER.size, info.header_offset)
    if len(header) < HEADER.size:
        raise EOFError
    signature, _, flags, *_, name_length, extra_length = HEADER.unpack(header)
    name = os.pread(descriptor, name_length, info.header_offset + HEADER.size)
    if signature != b"PK\3\4" or name != info.orig_filename.encode("utf-8" if flags & UTF8 else "cp437"):
        raise zipfile.BadZipFile(f"{info.filename} has another name in its own header")
    return info.header_offset + HEADER.size + int(name_length) + int(extra_length)


def _inflated(descriptor: int, position: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    inflater = Inflater(info.filename)
    end = position + info.compress_size
    while not inflater.eof:
        packed = os.pread(descriptor, min(PACKED, end - position), position)
        if not packed:
            raise EOFError(f"{info.filename} is cut off")
        position += len(packed)
        yield from inflater.blocks(packed)
