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

_HEADER = struct.Struct("<4s5H3L2H")
"""A member's local header (APPNOTE.TXT, section 4.3.7)."""

_ENCRYPTED, _PATCHED, _UTF8 = 0x1, 0x20, 0x800
"""Flags of a member (APPNOTE.TXT, section 4.4.4)."""

_PACKED = 1 << 18
_UNPACKED = 4 << 20
"""Bytes taken in and given out at a time."""


_zlib: ModuleType
try:
    from isal import isal_zlib as _zlib
except ImportError:  # there is no wheel of it for this machine
    import zlib as _zlib


def read_member(archive: zipfile.ZipFile, descriptor: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the content of a member.

    Args:
        descriptor: The archive, open for reading.

    Raises:
        BadZipFile, EOFError, zlib.error, RuntimeError (encrypted), NotImplementedError: it cannot be read whole.
    """
    if info.compress_type != zipfile.ZIP_DEFLATED or info.flag_bits & (_ENCRYPTED | _PATCHED):
        with archive.open(info) as stream:
            while block := stream.read(_PACKED):
                yield block
        return
    checksum = size = 0
    for block in _inflated(descriptor, _start(descriptor, info), info):
        checksum = _zlib.crc32(block, checksum)
        size += len(block)
        yield block
    if checksum != info.CRC or size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is damaged")


def _start(descriptor: int, info: zipfile.ZipInfo) -> int:
    """Where the member's data begin. Its local header must name it as the archive's directory does."""
    header = os.pread(descriptor, _HEADER.size, info.header_offset)
    if len(header) < _HEADER.size:
        raise EOFError
    signature, _, flags, *_, name_length, extra_length = _HEADER.unpack(header)
    name = os.pread(descriptor, name_length, info.header_offset + _HEADER.size)
    if signature != b"PK\3\4" or name != info.orig_filename.encode("utf-8" if flags & _UTF8 else "cp437"):
        raise zipfile.BadZipFile(f"{info.filename} has another name in its own header")
    return info.header_offset + _HEADER.size + int(name_length) + int(extra_length)


def _inflated(descriptor: int, position: int, info: zipfile.ZipInfo) -> Iterator[bytes]:
    inflater = _zlib.decompressobj(-_zlib.MAX_WBITS)
    end = position + info.compress_size
    while not inflater.eof:
        packed = os.pread(descriptor, min(_PACKED, end - position), position)
        if not packed:
            raise EOFError(f"{info.filename} is cut off")
        position += len(packed)
        while not inflater.eof:
            try:
                block: bytes = inflater.decompress(packed, _UNPACKED)
            except _zlib.error as error:
                raise zipfile.BadZipFile(f"{info.filename} is damaged: {error}") from error
            yield block
            packed = inflater.unconsumed_tail
            # A full block may have left more inside, although all of the piece was taken in.
            if not packed and len(block) < _UNPACKED:
                break
