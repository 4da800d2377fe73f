"""Single files of a wheel: its directory, and the bytes of one member, by ranges where a server has them."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from dataloader.base.damage import damage_told
from dataloader.base.errors import IndexUnavailable, IntegrityError
from dataloader.base.reporter import Reporter
from dataloader.index.model import IndexFile
from dataloader.index.web.credentials import redact
from dataloader.index.web.failures import Failed
from dataloader.index.web.http import Web
from dataloader.index.wheels.metadata import Tail
from dataloader.index.wheels.ranges import TAIL, changed, get_range, tail_of, with_directory

_HEAD: Final = 30
"""Bytes of a local file header before its name (APPNOTE.TXT 4.3.7)."""
_MOST: Final = 16 << 30
"""Bytes of one member; no library is larger."""
_BLOCK: Final = 1 << 20


class Members(Protocol):
    """The files of one wheel, each to be had alone."""

    infos: Mapping[str, zipfile.ZipInfo]
    """Path in the archive -> what its directory says of it."""

    async def read_into(self, name: str, destination: BinaryIO) -> None:
        """Write one member, unpacked and checked against its checksum.

        Raises:
            IntegrityError: It is not what the directory says (``wheel-malformed``).
            IndexUnavailable, UsageError: As ``IndexClient.download``.
        """


class LocalMembers:
    """Of a wheel on this machine."""

    def __init__(self, path: Path) -> None:
        """Raises IntegrityError where it is no wheel, OSError where it cannot be read."""
        self._path = path
        with _well_formed(path.name), zipfile.ZipFile(path) as archive:
            self.infos: Mapping[str, zipfile.ZipInfo] = _files(archive)

    async def read_into(self, name: str, destination: BinaryIO) -> None:
        """As :class:`Members`."""
        with (
            _well_formed(self._path.name),
            zipfile.ZipFile(self._path) as archive,
            archive.open(self.infos[name]) as file,
        ):
            while block := file.read(_BLOCK):
                destination.write(block)


class RemoteMembers:
    """Of a wheel on a server that has ranges."""

    def __init__(self, web: Web, file: IndexFile, infos: Mapping[str, zipfile.ZipInfo], reporter: Reporter) -> None:
        self._web, self._file, self._reporter = web, file, reporter
        self.infos = infos

    async def read_into(self, name: str, destination: BinaryIO) -> None:
        """As :class:`Members`."""
        info = self.infos[name]
        task = f"{self._file.filename}/{name}"
        self._reporter.start(task, f"{name.rpartition('/')[2]} of {self._file.version}", info.compress_size)

        async def attempt(address: str, turn: int) -> None:
            destination.seek(0)
            destination.truncate()
            await self._receive(address, info, destination, task, http2=turn == 0)

        try:
            await self._web.first_good(self._file.url, attempt)
        finally:
            self._reporter.finish(task)

    async def _receive(
        self, address: str, info: zipfile.ZipInfo, destination: BinaryIO, task: str, *, http2: bool
    ) -> None:
        # A local header may be longer than its central one by a few bytes: extra fields of times and alignment.
        stop = info.header_offset + _HEAD + len(info.orig_filename.encode()) + (1 << 16) + info.compress_size
        headers = {"Range": f"bytes={info.header_offset}-{stop - 1}", "Accept-Encoding": "identity"}
        unpacking = _Unpacking(info, destination)
        async with self._web.stream(address, headers, http2=http2) as response:
            if response.status_code != 206:
                raise Failed(changed(self._file), retry=True)
            async for chunk in response.aiter_raw():
                self._reporter.advance(task, len(chunk))
                if unpacking.add(chunk):
                    return
        raise Failed(
            IndexUnavailable(f"{redact(address)} broke off within {info.filename}", code="download-truncated"),
            retry=True,
        )


class _Unpacking:
    """Takes a member's bytes, from its local header on, as they come."""

    def __init__(self, info: zipfile.ZipInfo, destination: BinaryIO) -> None:
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.file_size > _MOST:
            raise _malformed(info.filename, "it is packed in a way that wheels are not")
        self._info, self._destination = info, destination
        self._head, self._begun = b"", False
        self._left, self._crc, self._size = info.compress_size, 0, 0
        self._inflate = zlib.decompressobj(-15) if info.compress_type == zipfile.ZIP_DEFLATED else None

    def add(self, data: bytes) -> bool:
        """Take more; whether that was the last of it."""
        if not self._begun:
            self._head += data
            if len(self._head) < _HEAD:
                return False
            if self._head[:4] != b"PK\x03\x04":
                raise _malformed(self._info.filename, "the directory points to no file")
            start = _HEAD + int.from_bytes(self._head[26:28], "little") + int.from_bytes(self._head[28:30], "little")
            if len(self._head) < start:
                return False
            data, self._head, self._begun = self._head[start:], b"", True
        data = data[: self._left]
        self._left -= len(data)
        try:
            self._write(self._inflate.decompress(data) if self._inflate else data)
        except zlib.error as error:
            raise _malformed(self._info.filename, str(error)) from error
        if self._left:
            return False
        if self._inflate:
            self._write(self._inflate.flush())
        if (self._size, self._crc) != (self._info.file_size, self._info.CRC):
            raise _malformed(self._info.filename, "it does not have the checksum that the directory says")
        return True

    def _write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._info.file_size:
            raise _malformed(self._info.filename, "it is longer than the directory says")
        self._crc = zlib.crc32(data, self._crc)
        self._destination.write(data)


async def remote_members(web: Web, file: IndexFile, reporter: Reporter) -> RemoteMembers | None:
    """The members of a wheel on a server; ``None`` where that has no ranges.

    Raises:
        IntegrityError, IndexUnavailable, UsageError: as ``IndexClient.metadata``.
    """
    answer = await get_range(web, file.url, f"bytes=-{TAIL}")
    if answer.status != 206:
        return None
    tail = await with_directory(web, file, tail_of(answer))
    with _well_formed(file.filename), zipfile.ZipFile(_End(tail)) as archive:
        return RemoteMembers(web, file, _files(archive), reporter)


class _End(io.BytesIO):
    """The end of a file, at the offsets that it has there: all that a zip's directory is read from."""

    def __init__(self, tail: Tail) -> None:
        super().__init__(tail.data)
        self._before = tail.start

    def seek(self, offset: int, whence: int = 0) -> int:
        at = offset - self._before if whence == 0 else offset
        if whence == 0 and at < 0:
            raise zipfile.BadZipFile("its directory is not at its end")
        return super().seek(at, whence) + self._before

    def tell(self) -> int:
        return super().tell() + self._before


def _files(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {info.filename: info for info in archive.infolist() if not info.is_dir()}


def _well_formed(name: str) -> AbstractContextManager[None]:
    return damage_told(lambda error: _malformed(name, re.sub(r"\.$", "", str(error)) or type(error).__name__))


def _malformed(name: str, why: str) -> IntegrityError:
    return IntegrityError(f"{name} cannot be read: {why}", code="wheel-malformed")
