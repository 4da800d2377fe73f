"""Install one stored wheel into a tree: link its files, generate its scripts, write its RECORD (PEP 376, PEP 427)."""

# ruff: noqa: PTH116
# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import csv
import hashlib
import io
import os
import shlex
from typing import TypeAlias

from dataloader.errors import IntegrityError
from dataloader.install.hashing import encode, record_digest
from dataloader.install.linking import Linker
from dataloader.install.plan import INSTALLER
from dataloader.install.recipe import Recipe, StoredFile
from dataloader.install.store import StoredWheel
from dataloader.install.tree import Tree, reserved

_SHEBANG_LIMIT = 127
"""Bytes of a first line that every Linux kernel reads (BINPRM_BUF_SIZE was 128 before 5.1)."""

_GENERATED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


class DamagedEntry(Exception):
    """A stored wheel is not what was unpacked; it has to be fetched again."""

    def __init__(self, stored: StoredWheel, source: str) -> None:
        super().__init__(f"{source} in {stored.files}")
        self.stored = stored
        self.source = source


Row: TypeAlias = tuple[str, str, int | str]
"""Path relative to the prefix, hash as RECORD has it, size in bytes."""


def install_wheel(tree: Tree, stored: StoredWheel, linker: Linker, *, requested: bool) -> list[Row]:
    """Put a wheel into the tree, all but its RECORD, whose rows are returned (``write_record``).

    Raises:
        DamagedEntry: a stored file was changed or is gone.
        PrefixError: it clashes with another package (``path-clash``).
    """
    assert tree.layout is not None
    recipe = stored.recipe
    layout, info = tree.layout, f"{tree.layout.site_packages}/{recipe.dist_info}"
    rows: list[Row] = []
    skip = {f"{recipe.dist_info}/{name}" for name in _GENERATED}
    for entry_point in recipe.entry_points:
        content = _script(entry_point.name, entry_point.module, entry_point.attr, entry_point.section, tree.interpreter)
        _write(tree, recipe, f"bin/{entry_point.name}", content, rows, executable=True)
        tree.commands.add(f"bin/{entry_point.name}")
    for file in recipe.files:
        if file.source in skip:
            continue
        if file.has_python_shebang:
            _write(
                tree, recipe, f"bin/{file.path}", _with_shebang(stored, file, tree.interpreter), rows, executable=True
            )
            continue
        folder = layout.folder(file.scheme, recipe.name)
        path = f"{folder}/{file.path}" if folder else file.path
        if folder != layout.site_packages:
            _refuse_reserved(path, recipe)
        if tree.claim(path, recipe.name, file.digest, file.size):
            _place(tree, stored, file, path, linker)
        rows.append((path, f"sha256={file.digest}", file.size))
    _write(tree, recipe, f"{info}/INSTALLER", f"{INSTALLER}\n".encode(), rows)
    if requested:
        _write(tree, recipe, f"{info}/REQUESTED", b"", rows)
    return rows


def write_record(tree: Tree, recipe: Recipe, rows: list[Row]) -> None:
    """Write the RECORD of an installed wheel. Comes when all wheels are in: a later one may have taken a path over."""
    assert tree.layout is not None
    record = f"{tree.layout.site_packages}/{recipe.dist_info}/RECORD"
    if any(owner == recipe.name for owner, _ in tree.lost):
        rows = [row for row in rows if (recipe.name, row[0]) not in tree.lost]
    inside = f"{tree.layout.site_packages}/"
    lines = [(_record_path(path, inside), digest, size) for path, digest, size in (*rows, (record, "", ""))]
    tree.owners[record] = recipe.name
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(sorted(lines))
    tree.write(record, text.getvalue().encode("utf-8", "surrogateescape"))


def _place(tree: Tree, stored: StoredWheel, file: StoredFile, path: str, linker: Linker) -> None:
    source = f"{stored.files}/{file.source}"
    try:
        status = os.stat(source)
        # The time and the size are the cheap check; only when they differ is the content read.
        unchanged = status.st_size == file.size and status.st_mtime_ns == file.mtime_ns
        if not unchanged and record_digest(source) != file.digest:
            raise DamagedEntry(stored, file.source)
        linker.place(source, f"{tree.root}/{path}")
    except FileNotFoundError as error:
        raise DamagedEntry(stored, file.source) from error


def _write(
    tree: Tree,
    recipe: Recipe,
    path: str,
    content: bytes,
    rows: list[Row],
    *,
    executable: bool = False,
) -> None:
    digest = encode(hashlib.sha256(content).digest())
    if tree.claim(path, recipe.name, digest, len(content)):
        tree.write(path, content, executable=executable)
    rows.append((path, f"sha256={digest}", len(content)))


def _refuse_reserved(path: str, recipe: Recipe) -> None:
    if reserved(path):
        raise IntegrityError(
            f"The wheel of {recipe.name} {recipe.version} wants to write {path}, which is the environment's own.",
            code="archive-escapes",
        )


def _record_path(path: str, site_packages: str) -> str:
    """A path of the prefix as RECORD has it: relative to site-packages (given with a slash at the end)."""
    return path[len(site_packages) :] if path.startswith(site_packages) else os.path.relpath(path, site_packages)


def _script(name: str, module: str, attr: str, section: str, interpreter: str) -> bytes:
    from installer.scripts import Script

    _, content = Script(name, module, attr, "gui" if section == "gui" else "console").generate(interpreter, "posix")
    return content


def _with_shebang(stored: StoredWheel, file: StoredFile, interpreter: str) -> bytes:
    try:
        with open(stored.files / file.source, "rb") as stream:
            stream.readline()
            return shebang(interpreter) + stream.read()
    except FileNotFoundError as error:
        raise DamagedEntry(stored, file.source) from error


def shebang(interpreter: str) -> bytes:
    """The first line (or lines) of a Python script. Long paths and paths with spaces go through sh, as in distlib."""
    simple = f"#!{interpreter}\n".encode()
    if b" " not in simple and len(simple) <= _SHEBANG_LIMIT:
        return simple
    return b"#!/bin/sh\n'''exec' " + shlex.quote(interpreter).encode() + b' "$0" "$@"\n' + b"' '''\n"
