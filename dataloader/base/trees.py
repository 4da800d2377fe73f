"""Local source trees: which files are of one, and whether they changed.

Imports neither typing nor pathlib: a sync with nothing to do asks here whether that is so.
"""

# ruff: noqa: PTH115, PTH118
# As dataloader.prefix.locate: importing pathlib would cost more than looking.

from __future__ import annotations

import hashlib
import os
import stat

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA_FILES = ("pyproject.toml", "setup.py", "setup.cfg")
"""What says what a project needs, and how it is built."""
_VERSIONED = frozenset([".git", ".hg", ".svn"])
_OF_TOOLS = frozenset([".venv", ".tox", ".nox", ".dataloader", ".pixi", ".eggs", "__pycache__", "node_modules"])
_CACHES = frozenset([".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".cache", ".idea", ".vscode"])
_NOT_SOURCES = _VERSIONED | _OF_TOOLS | _CACHES
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
"""What an environment has at its top."""


def files_of(tree: str) -> Iterator[str]:
    """Yield the paths of a tree's files and links, relative to it, sorted in each folder.

    What tools keep there is none of it: version control, caches, environments, and what setuptools leaves of builds.
    """
    yield from _below(tree, "")


def _below(tree: str, inside: str) -> Iterator[str]:
    with os.scandir(os.path.join(tree, inside)) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = f"{inside}/{entry.name}" if inside else entry.name
        if not entry.is_dir(follow_symlinks=False):
            if not entry.name.endswith((".pyc", ".pyo")) and (entry.is_symlink() or entry.is_file()):
                yield path
        elif not _is_left_out(entry, inside):
            yield from _below(tree, path)


def _is_left_out(entry: os.DirEntry[str], inside: str) -> bool:
    if entry.name in _NOT_SOURCES or entry.name.endswith(".egg-info"):
        return True
    if any(os.path.lexists(os.path.join(entry.path, name)) for name in _ENVIRONMENT):
        return True
    return not inside and entry.name == "build" and _is_of_setuptools(entry.path)


def _is_of_setuptools(folder: str) -> bool:
    names = os.listdir(folder)  # noqa: PTH208
    return bool(names) and all(name == "lib" or name.startswith(("lib.", "bdist.", "temp.")) for name in names)


def stamp(tree: str, *, editable: bool) -> str:
    """Return what changes when a tree does, by names, sizes and times; nothing is read.

    Args:
        editable: Whether an environment leads there: only what says how that is made counts then.

    Raises:
        OSError: there is no such tree.
    """
    os.stat(tree)  # noqa: PTH116
    lines = [tree]
    for path in METADATA_FILES if editable else files_of(tree):
        try:
            status = os.lstat(os.path.join(tree, path))
        except FileNotFoundError:
            continue
        lines.append(f"{path} {status.st_size} {status.st_mtime_ns} {status.st_mode}")
    return _digest(lines)


def content_digest(tree: str, *, editable: bool) -> str:
    """Return a digest of what a wheel of a tree is made of: of its files, or where it is and how it is built.

    Raises:
        OSError: there is no such tree, or somebody may not read it.
    """
    os.stat(tree)  # noqa: PTH116
    lines = [tree] if editable else []
    for path in METADATA_FILES if editable else files_of(tree):
        full = os.path.join(tree, path)
        try:
            mode = os.lstat(full).st_mode
        except FileNotFoundError:
            continue
        if stat.S_ISLNK(mode):
            lines.append(f"{path} -> {os.readlink(full)}")
        else:
            lines.append(f"{path} {bool(mode & stat.S_IXUSR)} {_file_digest(full)}")
    return _digest(lines)


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
