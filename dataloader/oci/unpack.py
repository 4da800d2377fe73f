"""A layer's archive, read while it arrives: decompressed, judged path by path, written once."""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from dataloader.base.errors import IntegrityError
from dataloader.base.files import make_folders, remove_tree
from dataloader.base.links import NO_SYMBOLIC_LINKS
from dataloader.install.bounds import MOST, Refused, check_member
from dataloader.install.store.layers import LayerFile
from dataloader.oci.model import malformed

_BLOCK = 512
_LONGEST_HEADER = 1 << 20
"""Bytes of an extended header: names and link targets."""
_PIECE, _MOST = 4 << 10, 1 << 20
"""Bytes that are inflated at a time, and that may come of it at a time: some few stand for many."""


class ArrivingLayer:
    """Takes the bytes of a layer as they come (``index.part.Sink``), and writes its files below a folder.

    Args:
        folder: Empty; what is written there is good only when the whole layer's hash was found right.
        prefix: Where the environment is in the image; what lies elsewhere is refused.
    """

    def __init__(self, folder: Path, prefix: str, media_type: str, what: str) -> None:
        self._folder, self._media_type, self._what = folder, media_type, what
        self._root = prefix.strip("/")
        self._refusal: Exception | None = None
        self._inflate = _inflating(media_type)
        self._reader = _TarReader(folder, self._root)

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._refusal is not None:
            return  # said when the hash was found right: till then these may be anybody's bytes
        try:
            for start in range(0, len(data), _PIECE):
                for piece in self._inflate(bytes(data[start : start + _PIECE])):
                    self._reader.feed(piece)
        except (Refused, IntegrityError, zlib.error, tarfile.TarError, ValueError, _zstd_error()) as error:
            self._refusal = error
            self._reader.close()

    def restart(self) -> None:
        """Forget what came."""
        self._reader.close()
        remove_tree(self._folder)
        self._folder.mkdir()
        self._refusal = None
        self._inflate = _inflating(self._media_type)
        self._reader = _TarReader(self._folder, self._root)

    def close(self) -> None:
        """Let go of what is open; what came is of no use."""
        self._reader.close()

    def finished(self) -> list[LayerFile]:
        """What was unpacked, once all bytes have come and their hash was found right.

        Raises:
            IntegrityError: the layer is not one that may be unpacked (``image-malformed``, ``archive-escapes``).
        """
        self._reader.close()
        if isinstance(self._refusal, Refused):
            raise self._refusal.as_error(self._what, code="image-malformed")
        if isinstance(self._refusal, IntegrityError):
            raise self._refusal
        if self._refusal is not None:
            raise malformed(self._what, f"{type(self._refusal).__name__}: {self._refusal}")
        if not self._reader.is_whole:
            raise malformed(self._what, "it ends in the middle of a file")
        return self._reader.found


def _inflating(media_type: str) -> Callable[[bytes], Iterator[bytes]]:
    """A function from the next bytes of a layer to those of its archive."""
    if media_type.endswith("+zstd"):
        import zstandard

        frames = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        return lambda data: iter((frames.decompress(data),))
    if not media_type.endswith("gzip"):
        return lambda data: iter((data,))
    stream = zlib.decompressobj(31)

    def inflate(data: bytes) -> Iterator[bytes]:
        while data:
            yield stream.decompress(data, _MOST)
            data = stream.unconsumed_tail

    return inflate


def _zstd_error() -> type[Exception]:
    import zstandard

    error: type[Exception] = zstandard.ZstdError
    return error


