"""A layer's archive, written: the same files always give the same bytes."""

from __future__ import annotations

import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from dataloader.install.bounds import with_parents
from dataloader.machine.host import available_processors
from dataloader.oci.content import EPOCH, ContentEntry, Group, changed
from dataloader.oci.model import LAYER, Compression, Descriptor

ZSTD_LEVEL = 3
"""187 MB of native libraries on two cores: level 3 leaves 28.7 % at 76 MB a second; 6 leaves 26.6 % at a third of that
rate, 9 25.4 % at a fifth, and gzip 31.1 % at a seventh."""
GZIP_LEVEL = 6
HOW = {"zstd": f"zstd-{ZSTD_LEVEL} tar-1", "gzip": f"gzip-{GZIP_LEVEL} tar-1"}
"""Stands for the way a layer is packed: with another one, the same files give other bytes."""

_BLOCK = 512
_CHUNK = 1 << 20


class _Packer(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def packed(group: Group, tree: Path, prefix: str, compression: Compression, out: IO[bytes]) -> tuple[Descriptor, str]:
    """Write a layer to a file; its descriptor, and the digest of the archive without its compression.

    Args:
        prefix: Where the environment is in the image, absolute.

    Raises:
        IntegrityError: a file is not what its package recorded (``prefix-changed``).
    """
    packer: _Packer = _zstd() if compression == "zstd" else zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31)
    whole, raw, size = hashlib.sha256(), hashlib.sha256(), 0
    for piece in _archive(group, tree, prefix):
        raw.update(piece)
        if packing := packer.compress(piece):
            whole.update(packing)
            size += out.write(packing)
    last = packer.flush()
    whole.update(last)
    size += out.write(last)
    kind = f"{LAYER}+{compression}"
    return Descriptor(media_type=kind, digest=f"sha256:{whole.hexdigest()}", size=size), f"sha256:{raw.hexdigest()}"


def _zstd() -> Any:
    import zstandard

    # Several threads cut the input by their own rule, which does not depend on how many they are.
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, threads=max(available_processors(), 1)).compressobj()


def _archive(group: Group, tree: Path, prefix: str) -> Iterator[bytes]:
    root = prefix.strip("/")
    names = {f"{root}/{entry.path}": entry for entry in group.entries}
    folders = with_parents({name.rpartition("/")[0] for name in names})
    for name in sorted({*names, *folders}):
        entry = names.get(name)
        yield _header(name, entry)
        if entry is not None and entry.target is None:
            yield from _body(entry, tree)
    yield bytes(2 * _BLOCK)


def _header(name: str, entry: ContentEntry | None) -> bytes:
    info = tarfile.TarInfo(name if entry else f"{name}/")
    info.mtime = entry.mtime if entry else EPOCH
    info.mode = 0o755 if entry is None or entry.executable else 0o644
    if entry is None:
        info.type = tarfile.DIRTYPE
    elif entry.target is not None:
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, entry.target, 0o777
    else:
        info.size = entry.size
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _body(entry: ContentEntry, tree: Path) -> Iterator[bytes]:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(entry, tree):
        digest.update(piece)
        size += len(piece)
        yield piece
    if size != entry.size or digest.hexdigest() != entry.sha256:
        raise changed(tree / entry.path)
    yield bytes(-size % _BLOCK)


def _pieces(entry: ContentEntry, tree: Path) -> Iterator[bytes]:
    if entry.content is not None:
        yield entry.content
        return
    with open(tree / entry.path, "rb") as file:
        while piece := file.read(_CHUNK):
            yield piece
