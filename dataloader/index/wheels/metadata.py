"""METADATA of a wheel: its text -> ``WheelMetadata``, and where it lies in the archive, judged from the last bytes.

A wheel is a zip file whose directory comes last, and whose dist-info is written last (binary distribution format,
"Recommended archiver features"), so one request for the end of the file usually carries the METADATA itself. No I/O.
"""

from __future__ import annotations

import re
import struct
import zlib

from dataloader.base.core_metadata import is_version_of, parse_headers
from dataloader.base.errors import IntegrityError
from dataloader.base.names import normalized
from dataloader.base.values import dataclass
from dataloader.index.model import WheelMetadata

_END = struct.Struct("<4s4H2LH")  # APPNOTE.TXT 4.3.16, end of central directory
_END64 = struct.Struct("<4sQ2H2L4Q")  # 4.3.14, zip64 end of central directory
_END64_LOCATOR = struct.Struct("<4sLQL")  # 4.3.15
_ENTRY = struct.Struct("<4s4B4HL2L5H2L")  # 4.3.12, central directory header
_LOCAL = struct.Struct("<4s2B4HL2L2H")  # 4.3.7, local file header
_NAME = re.compile(rb"([^/]+)\.dist-info/METADATA\Z")
_MAX_SIZE = 32 << 20
"""Bytes of METADATA beyond which it is taken for an attack (a zip bomb)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Where the METADATA lies: offsets in bytes from the start of the wheel."""

    start: int
    """Of the local file header."""
    compressed: int
    size: int
    method: int
    crc: int
    stop: int
    """Generous: what follows the member at the earliest, if the local header is as long as its central one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The last bytes of a wheel."""

    data: bytes
    start: int
    """Offset of ``data`` in the wheel."""

    @property
    def end(self) -> int:
        return self.start + len(self.data)


def directory_start(tail: Tail) -> int:
    """Offset of the zip's central directory.

    Raises:
        IntegrityError: The bytes are not the end of a zip file.
    """
    at = tail.data.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail.data):
        raise _malformed("it does not end like a zip file")
    start: int = _END.unpack_from(tail.data, at)[6]
    locator = at - _END64_LOCATOR.size
    if start == 0xFFFFFFFF and locator >= 0 and tail.data[locator : locator + 4] == b"PK\x06\x07":
        end64: int = _END64_LOCATOR.unpack_from(tail.data, locator)[2] - tail.start
        if end64 < 0 or tail.data[end64 : end64 + 4] != b"PK\x06\x06":
            raise _malformed("its zip64 directory cannot be found")
        start = _END64.unpack_from(tail.data, end64)[9]
    if not 0 <= start <= tail.end:
        raise _malformed("its zip directory lies outside the file")
    return start


def find_member(tail: Tail, project: str) -> Member | None:
    """The METADATA of ``project`` (normalised) among the directory entries in ``tail``; None when it is not there.

    Entries before the tail are not seen: None means "not in these bytes" unless they hold the whole directory.

    Raises:
        IntegrityError: The bytes are not the end of a zip file.
    """
    data = tail.data
    at = max(0, directory_start(tail) - tail.start)
    while (at := data.find(b"PK\x01\x02", at)) >= 0 and at + _ENTRY.size <= len(data):
        fields = _ENTRY.unpack_from(data, at)
        method, crc, compressed, size, name_size, extra_size = fields[6], fields[9], *fields[10:14]
        name = data[at + _ENTRY.size : at + _ENTRY.size + name_size]
        match = _NAME.match(name)
        if match is None or not _is_of(match[1], project):
            at += _ENTRY.size
            continue
        start: int = fields[18]
        if start == 0xFFFFFFFF:
            start = _zip64_offset(data[at + _ENTRY.size + name_size :][:extra_size], compressed, size)
        # Local extra fields may be longer than central ones by a few bytes (timestamps, alignment).
        stop = start + _LOCAL.size + name_size + extra_size + compressed + 64
        return Member(start=start, compressed=compressed, size=size, method=method, crc=crc, stop=min(stop, tail.end))
    return None


def extract(member: Member, data: bytes) -> bytes | None:
    """The METADATA from ``data``, the wheel's bytes from ``member.start`` on; None when more bytes are needed.

    Raises:
        IntegrityError: The bytes are not the member (codes ``wheel-malformed``).
    """
    if len(data) < _LOCAL.size:
        return None
    fields = _LOCAL.unpack_from(data)
    if fields[0] != b"PK\x03\x04":
        raise _malformed("its zip directory points to no file")
    body = _LOCAL.size + fields[10] + fields[11]
    if len(data) < body + member.compressed:
        return None
    packed = data[body : body + member.compressed]
    if member.size > _MAX_SIZE:
        raise _malformed(f"its METADATA claims {member.size} bytes")
    if member.method == 0:
        text = packed
    elif member.method == 8:
        try:
            text = zlib.decompressobj(-15).decompress(packed, member.size + 1)
        except zlib.error as error:
            raise _malformed(f"its METADATA cannot be unpacked: {error}") from error
    else:
        raise _malformed(f"its METADATA is packed by method {member.method}, which installers do not read")
    if len(text) != member.size or zlib.crc32(text) != member.crc:
        raise _malformed("its METADATA does not have the checksum that its zip directory says")
    return text


def parse_metadata(text: bytes, *, project: str, version: str) -> WheelMetadata:
    """Read METADATA (core metadata, an RFC 822 header) of a wheel whose filename says ``project`` and ``version``.

    Some publishers name the build in the filename's local label alone (flash-attn); pip and uv take such wheels too.

    Raises:
        IntegrityError: It has no name or version, or those of another wheel (code ``wheel-malformed``).
    """
    fields = parse_headers(text.decode("utf-8", "replace"))
    name, said = fields.get("name", [""])[0], fields.get("version", [""])[0]
    if not name or not said:
        raise _malformed("its METADATA has no Name or no Version")
    if normalized(name) != project:
        raise _malformed(f"its METADATA is of {name}")
    if not is_version_of(said, version) and not _same_version(said, version):
        raise _malformed(f"its METADATA says version {said}")
    return WheelMetadata(
        name=normalized(name),
        version=version,
        requires_dist=tuple(fields.get("requires-dist", ())),
        requires_python=fields.get("requires-python", [None])[0] or None,
        extras=tuple(fields.get("provides-extra", ())),
    )


def _same_version(one: str, other: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return False


def _is_of(dist_info: bytes, project: str) -> bool:
    name = dist_info.decode("utf-8", "replace").rpartition("-")[0]
    return normalized(name) == project


def _zip64_offset(extra: bytes, compressed: int, size: int) -> int:
    """The header's offset from the zip64 extra field (4.5.3), which holds only the values that did not fit."""
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            skipped = 8 * ((size == 0xFFFFFFFF) + (compressed == 0xFFFFFFFF))
            if skipped + 8 <= length:
                return int(struct.unpack_from("<Q", extra, at + 4 + skipped)[0])
        at += 4 + length
    raise _malformed("its zip64 entry has no offset")


def _malformed(why: str) -> IntegrityError:
    """The caller knows which file it was, see ``IndexClient.metadata``."""
    return IntegrityError(f"the wheel cannot be used: {why}", code="wheel-malformed")
