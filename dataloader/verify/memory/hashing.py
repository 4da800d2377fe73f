"""SHA-256 of many files, worked out by several processes.

Threads would do for large files, as hashing lets the interpreter go; thousands of small ones take two threads longer
than one, as they hand it to and fro.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from select import PIPE_BUF
from struct import Struct
from typing import Final

from dataloader.machine.host import available_processors
from dataloader.process.fork import fork

_BLOCK: Final = 256 << 10
"""Bytes read at once: with a megabyte, which leaves the processor's second cache, it takes 7 % longer."""
_OVERHEAD: Final = 16 << 10
"""Bytes that are hashed in the time that it takes to open a file."""
_BATCH: Final = 8 << 20
"""Bytes that a process takes on at a time, unless one file has more; it tells of all of them at once."""
_MOST: Final = 8
"""Processes; more than that read no faster."""
_BATCH_NUMBER: Final = Struct("=I")
_TOLD: Final = Struct("=?32s")
"""Of each file of a batch: whether it could be read, and its digest."""
_MOST_FILES: Final = (PIPE_BUF - _BATCH_NUMBER.size) // _TOLD.size
"""In a batch: what is told of it is written into a pipe of several writers as a whole."""


def hash_file(path: str | os.PathLike[str]) -> bytes:
    """SHA-256 of a file.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        digest = hashlib.sha256()
        while content := os.read(descriptor, _BLOCK):
            digest.update(content)
        return digest.digest()
    finally:
        os.close(descriptor)


def hash_all(
    paths: Sequence[str], sizes: Sequence[int], then: Callable[[int, bytes], object]
) -> Iterator[tuple[int, bytes | None]]:
    """Number and SHA-256 of each file, as they are worked out; ``None`` of one that cannot be read.

    Args:
        paths: Those to be hashed; what takes longest comes first.
        sizes: Bytes of each.
        then: Called with number and digest by whoever has just read a file: it is in memory.
    """
    left = set(range(len(paths)))
    for number, digest in _told_by_others(paths, _batches(sizes), then):
        left.discard(number)
        yield number, digest
    for number in sorted(left):  # all where no process could be had; else those of one that was lost
        yield number, _hash(paths[number], number, then)


def _batches(sizes: Sequence[int]) -> list[range]:
    found: list[range] = []
    start = held = 0
    for number, size in enumerate(sizes):
        held += size + _OVERHEAD
        if held >= _BATCH or number + 1 - start == _MOST_FILES:
            found.append(range(start, number + 1))
            start, held = number + 1, 0
    return [*found, range(start, len(sizes))] if held else found


def _hash(path: str, number: int, then: Callable[[int, bytes], object]) -> bytes | None:
    try:
        digest = hash_file(path)
    except OSError:
        return None  # gone or unreadable: the walk saw it, so reading it as ELF says the same as a finding
    then(number, digest)
    return digest


def _told_by_others(
    paths: Sequence[str], batches: Sequence[range], then: Callable[[int, bytes], object]
) -> Iterator[tuple[int, bytes | None]]:
    count = min(available_processors(), len(batches), _MOST)
    if count < 2:  # what makes one batch takes less time than a process
        return
    todo, given = os.pipe()
    hears, tells = os.pipe()
    os.set_blocking(given, False)  # numbers for which it has no room are this process's
    os.write(given, b"".join(map(_BATCH_NUMBER.pack, range(len(batches)))))
    os.close(given)

    def work() -> bool:
        os.close(hears)
        while which := os.read(todo, _BATCH_NUMBER.size):
            batch = batches[_BATCH_NUMBER.unpack(which)[0]]
            found = [_hash(paths[number], number, then) for number in batch]
            os.write(tells, which + b"".join(_TOLD.pack(digest is not None, digest or b"") for digest in found))
        return True

    children = [child for child in (fork(work) for _ in range(count)) if child]
    os.close(todo)
    os.close(tells)
    try:
        with open(hears, "rb") as answers:
            while which := answers.read(_BATCH_NUMBER.size):
                batch = batches[_BATCH_NUMBER.unpack(which)[0]]
                told = _TOLD.iter_unpack(answers.read(_TOLD.size * len(batch)))
                yield from (
                    (number, digest if is_read else None) for number, (is_read, digest) in zip(batch, told, strict=True)
                )
    finally:
        for child in children:
            os.waitpid(child, 0)
