"""Bundles on the disk: a tar compressed by zstd, a squashfs image, or the folder where one lies open.

    install.sh          makes an environment of the rest: sh install.sh PREFIX
    bundle.json         what it is for; name, size and sha256 of every archive
    dataloader.lock     the lock
    archives/NAME       wheels and conda packages
    program/...         dataloader itself, if it was put in

The same lock and archives give the same bytes, but for the program.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from dataloader.base.digests import hex_digest
from dataloader.base.errors import IntegrityError, UsageError
from dataloader.base.values import dataclass
from dataloader.bundle.squashfs import is_image, tar_to_image, unpack_image

VERSION = 1
LOCK, ABOUT, ARCHIVES, PROGRAM, INSTALLER = "dataloader.lock", "bundle.json", "archives", "program", "install.sh"
_LEVEL = 3
"""Of zstd: archives are compressed already, and what is beside them is small."""

_SCRIPT = """#!/bin/sh
# Makes an environment of this bundle, without a network: sh install.sh PREFIX
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
[ $# -ge 1 ] || { echo "usage: sh $0 PREFIX" >&2; exit 2; }
prefix=$1; shift
if command -v dataloader >/dev/null 2>&1; then
    exec dataloader unbundle "$here" --prefix "$prefix" "$@"
fi
[ -d "$here/program" ] || { echo "there is no dataloader on this machine, and none in the bundle" >&2; exit 2; }
for python in @PYTHON@ python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != @VERSION@)' 2>/dev/null; then
        PYTHONPATH="$here/program" exec "$python" -m dataloader unbundle "$here" --prefix "$prefix" "$@"
    fi
