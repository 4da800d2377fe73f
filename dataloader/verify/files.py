"""One walk over a prefix: every file with its inode, size and times, and which files may be libraries.

Imports next to nothing: an unchanged prefix is recognised by this walk alone, before anything else is loaded.
"""

from __future__ import annotations

import errno
import hashlib
import marshal
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple, TypeAlias

MAX_TEXT: Final = 128 << 20
"""Bytes; no record of a package comes near."""

State: TypeAlias = tuple[int, int, int, int, int, int]
"""Device, inode, size, time of modification, of change (both in nanoseconds), links: identity and state of a file on
this machine, which changes whenever its content may have changed."""


class Tree(NamedTuple):
    """What one walk over a prefix saw. Paths are relative to the prefix, with ``/``."""

    states: Mapping[str, State]
    """Every regular file."""
    links: Mapping[str, tuple[str, str]]
    """Every symbolic link, to files and to directories -> where it leads, and the state of what is there."""
    elf: tuple[str, ...]
    """Those that may be ELF files: named like a library, or executable with the magic."""

    def size(self, path: str) -> int:
        """Bytes."""
        return self.states[path][2]

    @property
    def digest(self) -> str:
        """Stands for all of it. A folder that lists its files in another order than last time may change it."""
        # Format 2 writes equal values alike, whoever else holds them.
        return hashlib.sha256(marshal.dumps((*self.states.items(), *self.links.items()), 2)).hexdigest()


def state_of(status: os.stat_result) -> State:
    """The state of a file that was looked at."""
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_nlink,
    )


def states_of(prefix: str | os.PathLike[str], paths: Iterable[str]) -> dict[str, State]:
    """The states of regular files of a prefix; those that are gone, or are something else, are left out."""
    found: dict[str, State] = {}
    for path in paths:
        with suppress(OSError, ValueError):
            status = os.lstat(f"{os.fspath(prefix)}/{path}")
            if stat.S_ISREG(status.st_mode):
                found[path] = state_of(status)
    return found


def text_of(state: State) -> str:
    """One line; also a key of the cache."""
    return "-".join(map(str, state))


def state_at(path: str) -> str:
    """The state of what is at ``path``, links followed, as text; ``""`` when nothing is there."""
    try:
        return text_of(state_of(os.stat(path)))  # noqa: PTH116 - thousands of times
    except (OSError, ValueError):
        return ""


def walk(prefix: str | os.PathLike[str]) -> Tree:
    """Every file of ``prefix``; directories that are links are not entered, ``__pycache__`` is left out."""
    states: dict[str, State] = {}
    links: dict[str, tuple[str, str]] = {}
    elf: list[str] = []
    root = os.fspath(prefix)
    pending = [""]
    while pending:
        relative = pending.pop()
        with suppress(OSError), _entries(f"{root}/{relative}") as entries:
            # A folder that is unreadable or gone meanwhile is passed over: what is recorded in it is reported missing.
            for entry in entries:
                name = entry.name
                path = relative + name
                if entry.is_dir(follow_symlinks=False):
                    if name != "__pycache__":
                        pending.append(path + "/")
                elif entry.is_symlink():
                    links[path] = (_read_link(f"{root}/{path}"), state_at(f"{root}/{path}"))
                elif entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    states[path] = state_of(status)
                    if (".so" in name and is_library_name(name)) or (
                        status.st_mode & 0o111 and _has_magic(f"{root}/{path}")
                    ):
                        elf.append(path)
    return Tree(states, links, tuple(sorted(elf)))


@contextmanager
def _entries(folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
    """The entries of a folder by its descriptor: looking each up by its whole path would cost half as much again."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)


def is_library_name(name: str) -> bool:
    """``libx.so``, ``libx.so.1.2``, ``_x.abi3.so``."""
    return name.endswith(".so") or (".so." in name and name.rsplit(".so.", 1)[1].replace(".", "").isdigit())


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""  # gone meanwhile


def _has_magic(path: str) -> bool:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def read_regular(path: str | os.PathLike[str], limit: int = MAX_TEXT) -> bytes:
    """The content of a regular file, links followed. A pipe in its place would be waited for until the end of time.

    Raises:
        OSError: it is gone, no regular file, or has more than ``limit`` bytes.
    """
    status = os.stat(path)  # noqa: PTH116 - thousands of times
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if status.st_size > limit:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes are more than a record has")
    with open(path, "rb") as file:
        return file.read(limit)


def states_at(paths: Iterable[str]) -> dict[str, str]:
    """The state of each path."""
    return {path: state_at(path) for path in paths}
