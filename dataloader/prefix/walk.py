"""One walk over a prefix: every file with its inode, size and times, and which files may be libraries.

Imports next to nothing: an unchanged prefix is recognised by this walk alone, before anything else is loaded.
"""

from __future__ import annotations

import errno
import marshal
import os
import stat

from dataloader.base.state import State, state_at, state_of

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Final

MAX_TEXT: Final = 128 << 20
"""Bytes; no record of a package comes near."""


_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
"""A pipe is opened without waiting for who writes into it."""


class PrefixPart:
    """What was seen in some of the folders of a prefix."""

    __slots__ = ("_packed", "_paths", "elf", "links", "names", "numbers")

    def __init__(self) -> None:
        self.names: list[str] = []
        """Each folder, with ``/`` at its end; after it the names of its files, and of its folders with ``/`` before."""
        self.numbers: list[int] = []
        """The states of the files, one after the other: a list of its own for each would take as long as the digest."""
        self.links: dict[str, tuple[str, str]] = {}
        """As :attr:`Tree.links`."""
        self.elf: list[str] = []
        """As :attr:`Tree.elf`, in the order of the walk."""
        self._packed = b""
        self._paths: list[str] = []

    @classmethod
    def unpack(cls, packed: bytes) -> PrefixPart:
        """What :meth:`pack` made. Not for what another program may have written."""
        part = cls()
        part.names, part.numbers, part.links, part.elf = marshal.loads(packed)  # noqa: S302 - by this program, just now
        part._packed = packed
        return part

    def pack(self) -> bytes:
        """All of it. A folder that lists its files in another order than last time may change it."""
        # Format 2 writes equal values alike, whoever else holds them.
        self._packed = self._packed or marshal.dumps((self.names, self.numbers, self.links, self.elf), 2)
        return self._packed

    def __reduce__(self) -> tuple[object, ...]:
        return PrefixPart.unpack, (self.pack(),)

    @property
    def folders(self) -> list[str]:
        """Those that were looked into."""
        return [name for name in self.names if name[-1] == "/"]

    def paths(self) -> list[str]:
        """Every regular file, relative to the prefix. To be asked when all was looked at."""
        if self._paths:
            return self._paths
        found, folder = self._paths, ""
        for name in self.names:
            if name[-1] == "/":
                folder = name if name != _ROOT else ""
            elif name[0] != "/":
                found.append(folder + name)
        return found

    def states(self) -> Iterator[State]:
        """Of every regular file, in the same order."""
        numbers = iter(self.numbers)
        return zip(numbers, numbers, numbers, numbers, numbers, numbers, strict=True)

    def state_of_file(self, position: int) -> State:
        """Of the regular file at that position of :meth:`paths`."""
        device, inode, size, modified, changed, links = self.numbers[6 * position : 6 * position + 6]
        return device, inode, size, modified, changed, links

    def look(self, root: str, folder: str) -> list[str]:
        """Look into one folder, and return those in it; directories that are links are none."""
        self.names.append(folder)
        relative = folder if folder != _ROOT else ""
        within: list[str] = []
        try:
            # By its descriptor: looking each entry up by its whole path would cost half as much again. The slash at the
            # end of the prefix's own path has it followed, if it is a link.
            descriptor = os.open(f"{root}/{relative[:-1]}", _FOLDER)
        except OSError:
            return within  # unreadable or gone meanwhile: what is recorded in it is reported missing
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        self.numbers.extend(state_of(status))
                        self.names.append(name)
                        if (".so" in name and is_library_name(name)) or (
                            status.st_mode & 0o111 and _has_magic(f"{root}/{relative}{name}")
                        ):
                            self.elf.append(relative + name)
                    elif entry.is_symlink():
                        path = relative + name
                        self.links[path] = (_read_link(f"{root}/{path}"), state_at(f"{root}/{path}"))
                    elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                        self.names.append(f"/{name}")
                        within.append(f"{relative}{name}/")
        except OSError:
            pass  # likewise
        finally:
            os.close(descriptor)
        return within


