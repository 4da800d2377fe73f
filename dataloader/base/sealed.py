"""Bytes with their checksum before them: the one form of what a cache remembers and something is decided by.

    9ae0daaf 0000001c
    ...28 bytes...

What does not fit its first line was damaged, or is of another version of this program, and counts as absent. Caches are
written by those who may run programs as their owner anyway, so this guards against accidents alone.
"""

# Imports next to nothing: the short way of verify reads its last answer by this.

from __future__ import annotations

from binascii import crc32

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from typing import BinaryIO

_HEAD = 18
"""Bytes of the first line."""


def seal(content: bytes) -> bytes:
    """``content`` behind a line with its checksum and length."""
    return b"%08x %08x\n%s" % (crc32(content), len(content), content)


def unseal(data: bytes) -> bytes:
    """The content of what :func:`seal` made.

    Raises:
        ValueError: it is something else, or was damaged.
    """
    content = data[_HEAD:]
    _check(data[:_HEAD], content)
    return content


def read_part(file: BinaryIO) -> bytes:
    """The content of the next of several that follow each other in a file.

    Raises:
        ValueError: as :func:`unseal`.
    """
    head = file.read(_HEAD)
    content = file.read(_length(head))
    _check(head, content)
    return content


def is_sealed(file: BinaryIO) -> bool:
    """Whether a file is nothing but parts that are whole, from its first byte to its last."""
    size = file.seek(0, 2)
    file.seek(0)
    try:
        while file.tell() < size:
            read_part(file)
    except ValueError:
        return False
    return size > 0


def skip_part(file: BinaryIO) -> None:
    """Pass over the next one without a look at it; ValueError when there is none."""
    file.seek(_length(file.read(_HEAD)), 1)


def _length(head: bytes) -> int:
    if len(head) != _HEAD:
        raise ValueError("cut off")
    return int(head[9:17], 16)


def _check(head: bytes, content: bytes) -> None:
    if head != b"%08x %08x\n" % (crc32(content), len(content)):
        raise ValueError("damaged")
