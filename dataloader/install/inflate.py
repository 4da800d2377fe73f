"""The content of zip members, read by any number of threads at once; inflated by ISA-L where it is installed.

``zipfile`` finds the members. Its own reading takes a lock for every block, and zlib needs twice the time of ISA-L:
of a cold sync, inflating is half.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Iterator
from types import ModuleType

HEADER = struct.Struct("<4s5H3L2H")
"""A member's local header (APPNOTE.TXT, section 4.3.7)."""

ENCRYPTED, PATCHED, UTF8 = 0x1, 0x20, 0x800
"""Flags of a member (APPNOTE.TXT, section 4.4.4)."""

PACKED = 1 << 20
_UNPACKED = 1 << 20
"""Bytes taken in and given out at a time, at most."""


_zlib: ModuleType
try:
    from isal import isal_zlib as _zlib
except ImportError:  # there is no wheel of it for this machine
    import zlib as _zlib


checksum = _zlib.crc32
"""CRC-32 of a block, continued from that of the blocks before it."""


class Inflater:
    """One deflated stream, in blocks of bounded size."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stream = _zlib.decompressobj(-_zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        """Whether its end was reached."""
        return bool(self._stream.eof)

    @property
    def unused(self) -> bytes:
        """What was given in behind its end."""
        return bytes(self._stream.unused_data)

    def blocks(self, packed: bytes | memoryview) -> Iterator[bytes]:
        """Yield what these next bytes unpack to; BadZipFile where they are damaged."""
        while not self._stream.eof:
            try:
                block: bytes = self._stream.decompress(packed, _UNPACKED)
            except _zlib.error as error:
                raise zipfile.BadZipFile(f"{self._name} is damaged: {error}") from error
            yield block
            packed = self._stream.unconsumed_tail
            # A full block may have left more inside, although all of the piece was taken in.
            if not packed and len(block) < _UNPACKED:
                break


def read_member(archive: zipfile.ZipFile, descriptor: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member.

    Args:
        descriptor: The archive, open for reading.

    Raises:
        BadZipFile, EOFError, zlib.error, RuntimeError (encrypted), NotImplementedError: it cannot be read whole.
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
