"""Install stored wheels into a tree: claim their paths, link their files, write their RECORDs (PEP 376, PEP 427)."""

# Ten thousands of files pass here: paths stay plain strings, for pathlib costs as much as the work.

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

from dataloader.base.digests import encode, record_digest
from dataloader.install.bounds import Refused, check_place
from dataloader.install.plan import INSTALLER
from dataloader.install.store.entries import VanishedEntry
from dataloader.install.store.recipe import EntryPoint, Recipe, malformed
from dataloader.install.store.store import StoredWheel
from dataloader.install.tree.linking import Folders, Linker
from dataloader.install.tree.tree import NewFile, PathClash, Tree
from dataloader.prefix.walk import is_library_name

_SHEBANG_LIMIT = 127
"""Bytes of a first line that every Linux kernel reads (BINPRM_BUF_SIZE was 128 before 5.1)."""

_OWN_FOLDERS = frozenset({"purelib", "platlib", "headers"})
"""Install schemes that lead to nothing but packages' own."""

_THREADS = 2
"""Linking is waiting for the kernel, which serves two callers at once; more gain nothing."""

_CHUNK = 500
"""Files of one piece of work."""


class DamagedEntry(Exception):
    """A stored wheel is not what was unpacked; it has to be fetched again."""

    def __init__(self, stored: StoredWheel, source: str) -> None:
        super().__init__(f"{source} in {stored.files}")
        self.stored = stored
        self.source = source


def lost(stored: StoredWheel, source: str) -> Exception:
    """Why a member cannot be opened: the whole entry was removed, or only the member, which is damage."""
    entry = stored.files.parent
    return DamagedEntry(stored, source) if (entry / "recipe").exists() else VanishedEntry(entry)


def claim_wheel(tree: Tree, stored: StoredWheel, *, requested: bool, direct_url: bytes | None = None) -> None:
    """Claim all that a wheel installs, generated scripts and metadata included, but for its RECORD.

    Args:
        direct_url: Where it came from, where that was asked for (PEP 610).

    Raises:
        DamagedEntry: a script of the stored wheel is gone.
        PrefixError: it clashes with another package (``path-clash``).
        IntegrityError: it wants to write where only the environment itself may.
    """
    assert tree.layout is not None
    recipe = stored.recipe
    placed: dict[str, NewFile] = {}
    for file in recipe.files:
        folder = tree.layout.folder(file.scheme, recipe.name)
        path = f"{folder}/{file.path}" if folder else file.path
        if file.scheme not in _OWN_FOLDERS:
            _check_place(recipe, path)
        if file.has_python_shebang:
            new = _with_shebang(stored, file.source, path, tree.interpreter)
        else:
            key = stored.key_of(file) if is_library_name(path) else ""
            new = NewFile(path, file.digest, file.size, file.source, file.mtime_ns, library_key=key)
        if placed.setdefault(path, new).digest != new.digest:
            raise malformed(f"The wheel of {recipe.name} {recipe.version}", f"two of its files go to {path}")
        if file.source in recipe.slips:
            tree.slips[path] = recipe.slips[file.source]
    for point in recipe.entry_points:  # which win against a script of that name, as in pip
        placed[f"bin/{point.name}"] = _script(point, tree.interpreter)
    info = f"{tree.layout.site_packages}/{recipe.dist_info}"
    record = f"{info}/RECORD"
    if record in placed:
        raise malformed(f"The wheel of {recipe.name} {recipe.version}", f"one of its files goes to {record}")
    placed[f"{info}/INSTALLER"] = _generated(f"{info}/INSTALLER", f"{INSTALLER}\n".encode())
    if requested:
        placed[f"{info}/REQUESTED"] = _generated(f"{info}/REQUESTED", b"")
    if direct_url is not None:
        placed[f"{info}/direct_url.json"] = _generated(f"{info}/direct_url.json", direct_url)
    tree.claim(recipe.name, list(placed.values()))
    if record in tree.owners:
        raise PathClash(record, tree.owners[record], recipe.name)
    tree.commands.update(f"bin/{point.name}" for point in recipe.entry_points)
    tree.owners[record] = recipe.name


