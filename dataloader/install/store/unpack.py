"""Unpack a wheel: every member checked against RECORD, and kept inside its folder."""

# ruff: noqa: PTH103, PTH120
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import asyncio
import csv
import errno
import io
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

from dataloader.base.damage import DAMAGE_ERRNO, ZIP_DAMAGE
from dataloader.base.digests import as_recorded, is_sha256, record_digest
from dataloader.install.bounds import Refused, check_count, check_member
from dataloader.install.store.behind import Workers
from dataloader.install.store.inflate import read_member
from dataloader.install.store.member import MemberFile, UnpackedFile, make_executable
from dataloader.install.store.recipe import Recipe, malformed
from dataloader.install.store.zip_stream import ZipStream

_CHUNK = 32 << 20
"""Bytes (unpacked) of one piece of work: large wheels keep several threads busy, small ones stay whole."""


_OF_NAMES = DAMAGE_ERRNO | {errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR}
"""What a volume answers where names of one archive do not go together, and what the archive's damage is."""


async def unpack_wheel(
    archive: Path, wheel_name: str, into: Path, pool: Executor, advance: Callable[[int], None]
) -> Recipe:
    """Unpack ``archive`` into the new folder ``into`` and return what it installs.

    Args:
        wheel_name: The file name by the lock; the archive itself may be named otherwise.
        pool: Threads to work on; inflating and hashing release the interpreter lock.
        advance: Told, in the caller's thread, the bytes written so far.

    Raises:
        IntegrityError: the archive is broken, reaches outside, or differs from its own RECORD.
    """
    loop = asyncio.get_running_loop()
    try:
        with archive.open("rb") as stream, zipfile.ZipFile(stream) as opened:
            infos = _members(opened, wheel_name)
            for folder in sorted({os.path.dirname(info.filename) for info in infos}):
                os.makedirs(into / folder, exist_ok=True)
            members: dict[str, UnpackedFile] = {}
            write = partial(_write, opened, stream.fileno(), into)
            work = [loop.run_in_executor(pool, write, chunk) for chunk in _chunks(infos)]
            try:
                for done in asyncio.as_completed(work):
                    written = await done
                    members.update(written)
                    advance(sum(member.size for member in written.values()))
            finally:
                # The archive must stay open until the last thread has let go of it.
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)
        ordered = {info.filename: members[info.filename] for info in infos}
        return await loop.run_in_executor(pool, checked_recipe, wheel_name, into, ordered)
    except ZIP_DAMAGE as error:
        raise malformed(wheel_name, str(error) or type(error).__name__) from error
    except OSError as error:
        if error.errno not in _OF_NAMES:
            raise
        fact = f"{Path(error.filename).name} is in it in two kinds" if error.filename else str(error)
        raise malformed(wheel_name, fact) from error


def checked_recipe(wheel_name: str, root: Path, members: Mapping[str, UnpackedFile]) -> Recipe:
    """What an unpacked wheel installs, once its RECORD has been compared with it.

    Raises:
        IntegrityError: it differs from its own RECORD, or is not a wheel.
    """
    from dataloader.install.store.wheel_source import make_recipe  # what that takes is imported while wheels come

    complete, slips = _with_digests(root, members, wheel_name)
    return replace(make_recipe(wheel_name, root, complete), slips=slips)


