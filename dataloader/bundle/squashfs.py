"""Bundles as squashfs images, which a machine can mount: squashfs-tools write and unpack them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from dataloader.base.errors import IntegrityError, UsageError

SUFFIXES: Final = (".squashfs", ".sqfs", ".sfs")
MAGIC: Final = b"hsqs"
"""How an image begins (Linux: include/uapi/linux/magic.h, little-endian)."""


def is_image(path: Path) -> bool:
    """Say whether a file begins as an image does."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


@contextmanager
def tar_to_image(path: Path) -> Iterator[IO[bytes]]:
    """Give a stream that takes a tar, of which ``path`` is made an image; the same tar gives the same bytes.

    Raises:
        UsageError: ``squashfs-missing``, there is no mksquashfs here; ``path-unusable``, it could not write.
    """
    # Times and owners of the tar's own; folders that it does not name would have this moment's.
    options = ["-tar", "-comp", "zstd", "-noappend", "-all-root", "-all-time", "0", "-mkfs-time", "0", "-no-xattrs"]
    command = [tool("mksquashfs"), "-", str(path), *options, "-quiet", "-no-progress"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=said, stderr=said)
        assert process.stdin is not None
        try:
            try:
                with process.stdin as stream:
                    yield stream
            except BrokenPipeError:  # it has ended, and says why
                process.wait()
                raise _failed(path, said) from None
            if process.wait():
                raise _failed(path, said)
        finally:
            process.kill()
            process.wait()


def _failed(path: Path, said: IO[bytes]) -> UsageError:
    return UsageError(f"mksquashfs did not write {path}", code="path-unusable", causes=(_last_line(said),))


def _last_line(said: IO[bytes]) -> str:
    said.seek(0)
    lines = said.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it says nothing")


def unpack_image(path: Path, folder: Path, members: Sequence[str]) -> None:
    """Unpack some of an image into ``folder``, which is made; links and devices among them are damage.

    Raises:
        UsageError: ``squashfs-missing``.
        IntegrityError: ``bundle-damaged``.
    """
    command = [
        tool("unsquashfs"),
        "-no-progress",
        "-quiet",
        "-no-xattrs",
        "-dest",
        str(folder),
        str(path),
        *members,
    ]
    with tempfile.TemporaryFile() as said:
        if subprocess.run(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, check=False).returncode:
            raise _damaged(path, _last_line(said))
    for inner in folder.rglob("*"):
        if inner.is_symlink() or not (inner.is_file() or inner.is_dir()):
            raise _damaged(path, f"{inner.relative_to(folder)} is no file")


def _damaged(path: Path, why: str) -> IntegrityError:
    return IntegrityError(
        f"{path} is cut off, or damaged: {why}",
        code="bundle-damaged",
        suggestions=("copy the bundle again, or make it anew: `dataloader bundle`",),
    )


def tool(name: str) -> str:
    """Return where a program of squashfs-tools is.

    Raises:
        UsageError: ``squashfs-missing``.
    """
    found = shutil.which(name)
    if found is None:
        raise UsageError(
            f"{name} is not on this machine, and squashfs images are its work",
            code="squashfs-missing",
            suggestions=(
                "install squashfs-tools (Debian and Fedora call the package so)",
                "`dataloader bundle -o NAME.tar.zst` needs no other program"
                if name == "mksquashfs"
                else "mount the image (`mount -o loop,ro`, or squashfuse), and name the folder",
            ),
        )
    return found
