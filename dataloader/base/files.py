"""Files that are whole at every moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dataloader.base.sealed import seal, unseal

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What a full volume answers."""


def replace_file(path: Path, data: bytes) -> None:
    """Write ``data`` under another name and rename it into place; a failure leaves what was there.

    A link is replaced. A device, a pipe or a socket never is: OSError.
    """
    if is_special(path) and not path.is_symlink():
        raise FileExistsError(errno.EEXIST, "It is no regular file", os.fspath(path))
    with _beside(path) as temporary:
        temporary.write_bytes(data)


def replace_named(path: Path, data: bytes) -> None:
    """Write what somebody named, as :func:`named_place` says."""
    with named_place(path) as place:
        place.write_bytes(data)


def is_special(path: Path) -> bool:
    """Whether a path leads to a device, a pipe or a socket."""
    return path.exists() and not (path.is_file() or path.is_dir())


@contextmanager
def named_place(path: Path) -> Iterator[Path]:
    """Where to write what somebody named: a device or a pipe as it is; else a file that takes its place at the end.

    That place is where a link leads. A failure leaves what was there.
    """
    if is_special(path):
        yield path
        return
    with _beside(Path(os.path.realpath(path))) as temporary:
        yield temporary


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Another name beside ``path``: what is written under it takes its place at the end; a failure leaves nothing."""
    # Processes of several machines may write to one volume: their numbers are not enough to tell them apart.
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_kept(path: Path) -> bytes | None:
    """What :func:`keep_file` wrote; ``None`` where there is nothing, or it was damaged."""
    try:
        return unseal(path.read_bytes())
    except (OSError, ValueError):
        return None


def keep_file(path: Path, content: bytes) -> OSError | None:
    """Write a file of a cache with its checksum, and its folder where there is none. It is whole at every moment.

    A full or read-only cache only costs time, so the error is returned, to be told or not.
    """
    return keep_sealed(path, seal(content))


def keep_sealed(path: Path, data: bytes) -> OSError | None:
    """The same for what has its checksums already, one for each part."""
    try:
        try:
            replace_file(path, data)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
    except OSError as error:
        return error
    return None


def walk(root: str | os.PathLike[str]) -> Iterator[tuple[str, list[str], list[str]]]:
    """As ``os.walk`` of Python 3.12, which does not recurse: folders may lie in one another without end.

    OSError where a path is too long to be named: nothing that is there is passed over.
    """
    todo = [os.fspath(root)]
    while todo:
        folder = todo.pop()
        folders: list[str] = []
        names: list[str] = []
        with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as found:
            for entry in found:
                (folders if entry.is_dir() else names).append(entry.name)
        yield folder, folders, names
        todo += [f"{folder}/{name}" for name in reversed(folders) if not os.path.islink(f"{folder}/{name}")]  # noqa: PTH114


def make_folders(folder: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, unless they are there, without recursion."""
    missing = []
    path = os.fspath(folder)
    while path and not os.path.isdir(path):  # noqa: PTH112
        missing.append(path)
        path = os.path.dirname(path)  # noqa: PTH120
    for missing_folder in reversed(missing):
        with suppress(FileExistsError):
            os.mkdir(missing_folder)  # noqa: PTH102


def remove_tree(tree: Path) -> bool:
    """Delete a tree, also one with folders that are read-only, or deeper than paths can be long.

    Returns whether nothing of it stays.
    """
    import shutil  # 2 ms, as it brings what packs archives

    try:
        shutil.rmtree(tree, ignore_errors=True)
        if not os.path.lexists(tree):
            return True
    except RecursionError:
        pass
    # Each folder is moved to the top before it is looked into, so that nothing is ever deep.
    todo, count = [os.fspath(tree)], 0
    with suppress(OSError):
        os.chmod(tree, 0o700)  # noqa: PTH101
    while todo:
        with suppress(OSError), os.scandir(todo.pop()) as found:
            for entry in list(found):
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        os.unlink(entry.path)  # noqa: PTH108
                        continue
                    os.chmod(entry.path, 0o700)  # noqa: PTH101
                    count += 1
                    todo.append(f"{tree}/.{count}-{os.urandom(4).hex()}")
                    os.rename(entry.path, todo[-1])  # noqa: PTH104
    shutil.rmtree(tree, ignore_errors=True)
    return not os.path.lexists(tree)
