"""Put a finished tree in a prefix's place at once, and clear up what a killed sync left behind.

Beside a prefix ``env`` there are, while a sync runs, ``.env.dataloader-lease``, ``.env.dataloader-tree-*`` (a tree
under construction, after the switch the old environment) and, where two trees cannot be exchanged in one step,
``.env.dataloader-journal``.
"""

# ruff: noqa: PTH101, PTH104, PTH108, PTH112, PTH114, PTH119, PTH120, PTH121, PTH115, PTH211
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import ctypes
import errno
import filecmp
import json
import os
import shutil
import stat
import uuid
from contextlib import suppress
from pathlib import Path

from dataloader.install.linking import Linker

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "ppc64le": 357, "s390x": 347, "riscv64": 276}
"""System call numbers (syscalls(2)): the C library's wrapper came with glibc 2.28 and is missing in musl."""


def beside(prefix: Path, what: str) -> Path:
    """The path of one of a sync's helpers: ``lease``, ``journal`` or ``tree-*``."""
    return prefix.parent / f".{prefix.name}.dataloader-{what}"


def new_tree(prefix: Path) -> Path:
    """Make an empty directory for the next environment of ``prefix``, on the same volume."""
    tree = beside(prefix, f"tree-{uuid.uuid4().hex[:12]}")
    tree.mkdir()
    return tree


def switch(tree: Path, prefix: Path) -> Path | None:
    """Make ``tree`` the environment at ``prefix``; the old one's new path, or ``None`` when there was none."""
    try:
        os.rename(tree, prefix)  # nothing there, or an empty directory
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
    else:
        return None
    try:
        exchange(tree, prefix)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        return _switch_in_two_steps(tree, prefix)
    return tree


def exchange(one: Path, other: Path) -> None:
    """Swap two directories in one step: renameat2(2) with RENAME_EXCHANGE. OSError where the volume cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = _RENAMEAT2.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    done = libc.syscall(number, _AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE)
    if done != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(one), None, os.fspath(other))


def _switch_in_two_steps(tree: Path, prefix: Path) -> Path:
    """Where there is no exchange: two renames, with a journal that ``recover`` finishes after a kill between them."""
    journal, old = beside(prefix, "journal"), beside(prefix, f"tree-{uuid.uuid4().hex[:12]}")
    written = journal.with_name(f"{journal.name}-{uuid.uuid4().hex[:12]}")
    written.write_text(json.dumps({"new": tree.name, "old": old.name}), encoding="utf-8")
    written.rename(journal)
    os.rename(prefix, old)
    os.rename(tree, prefix)
    journal.unlink()
    return old


def recover(prefix: Path) -> None:
    """Finish a switch that was cut off, and remove the trees of dead syncs. The caller holds the prefix's lease."""
    journal = beside(prefix, "journal")
    with suppress(FileNotFoundError, ValueError, KeyError):
        names = json.loads(journal.read_bytes())
        for name in (names["new"], names["old"]):
            if not os.path.lexists(prefix) and (prefix.parent / name).is_dir():
                os.rename(prefix.parent / name, prefix)
    journal.unlink(missing_ok=True)
    for leftover in prefix.parent.glob(f".{_quoted(prefix.name)}.dataloader-*"):
        if leftover.is_dir() and not leftover.is_symlink():
            remove_tree(leftover)
        elif leftover != beside(prefix, "lease"):
            leftover.unlink(missing_ok=True)


def remove_tree(tree: Path) -> bool:
    """Delete a tree, also one with read-only directories; False when something of it stays."""

    def make_writable_and_retry(_: object, path: str, __: object) -> None:
        with suppress(OSError):
            for blocked in (os.path.dirname(path), path):
                os.chmod(blocked, 0o700)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path, ignore_errors=True)
            else:
                os.unlink(path)

    shutil.rmtree(tree, onerror=make_writable_and_retry)
    return not tree.exists()


def carry_over(old: Path, new: Path, owned: set[str], linker: Linker) -> int:
    """Link into ``new`` what people and programs put into ``old``: all that no package owns and that ``new`` lacks.

    Bytecode goes along only where its source is the same file in both, so that none of a replaced module survives.
    Returns how many files were carried.
    """
    count = 0
    for folder, folders, names in os.walk(old):
        relative = os.path.relpath(folder, old)
        inside = "" if relative == "." else f"{relative}/"
        if inside.startswith(".dataloader/"):
            continue
        is_bytecode = os.path.basename(folder) == "__pycache__"
        links = [name for name in folders if os.path.islink(f"{folder}/{name}")]
        for name in (*names, *links):
            path = f"{inside}{name}"
            if path in owned or os.path.lexists(new / path):
                continue
            if is_bytecode and not _same_source(old, new, inside, name):
                continue
            count += _carry(f"{folder}/{name}", new / path, linker)
    return count


def _carry(source: str, target: Path, linker: Linker) -> int:
    mode = os.lstat(source).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return 0  # sockets and pipes belong to the process that made them
    target.parent.mkdir(parents=True, exist_ok=True)
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    else:
        linker.place(source, os.fspath(target))
    return 1


def _same_source(old: Path, new: Path, inside: str, name: str) -> bool:
    """Whether the module that bytecode belongs to (PEP 3147) is the same file in both.

    Python itself compares seconds and size only, which an upgrade within a second can fool.
    """
    module = f"{inside.removesuffix('__pycache__/')}{name.split('.', 1)[0]}.py"
    try:
        return os.path.samefile(old / module, new / module) or filecmp.cmp(old / module, new / module)
    except OSError:
        return False


def _quoted(name: str) -> str:
    """A name as a glob pattern that matches only it."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