class _TarReader:
    """Reads blocks of 512 bytes, whatever pieces they come in."""

    def __init__(self, folder: Path, root: str) -> None:
        self._folder, self._root = os.fspath(folder), root
        self._pending = bytearray()
        self._left = self._padding = 0
        """Bytes of the file that is being read, and of what fills up its last block."""
        self._file: _Writer | None = None
        self._entry: tuple[str, tarfile.TarInfo] | None = None
        self._hash = hashlib.sha256()
        self._extended: dict[str, str] = {}
        self._zeros = self._behind = 0
        self._seen: dict[str, bool] = {}
        """Path -> whether it is a folder."""
        self.found: list[LayerFile] = []

    @property
    def is_whole(self) -> bool:
        """Whether the end of the archive has come."""
        return self._zeros >= 1 and self._file is None

    def feed(self, data: bytes) -> None:
        view = memoryview(data)
        if self._zeros >= 2:
            self._behind += len(view)
            if self._behind > _MOST:
                raise Refused("has more behind its end than fills a record", escapes=False)
        while view and self._zeros < 2:
            if self._file is not None and self._left:
                piece, view = view[: self._left], view[self._left :]
                self._hash.update(piece)
                self._file.write(piece)
                self._left -= len(piece)
                if not self._left:
                    self._end_file()
                continue
            wanted = self._padding or _BLOCK
            take = wanted - len(self._pending)
            self._pending += view[:take]
            view = view[take:]
            if len(self._pending) == wanted:
                block, self._pending = bytes(self._pending), bytearray()
                if self._padding:
                    self._padding = 0
                else:
                    self._header(block)

    def close(self) -> None:
        """Give up what is open."""
        if self._file is not None and self._entry is not None:
            self._file.close()

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._zeros += 1
            return
        if self._zeros:
            raise Refused("has something behind its end", escapes=False)
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type == tarfile.XHDTYPE:
            self._begin_extended(info)
            return
        extended, self._extended = self._extended, {}
        info.name = extended.get("path", info.name)
        info.linkname = extended.get("linkpath", info.linkname)
        info.size = int(extended.get("size", info.size))
        if info.size < 0:
            raise Refused(f"holds {info.name!r}, whose size is below zero", escapes=False)
        self._member(info)

    def _begin_extended(self, info: tarfile.TarInfo) -> None:
        if self._extended:
            raise Refused("has two headers for one file", escapes=False)
        if info.size > _LONGEST_HEADER:
            raise Refused("has a header of more than a mebibyte", escapes=False)
        if info.size <= 0:
            return
        self._file, self._entry = _Extended(self._extended), None
        self._left, self._padding = info.size, -info.size % _BLOCK

    def _member(self, info: tarfile.TarInfo) -> None:
        path = self._inside(info.name.rstrip("/"))
        if path is None:
            if not info.isdir():
                raise Refused(f"holds {info.name!r}, which is outside of /{self._root}", escapes=True)
            return
        if self._seen.get(path, info.isdir()) != info.isdir() or (path in self._seen and not info.isdir()):
            raise Refused(f"holds {path} twice", escapes=False)
        self._seen[path] = info.isdir()
        if len(self._seen) > MOST:
            raise Refused(f"holds more than {MOST} files", escapes=False)
        parent = path.rpartition("/")[0]
        if parent and not self._seen.get(parent, True):
            raise Refused(f"wants to write {path} below what is no folder", escapes=True)
        place = f"{self._folder}/{path}"
        make_folders(place if info.isdir() else f"{self._folder}/{parent}")
        if info.issym():
            try:
                os.symlink(info.linkname, place)  # noqa: PTH211 -- texts, as all here
            except OSError as error:
                if error.errno not in NO_SYMBOLIC_LINKS:
                    raise  # a volume without them: the entry tells where it leads
            self.found.append(LayerFile(path, 0, "", 0, info.linkname))
        elif info.isreg():
            self._begin_file(path, place, info)
        elif not info.isdir():
            raise Refused(f"holds {path}, which is no file, folder or symbolic link", escapes=False)

    def _inside(self, name: str) -> str | None:
        """A path of the archive, relative to the prefix; ``None`` for the folders that lead there."""
        check_member(name)
        if name == self._root or self._root.startswith(f"{name}/"):
            return None
        if not name.startswith(f"{self._root}/"):
            raise Refused(f"holds {name!r}, which is outside of /{self._root}", escapes=True)
        return name[len(self._root) + 1 :]

    def _begin_file(self, path: str, place: str, info: tarfile.TarInfo) -> None:
        mode = 0o777 if info.mode & 0o100 else 0o666
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        self._file, self._entry, self._hash = os.fdopen(descriptor, "wb", 1 << 20), (path, info), hashlib.sha256()
        self._left, self._padding = info.size, -info.size % _BLOCK
        if not self._left:
            self._end_file()

    def _end_file(self) -> None:
        assert self._file is not None
        self._file.close()
        self._file = None
        if self._entry is not None:
            path, info = self._entry
            moment = int(info.mtime) * 1_000_000_000
            os.utime(f"{self._folder}/{path}", ns=(moment, moment))
            self.found.append(LayerFile(path, info.size, self._hash.hexdigest(), moment, None))


class _Writer(Protocol):
    def write(self, data: memoryview, /) -> object: ...

    def close(self) -> None: ...


class _Extended:
    """Takes a pax header, and reads it when it is closed."""

    def __init__(self, into: dict[str, str]) -> None:
        self._into, self._data = into, bytearray()

    def write(self, data: memoryview, /) -> None:
        self._data += data

    def close(self) -> None:
        rest = bytes(self._data)
        while rest:
            length, blank, _ = rest.partition(b" ")
            if not blank or not length.isdigit() or not 0 < int(length) <= len(rest):
                raise ValueError("a pax header that cannot be read")
            key, _, value = rest[len(length) + 1 : int(length) - 1].partition(b"=")
            self._into[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
            rest = rest[int(length) :]
