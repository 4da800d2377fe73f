"""Put a finished tree in a prefix's place, and clear up what a killed sync left behind."""

# ruff: noqa: PTH104, PTH105, PTH208, PTH114, PTH119, PTH121, PTH115, PTH211
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import ctypes
import errno
import filecmp
import json
import os
import stat
import uuid
from collections.abc import Mapping
from pathlib import Path

from dataloader.base.errors import PrefixError
from dataloader.base.files import make_folders, remove_tree, walk
from dataloader.install.switch.place import Place
from dataloader.install.tree.linking import Linker
from dataloader.prefix.locate import ACTIVATION, OWN_FOLDER, STATE

_STAY = frozenset({OWN_FOLDER, "lost+found"})
"""Entries of a mounted prefix that are not exchanged: our own folder, and what fsck(8) keeps in a volume's root."""

_NO_EXCHANGE = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTEMPTY, errno.EEXIST})
"""What a volume answers that cannot exchange; one in user space that drops the flag has tried a plain rename."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_RENAMEAT2 = {"x86_64": 316, "aarch64": 276, "ppc64le": 357, "s390x": 347, "riscv64": 276}
"""System call numbers (syscalls(2)): the C library's wrapper came with glibc 2.28 and is missing in musl."""


def switch(tree: Path, place: Place) -> Path | None:
    """Make ``tree`` the environment at the prefix; the old one's new path, or ``None`` when there was none.

    One step where the volume can exchange two directories; else several with a journal, which ``recover`` finishes.
    """
    prefix = place.prefix
    if place.inside:
        return _switch_entries(tree, place)
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
        if error.errno not in _NO_EXCHANGE:
            raise
        return _switch_in_two_steps(tree, place)
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


def _switch_in_two_steps(tree: Path, place: Place) -> Path:
    """Where there is no exchange: two renames."""
    old = place.helper(f"tree-{uuid.uuid4().hex[:12]}")
    _write_journal(place, {"new": tree.name, "old": old.name})
    os.rename(place.prefix, old)
    try:
        os.rename(tree, place.prefix)
    except OSError:
        os.rename(old, place.prefix)
        raise
    place.helper("journal").unlink()
    return old


def _switch_entries(tree: Path, place: Place) -> Path:
    """Where the prefix itself cannot be renamed (a mount point): each of its entries."""
    old = place.new_tree()
    outgoing = [name for name in os.listdir(place.prefix) if name not in _STAY]
    incoming = [name for name in os.listdir(tree) if name not in _STAY]
    _write_journal(place, {"new": tree.name, "old": old.name, "outgoing": outgoing, "incoming": incoming})
    _move_entries(place, tree, old, outgoing, incoming)
    return old


def _move_entries(place: Place, new: Path, old: Path, outgoing: list[str], incoming: list[str]) -> None:
    """Every step can be repeated: what has been done is seen by where an entry lies. The state file comes last."""
    for name in sorted({*outgoing, *incoming}):
        here = place.prefix / name
        if name in outgoing and not os.path.lexists(old / name) and os.path.lexists(here):
            os.rename(here, old / name)
        if name in incoming and os.path.lexists(new / name):
            os.rename(new / name, here)
    for path in (ACTIVATION, STATE):
        if (new / path).exists():
            os.replace(new / path, place.prefix / path)
        elif path == ACTIVATION and (new / STATE).exists():
            (place.prefix / path).unlink(missing_ok=True)
    place.helper("journal").unlink()


def _write_journal(place: Place, content: Mapping[str, object]) -> None:
    journal = place.helper("journal")
    written = journal.with_name(f"{journal.name}-{uuid.uuid4().hex[:12]}")
    written.write_text(json.dumps(content), encoding="utf-8")
    written.rename(journal)


def recover(place: Place) -> None:
    """Finish a switch that was cut off, and remove the trees of dead syncs. The caller holds the prefix's lease."""
    journal = place.helper("journal")
    if journal.is_file():
        content = json.loads(journal.read_bytes())
        new, old = place.helper("journal").parent / content["new"], place.helper("journal").parent / content["old"]
        if "incoming" in content:
            _move_entries(place, new, old, content["outgoing"], content["incoming"])
        elif not os.path.lexists(place.prefix):
            os.rename(new if new.is_dir() else old, place.prefix)
    for leftover in place.helpers():
        if leftover.is_dir() and not leftover.is_symlink():
            remove_tree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def carry_over(old: Path, new: Path, owned: set[str], linker: Linker) -> int:
    """Link into ``new`` what people and programs put into ``old``: all that no package owns and that ``new`` lacks.

    Bytecode goes along only where its source is the same file in both, so that none of a replaced module survives.
    Returns how many files were carried.
    """
    count = 0
    root = os.path.realpath(new)
    for folder, folders, names in walk(old):
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
            count += _carry(f"{folder}/{name}", new / path, root, linker)
    return count


def _carry(source: str, target: Path, root: str, linker: Linker) -> int:
    mode = os.lstat(source).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
        return 0  # sockets and pipes belong to the process that made them
    if not f"{os.path.realpath(target.parent)}/".startswith(f"{root}/"):
        raise PrefixError(
            f"{source} is no package's, and where it would be carried to a package has a link that leads out",
            code="path-clash",
            suggestions=("move it to another place, and run the command again",),
        )
    make_folders(target.parent)
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    else:
        linker.place(source, os.fspath(target))
    return 1


def _same_source(old: Path, new: Path, inside: str, name: str) -> bool:
    """Whether the module that bytecode belongs to (PEP 3147) is the same file in both.

    Python itself compares seconds and size only, which an upgrade within a second can fool, or a volume (exFAT, SMB)
    or a packer that keeps no times of its own: so times have no say here.
    """
    module = f"{inside.removesuffix('__pycache__/')}{name.split('.', 1)[0]}.py"
    try:
        return os.path.samefile(old / module, new / module) or filecmp.cmp(old / module, new / module, shallow=False)
    except OSError:
        return False
