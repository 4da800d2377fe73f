"""Links of both kinds, on volumes that have them, have them not, or make something else of them."""

# ruff: noqa: PTH108
# Files pass here by the ten thousand, as plain strings.

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

NO_SYMBOLIC_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.EIO})
"""What volumes without symbolic links answer to symlink(2): exFAT, Azure Files and other SMB shares, some of FUSE."""


def takes_symbolic_links(folder: Path) -> bool | None:
    """Whether symbolic links can be made in a folder; ``None`` where nothing can be made there."""
    while not folder.is_dir():
        folder = folder.parent
    probe = folder / f".link-{os.urandom(8).hex()}"
    try:
        probe.symlink_to("nowhere")
    except OSError as error:
        return False if error.errno in NO_SYMBOLIC_LINKS and os.access(folder, os.W_OK | os.X_OK) else None
    probe.unlink()
    return True


def hard_link(source: str, target: str) -> None:
    """Give a file another name, and nothing else.

    OSError, with nothing at ``target``, where the volume does not know how, or makes a symbolic link for want of better
    (which would dangle as soon as ``source`` is removed).
    """
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError:
        with suppress(OSError):  # what was made all the same
            if stat.S_ISLNK(os.lstat(target).st_mode):
                os.unlink(target)
        raise
    if stat.S_ISLNK(os.lstat(target).st_mode) and not stat.S_ISLNK(os.lstat(source).st_mode):
        os.unlink(target)
        raise OSError(errno.EOPNOTSUPP, "The volume makes symbolic links of hard ones", target)


def link_or_copy(source: str, target: str) -> None:
    """Another name for a file, else a copy of it with its time and mode; ``target`` gives way."""
    with suppress(FileNotFoundError):
        os.unlink(target)
    try:
        hard_link(source, target)
    except OSError:  # another volume, or one without
        shutil.copy2(source, target)


def links_are_links(source: Path, folder: Path) -> bool:
    """Whether a hard link to a file, made in a folder, is one; True where none can be made, which does no harm."""
    probe = folder / f".link-{os.urandom(8).hex()}"
    with suppress(OSError):
        os.link(source, probe)
    made = probe.is_symlink()
    with suppress(OSError):
        probe.unlink()
    return not made


def copy_where_links_lead(tree: Path, links: Mapping[str, str]) -> list[str]:
    """Put what links lead to in their places, on a volume that has no links.

    ``lib64`` is left out: ``lib``, to which it leads, serves as well.

    Args:
        links: Path in the tree to target.

    Returns:
        Those that lead nowhere.
    """
    todo = {path: target for path, target in links.items() if (path, target) != ("lib64", "lib")}
    while True:
        ready = {path: place for path, target in todo.items() if (place := _led_to(tree, path, target)).exists()}
        for path, source in ready.items():
            del todo[path]
            if source.is_dir():
                shutil.copytree(source, tree / path)
            else:
                shutil.copy2(source, tree / path)
        if not ready:
            return sorted(todo)


def _led_to(tree: Path, path: str, target: str) -> Path:
    return Path(os.path.normpath(tree / Path(path).parent / target))