def link_wheels(
    tree: Tree,
    wheels: Mapping[str, StoredWheel],
    linkers: Callable[[StoredWheel], Linker],
    done: Callable[[int], None],
    meanwhile: Callable[[], None],
) -> None:
    """Put the claimed files of all wheels in place.

    Args:
        linkers: The linker for a wheel's cache layer.
        done: Told, in the caller's thread, how many more files are in place.
        meanwhile: Work for the caller's thread: making links is the kernel's business.

    Raises:
        DamagedEntry: a stored file was changed or is gone.
        VanishedEntry: all of a stored wheel is.
    """
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="link") as pool:
        work = [
            pool.submit(_link, tree, stored, linkers(stored), chunk)
            for name, stored in wheels.items()
            for chunk in _chunks(tree.files_of(name))
        ]
        try:
            meanwhile()
            for future in work:
                done(future.result())
        finally:
            for future in work:
                future.cancel()


def write_record(tree: Tree, recipe: Recipe) -> None:
    """Write the RECORD of a wheel."""
    assert tree.layout is not None
    inside = f"{tree.layout.site_packages}/"
    start = len(inside)
    rows = [
        (path[start:] if path.startswith(inside) else os.path.relpath(path, inside), digest, size)
        for path, digest, size, *_ in tree.recorded_by(recipe.name)
    ]
    record = f"{recipe.dist_info}/RECORD"
    lines = "".join([f"{path},sha256={digest},{size}\n" for path, digest, size in rows])
    if '"' in lines or lines.count(",") != 2 * len(rows) or lines.count("\n") != len(rows):  # csv has to quote some
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows((path, f"sha256={digest}", size) for path, digest, size in rows)
        lines = text.getvalue()
    tree.write(inside + record, f"{lines}{record},,\n".encode("utf-8", "surrogateescape"))


def shebang(interpreter: str) -> bytes:
    """The first line (or lines) of a Python script, which are read by the kernel, or else by sh and by Python.

    Long paths and paths with spaces go through sh, as in distlib. What one of the readers would take for something
    else (a backslash, a byte that is no UTF-8) goes there by its number.
    """
    path = os.fsencode(interpreter)
    if not re.search(rb"\s", path) and len(path) + len(b"#!\n") <= _SHEBANG_LIMIT and _is_text(path):
        return b"#!" + path + b"\n"
    if b"\\" in path or not _is_text(path):
        plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
        word = "\"$(printf '" + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in path) + "')\""
    else:
        word = shlex.quote(interpreter)
    return f"#!/bin/sh\n'''exec' {word} \"$0\" \"$@\"\n' '''\n".encode()


def _is_text(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _chunks(files: list[NewFile]) -> Iterator[list[NewFile]]:
    for start in range(0, len(files), _CHUNK):
        yield files[start : start + _CHUNK]


def _link(tree: Tree, stored: StoredWheel, linker: Linker, files: list[NewFile]) -> int:
    root, store = tree.root, os.fspath(stored.files)
    with Folders() as folders:
        for path, digest, size, source, mtime_ns, content, executable, _ in files:
            if source is None:
                tree.write(path, content, executable=executable)
                continue
            folder, _, name = path.rpartition("/")
            stored_folder, _, stored_name = source.rpartition("/")
            try:
                there, here = folders.enter(f"{store}/{stored_folder}", root, folder, tree.make_folder)
                status = os.stat(stored_name, dir_fd=there)
                # Time and size are the cheap check; only when they differ is the content read.
                unchanged = status.st_size == size and status.st_mtime_ns == mtime_ns
                if not unchanged and record_digest(f"{store}/{source}") != digest:
                    raise DamagedEntry(stored, source)
                linker.place_in(there, stored_name, here, name, f"{store}/{source}", f"{root}/{path}")
            except FileNotFoundError as error:
                raise lost(stored, source) from error
    return len(files)


def _script(point: EntryPoint, interpreter: str) -> NewFile:
    return _generated(f"bin/{point.name}", shebang(interpreter) + point.body.encode(), executable=True)


def _with_shebang(stored: StoredWheel, source: str, path: str, interpreter: str) -> NewFile:
    try:
        with open(stored.files / source, "rb") as stream:
            stream.readline()
            return _generated(path, shebang(interpreter) + stream.read(), executable=True)
    except FileNotFoundError as error:
        raise lost(stored, source) from error


def _generated(path: str, content: bytes, *, executable: bool = False) -> NewFile:
    digest = encode(hashlib.sha256(content).digest())
    return NewFile(path, digest, len(content), None, 0, content, executable)


def _check_place(recipe: Recipe, path: str) -> None:
    try:
        check_place(path)
    except Refused as refusal:
        raise refusal.as_error(f"The wheel of {recipe.name} {recipe.version}", code="wheel-malformed") from refusal