class PrefixTree:
    """What one walk over a prefix saw. Paths are relative to the prefix, with ``/``.

    It is in several parts, about equal, so that several processes can see whether it has changed.
    """

    __slots__ = ("_digest", "_sizes", "_states", "elf", "links", "parts")

    def __init__(self, parts: Sequence[PrefixPart]) -> None:
        self.parts = parts
        self._digest = ""
        self._sizes: dict[str, int] = {}
        self._states: dict[str, State] = {}
        self.links: dict[str, tuple[str, str]] = {}
        """Every symbolic link, to files and to directories -> where it leads, and the state of what is there."""
        for part in parts:
            self.links.update(part.links)
        self.elf = tuple(sorted(path for part in parts for path in part.elf))
        """Those that may be ELF files: named like a library, or executable with the magic."""

    def __reduce__(self) -> tuple[object, ...]:
        return PrefixTree, (self.parts,)

    @property
    def sizes(self) -> dict[str, int]:
        """Every regular file, in the order of the walk -> bytes: all that most ask of :attr:`states`."""
        if not self._sizes:
            for part in self.parts:
                self._sizes.update(zip(part.paths(), part.numbers[2::6], strict=True))
        return self._sizes

    @property
    def states(self) -> dict[str, State]:
        """Every regular file, in the order of the walk."""
        if not self._states:
            for part in self.parts:
                self._states.update(zip(part.paths(), part.states(), strict=True))
        return self._states

    def elf_states(self) -> dict[str, State]:
        """Those of :attr:`elf`."""
        wanted = set(self.elf)
        places = ((part, at, path) for part in self.parts for at, path in enumerate(part.paths()) if path in wanted)
        return {path: part.state_of_file(at) for part, at, path in places}

    @property
    def digest(self) -> str:
        """Stands for all of it."""
        if not self._digest:
            from hashlib import sha256

            self._digest = "-".join(sha256(part.pack()).hexdigest() for part in self.parts)
        return self._digest

    def seal(self) -> SealedTree:
        """What it takes to tell later whether the prefix is still the same."""
        return SealedTree(self.digest, len(self.sizes), [(part.folders, part.pack()) for part in self.parts])


class SealedTree:
    """A tree, packed: to be compared with another, whatever is in it.

    Args:
        digest: As :attr:`Tree.digest`.
        count: Of regular files.
        parts: Folders of each part, and the part, packed.
    """

    __slots__ = ("count", "digest", "parts")

    def __init__(self, digest: str, count: int, parts: Sequence[tuple[list[str], bytes]]) -> None:
        self.digest, self.count, self.parts = digest, count, parts


_ROOT: Final = "/"
"""The prefix itself among the folders of a tree."""


_PARTS: Final = 2
"""Processes that look whether a tree has changed. Most of that is one system call for each file."""


def walk(prefix: str | os.PathLike[str]) -> PrefixTree:
    """Every file of ``prefix``; directories that are links are not entered, ``__pycache__`` is left out."""
    root = os.fspath(prefix)
    parts = [PrefixPart() for _ in range(_PARTS)]
    pending = [_ROOT]
    while pending:
        part = min(parts, key=lambda prefix_part: len(prefix_part.names))
        pending += part.look(root, pending.pop())
    return PrefixTree(parts)


def is_same(prefix: str | os.PathLike[str], folders: Iterable[str], packed: bytes) -> bool:
    """Whether a part of a tree is still what it was. As folders list those in them, a new one is seen, too.

    Args:
        folders: :attr:`Part.folders`.
        packed: What :meth:`Part.pack` made.
    """
    part = PrefixPart()
    for folder in folders:
        part.look(os.fspath(prefix), folder)
    return part.pack() == packed


def is_library_name(path: str) -> bool:
    """``libx.so``, ``libx.so.1.2``, ``_x.abi3.so``, in any folder."""
    return path.endswith(".so") or (".so." in path and path.rsplit(".so.", 1)[1].replace(".", "").isdigit())


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
    # By its descriptor: a stream of Python's own asks the system twice as much, which is 8 ms of 600 sources.
    descriptor = os.open(path, _FILE)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"{status.st_size} bytes are more than a record has")
        content = os.read(descriptor, status.st_size + 1)
        if len(content) != status.st_size:  # it is being written
            while len(content) < limit and (more := os.read(descriptor, limit - len(content))):
                content += more
        return content
    finally:
        os.close(descriptor)