class ArrivingWheel:
    """Unpacks a wheel while it is downloaded: a sink for its bytes, which are not written themselves."""

    def __init__(self, wheel_name: str, into: Path, pool: Executor, workers: Workers) -> None:
        self.size = 0
        """Bytes that have come."""
        self._name = wheel_name
        self._into = into
        self._pool = pool
        self._workers = workers
        self._stream = ZipStream(os.fspath(into), pool, workers)
        # One who stops a download does not wait long for its thread.
        self._lock = threading.Lock()

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes; OSError where they cannot be written."""
        with self._lock:
            self._stream.feed(data)
            self.size += len(data)

    def restart(self) -> None:
        """The wheel comes again from its first byte."""
        with self._lock:
            if not self.size:
                return
            self._stream.close()
            _empty(self._into)
            self._stream = ZipStream(os.fspath(self._into), self._pool, self._workers)
            self.size = 0

    def recipe(self) -> Recipe | None:
        """What the wheel installs; ``None``, and nothing unpacked, if it has to be unpacked from the whole archive.

        Raises:
            IntegrityError: as ``checked_recipe``.
            OSError: something cannot be written.
        """
        members = self._stream.finish()
        if members is None:
            self._stream.close()
            _empty(self._into)
            return None
        return checked_recipe(self._name, self._into, members)

    def close(self) -> None:
        """Write nothing any more."""
        with self._lock:
            self._stream.close()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def _members(archive: zipfile.ZipFile, wheel_name: str) -> list[zipfile.ZipInfo]:
    """The files of the archive, none of which may reach outside or be named twice."""
    infos = [info for info in archive.infolist() if not info.orig_filename.endswith("/")]
    seen: set[str] = set()
    try:
        check_count(len(infos))
        for info in infos:
            check_member(info.orig_filename)  # not cut off at a null character, as filename is
            if info.filename in seen:
                raise malformed(wheel_name, f"{info.filename} is in it twice")
            seen.add(info.filename)
    except Refused as refusal:
        raise refusal.as_error(wheel_name, code="wheel-malformed") from refusal
    return infos


def _chunks(infos: list[zipfile.ZipInfo]) -> Iterator[list[zipfile.ZipInfo]]:
    chunk: list[zipfile.ZipInfo] = []
    size = 0
    for info in infos:
        chunk.append(info)
        size += info.file_size
        if size >= _CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _write(
    archive: zipfile.ZipFile, descriptor: int, into: Path, infos: list[zipfile.ZipInfo]
) -> dict[str, UnpackedFile]:
    written = {}
    root = os.fspath(into)
    for info in infos:
        with closing(MemberFile(root, info.filename)) as file:
            for block in read_member(archive, descriptor, info):
                file.write(block)
            file.finish(b"")
        written[info.filename] = file.unpacked()._replace(executable=make_executable(root, info), crc=info.CRC)
    return written


def _with_digests(
    root: Path, members: Mapping[str, UnpackedFile], wheel_name: str
) -> tuple[dict[str, UnpackedFile], dict[str, str]]:
    """Compare every member with RECORD, whose word is taken for the digest of what was not hashed.

    The archive has the locked hash, so one that differs is its publisher's slip; it is returned with what RECORD says.
    Members that RECORD forgets are let pass: many published wheels have some.
    """
    records = [path for path in members if path.endswith(".dist-info/RECORD") and path.count("/") == 1]
    if len(records) != 1:
        raise malformed(wheel_name, "it has no RECORD")
    text = (root / records[0]).read_text(encoding="utf-8", errors="surrogateescape")
    complete = {path: member._replace(crc=None) if member.digest else member for path, member in members.items()}
    slips = {}
    for row in _rows(text, wheel_name):
        if len(row) < 2 or not row[1] or row[0] not in members:
            continue
        path, member = row[0], members[row[0]]
        algorithm, _, expected = row[1].partition("=")
        expected = as_recorded(algorithm, expected)
        if algorithm == "sha256" and not member.digest:
            is_credible = is_sha256(expected) and row[2:3] in ([], [""], [str(member.size)])
            if is_credible:
                complete[path] = member._replace(digest=expected)
                continue
            member = complete[path] = _hashed(root, path, member)
        actual = member.digest if algorithm == "sha256" else _digest(root / path, algorithm, wheel_name)
        if actual != expected:
            slips[path] = row[1]
    unknown = {path: _hashed(root, path, member) for path, member in complete.items() if not member.digest}
    return complete | unknown, slips


def _hashed(root: Path, path: str, member: UnpackedFile) -> UnpackedFile:
    return member._replace(digest=record_digest(root / path), crc=None)


def _rows(text: str, wheel_name: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(text))
    except csv.Error as error:
        raise malformed(wheel_name, f"its RECORD cannot be read: {error}") from error


def _digest(path: Path, algorithm: str, wheel_name: str) -> str:
    try:
        return record_digest(path, algorithm)
    except ValueError as error:
        raise malformed(wheel_name, f"RECORD uses the hash {algorithm!r}") from error
