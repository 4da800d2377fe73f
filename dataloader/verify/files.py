"""One walk over a prefix: every file with its inode, size and times, and which files may be libraries.

Imports next to nothing: an unchanged prefix is recognised by this walk alone, before anything else is loaded.
"""

from __future__ import annotations

import errno
import marshal
import os
import stat
import sys
from operator import attrgetter

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, NoReturn, TypeAlias

MAX_TEXT: Final = 128 << 20
"""Bytes; no record of a package comes near."""

State: TypeAlias = tuple[int, int, int, int, int, int]
"""Device, inode, size, time of modification, of change (both in nanoseconds), links: identity and state of a file on
this machine, which changes whenever its content may have changed."""


class Tree:
    """What one walk over a prefix saw. Paths are relative to the prefix, with ``/``."""

    __slots__ = ("_digest", "_names", "_numbers", "_states", "elf", "links")

    def __init__(
        self, names: list[str], numbers: list[int], links: dict[str, tuple[str, str]], elf: tuple[str, ...] = ()
    ) -> None:
        self._names = names
        """Each folder, with ``/`` at its end, and the names of its files after it."""
        self._numbers = numbers
        """The states of the files, one after the other: a list of its own for each would take as long as the digest."""
        self._states: dict[str, State] = {}
        self.links = links
        """Every symbolic link, to files and to directories -> where it leads, and the state of what is there."""
        self.elf = elf
        """Those that may be ELF files: named like a library, or executable with the magic."""
        self._digest = ""

    @property
    def states(self) -> dict[str, State]:
        """Every regular file."""
        if not self._states:
            numbers = iter(self._numbers)
            states = zip(numbers, numbers, numbers, numbers, numbers, numbers, strict=True)
            folder = ""
            for name in self._names:
                if name[-1] == "/":
                    folder = name if name != _ROOT else ""
                else:
                    self._states[folder + name] = next(states)
        return self._states

    def size(self, path: str) -> int:
        """Bytes."""
        return self.states[path][2]

    def pack(self) -> bytes:
        """All of it. A folder that lists its files in another order than last time may change it."""
        # Also for digests: format 2 writes equal values alike, whoever else holds them.
        return marshal.dumps((self._names, self._numbers, self.links, self.elf), 2)

    @property
    def digest(self) -> str:
        """Stands for all of it, as :meth:`pack` does."""
        self._digest = self._digest or _digest_of(self.pack())
        return self._digest


_ROOT: Final = "/"
"""The prefix itself among the folders of a tree."""


def _digest_of(packed: bytes) -> str:
    from hashlib import sha256

    return sha256(packed).hexdigest()


state_of: Final[Callable[[os.stat_result], State]] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"
)
"""The state of a file that was looked at."""


def states_of(prefix: str | os.PathLike[str], paths: Iterable[str]) -> dict[str, State]:
    """The states of regular files of a prefix; those that are gone, or are something else, are left out."""
    found: dict[str, State] = {}
    for path in paths:
        try:
            status = os.lstat(f"{os.fspath(prefix)}/{path}")
        except (OSError, ValueError):
            continue
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
    names: list[str] = []
    numbers: list[int] = []
    links: dict[str, tuple[str, str]] = {}
    elf: list[str] = []
    root = os.fspath(prefix)
    pending = [""]
    while pending:
        relative = pending.pop()
        try:
            # By its descriptor: looking each entry up by its whole path would cost half as much again.
            descriptor = os.open(f"{root}/{relative}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            continue  # unreadable or gone meanwhile: what is recorded in it is reported missing
        names.append(relative or _ROOT)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = entry.name
                    if entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        numbers.extend(state_of(status))
                        names.append(name)
                        if (".so" in name and is_library_name(name)) or (
                            status.st_mode & 0o111 and _has_magic(f"{root}/{relative}{name}")
                        ):
                            elf.append(relative + name)
                    elif entry.is_symlink():
                        path = relative + name
                        links[path] = (_read_link(f"{root}/{path}"), state_at(f"{root}/{path}"))
                    elif name != "__pycache__" and entry.is_dir(follow_symlinks=False):
                        pending.append(f"{relative}{name}/")
        except OSError:
            continue  # likewise
        finally:
            os.close(descriptor)
    return Tree(names, numbers, links, tuple(sorted(elf)))


class WalkAhead:
    """A walk that another process takes while this one does something else.

    That process is a fork of this one, so begin before there are threads. Where there are any, or no process can be
    had, the walk is taken here when it is asked for.
    """

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        self._prefix = prefix
        self._digest = ""
        self._tree: Tree | None = None
        self._child = 0
        if "threading" in sys.modules and sys.modules["threading"].active_count() > 1:
            return
        reading, writing = os.pipe()
        try:
            self._child = os.fork()
        except OSError:
            os.close(reading)
            os.close(writing)
            return
        if not self._child:
            os.close(reading)  # else it would be a reader of its own, and never learn that nobody listens
            _answer(prefix, writing)
        os.close(writing)
        self._answer = open(reading, "rb")  # noqa: SIM115 - close() closes it

    def digest(self) -> str:
        """:attr:`Tree.digest` of what was seen. Where that is enough, the rest is not asked for."""
        if not self._digest and self._child:
            digest = self._answer.read(_DIGEST_LENGTH)
            self._digest = digest.decode() if len(digest) == _DIGEST_LENGTH else ""
        return self._digest or self.tree().digest

    def tree(self) -> Tree:
        """What was seen."""
        if self._tree is None:
            self._tree = self._hear() or walk(self._prefix)
        return self._tree

    def _hear(self) -> Tree | None:
        """The other process's answer; nothing where there is none, or it did not come to its end."""
        if not self._child:
            return None
        answer = self._answer.read()
        if self._end() != 0:
            return None
        packed = answer if self._digest else answer[_DIGEST_LENGTH:]
        return Tree(*marshal.loads(packed))  # noqa: S302 - packed by this program a moment ago

    def _end(self) -> int:
        self._answer.close()
        _, status = os.waitpid(self._child, 0)
        self._child = 0
        return status

    def close(self) -> None:
        """Let the other process end, whether it was heard or not."""
        if self._child:
            self._end()


_DIGEST_LENGTH: Final = 64


def _answer(prefix: str | os.PathLike[str], writing: int) -> NoReturn:
    status = 1
    try:
        packed = walk(prefix).pack()
        with open(writing, "wb", buffering=0) as stream:
            stream.write(_digest_of(packed).encode())
            rest = memoryview(packed)
            while rest:
                rest = rest[stream.write(rest) :]
        status = 0
    except BrokenPipeError:
        pass  # the digest was enough
    finally:
        os._exit(status)  # whatever happened: the process that asked will meet it again, and say so


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