done
echo "the dataloader of this bundle needs @PYTHON@, and this machine has none" >&2
exit 2
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """One package file of a bundle."""

    name: str
    """Its name below ``archives/``."""
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle that is unpacked, and was seen to be whole."""

    folder: Path
    lock: bytes
    archives: Mapping[str, Path]
    """sha256 -> file."""
    size: int
    """Bytes of all archives."""


def installer(python: tuple[int, int]) -> bytes:
    """Return the script that makes an environment of the bundle it lies in."""
    text = _SCRIPT.replace("@PYTHON@", f"python{python[0]}.{python[1]}").replace("@VERSION@", str(python))
    return text.encode()


def write_bundle(
    path: Path,
    lock: bytes,
    archives: Iterable[tuple[Archive, Path]],
    *,
    about: Mapping[str, object],
    script: bytes,
    program: Iterable[tuple[str, Path]] = (),
    image: bool = False,
) -> int:
    """Write a bundle; return its size in bytes.

    Args:
        path: Where.
        image: As a squashfs image.
        lock: The lock's bytes.
        archives: What it holds, and where each file is now.
        about: What is said of it besides.
        script: The installer.
        program: Path below ``program/`` -> file.
    """
    listed = sorted(archives, key=lambda pair: pair[0].name)
    document = {"version": VERSION, **about, "archives": [asdict(archive) for archive, _ in listed]}
    with (
        tar_to_image(path) if image else _compressed(path) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        _add(tar, INSTALLER, script, mode=0o755)
        _add(tar, ABOUT, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
        _add(tar, LOCK, lock)
        for archive, file in listed:
            _add_file(tar, f"{ARCHIVES}/{archive.name}", file)
        for name, file in sorted(program):
            _add_file(tar, f"{PROGRAM}/{name}", file)
    # A pipe does not know its size; the compressor's stream does.
    return path.stat().st_size if image else int(stream.tell())


@contextmanager
def _compressed(path: Path) -> Iterator[IO[bytes]]:
    import zstandard

    with path.open("wb") as raw, zstandard.ZstdCompressor(level=_LEVEL).stream_writer(raw) as stream:
        yield cast("IO[bytes]", stream)


def _add(tar: tarfile.TarFile, name: str, data: bytes, *, mode: int = 0o644) -> None:
    tar.addfile(_member(name, len(data), mode), io.BytesIO(data))


def _add_file(tar: tarfile.TarFile, name: str, file: Path) -> None:
    with file.open("rb") as stream:
        tar.addfile(_member(name, file.stat().st_size, 0o644), stream)


def _member(name: str, size: int, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    return member


@contextmanager
def opened(path: Path, folder: Path) -> Iterator[Bundle]:
    """Unpack a bundle to ``folder``, or take the folder that ``path`` is, and see that all of it is as it was put in.

    Raises:
        UsageError: ``bundle-invalid``; it is no bundle, or one of a later version.
        IntegrityError: ``bundle-damaged``; a file of it is missing, or another than was put in.
    """
    if path.is_dir():
        yield _read(path, path)
        return
    try:
        image = is_image(path)
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from error
    if image:
        folder = folder / "image"
        unpack_image(path, folder, (ABOUT, LOCK, ARCHIVES))
    else:
        _unpack(path, folder)
    yield _read(folder, path)


_BLOCK = 1 << 16
"""Compressed bytes that are inflated at once."""


def _unpack(path: Path, folder: Path) -> None:
    """Unpack what an environment is made of: nothing else, and nowhere else."""
    import zstandard

    try:
        with path.open("rb") as raw:
            if raw.peek(len(zstandard.FRAME_HEADER))[: len(zstandard.FRAME_HEADER)] != zstandard.FRAME_HEADER:
                raise _invalid(path, "it is not compressed as one is")
            inflated = _Inflated(raw)
            _take_members(cast("IO[bytes]", inflated), folder)
            while inflated.read(_BLOCK):
                pass  # up to the end, which tar does not need
    except OSError as error:
        raise _invalid(path, error.strerror or str(error)) from error
    except (zstandard.ZstdError, tarfile.TarError, EOFError) as error:
        raise IntegrityError(
            f"{path} is cut off, or damaged: {error}",
            code="bundle-damaged",
            suggestions=("copy the bundle again, or make it anew: `dataloader bundle`",),
        ) from error


class _Inflated(io.RawIOBase):
    """What a compressed file holds, to its very end: one that is cut off anywhere is an error."""

    def __init__(self, raw: IO[bytes]) -> None:
        import zstandard

        self._raw, self._inflate, self._ready = raw, zstandard.ZstdDecompressor().decompressobj(), b""

    def readinto(self, buffer: Any) -> int:
        """Fill a part of a buffer; nothing only at the end."""
        while not self._ready and not self._inflate.eof:
            block = self._raw.read(_BLOCK)
            if not block:
                raise EOFError("it ends too early")
            self._ready = self._inflate.decompress(block)
        view = memoryview(buffer)
        taken = min(len(view), len(self._ready))
        view[:taken], self._ready = self._ready[:taken], self._ready[taken:]
        return taken


def _take_members(stream: IO[bytes], folder: Path) -> None:
    (folder / ARCHIVES).mkdir(parents=True)
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            above, _, name = member.name.rpartition("/")
            wanted = member.name in (ABOUT, LOCK) or (above == ARCHIVES and name not in ("", ".", ".."))
            source = tar.extractfile(member) if wanted and member.isfile() else None
            if source is None:
                continue
            with (folder / above / name).open("xb") as file:
                while block := source.read(1 << 20):
                    file.write(block)


def _read(folder: Path, path: Path) -> Bundle:
    try:
        document: dict[str, Any] = json.loads((folder / ABOUT).read_bytes())
        lock = (folder / LOCK).read_bytes()
        version, listed = document["version"], [Archive(**fields) for fields in document["archives"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _invalid(path, f"it has no {ABOUT} and {LOCK} that can be read") from error
    if version != VERSION:
        raise _invalid(path, f"its version is {version!r}, and {VERSION} is read")
    found: dict[str, Path] = {}
    for archive in listed:
        file = folder / ARCHIVES / Path(archive.name).name
        if not file.is_file() or hex_digest(file) != archive.sha256:
            raise IntegrityError(
                f"{archive.name} of {path} is {'not what was put in' if file.is_file() else 'missing'}",
                code="bundle-damaged",
                suggestions=("copy the bundle again, or make it anew: `dataloader bundle`",),
            )
        found[archive.sha256] = file
    return Bundle(folder=folder, lock=lock, archives=found, size=sum(archive.size for archive in listed))


def _invalid(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path} is no bundle: {why}", code="bundle-invalid", suggestions=("`dataloader bundle` makes one",)
    )
