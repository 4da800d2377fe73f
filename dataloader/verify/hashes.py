"""SHA-256 of the files of a prefix: what has not changed since it was hashed is not read again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dataloader.host import available_processors
from dataloader.verify.files import State, text_of
from dataloader.verify.installed import hex_digest, record_digest

if TYPE_CHECKING:
    from dataloader.verify.cache import FactsCache, PrefixState
    from dataloader.verify.files import Tree
    from dataloader.verify.installed import Installed

_MAX_HASHED: Final = 64 << 30
"""Bytes; a larger file is no library, and a sparse one would be read for hours."""
_BLOCK: Final = 1 << 20


def hash_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    block = bytearray(_BLOCK)
    view = memoryview(block)
    with open(path, "rb", buffering=0) as file:
        while size := file.readinto(block):
            digest.update(view[:size])
    return digest.hexdigest()


def hash_recorded(prefix: Path, installed: Installed, tree: Tree, state: PrefixState) -> dict[str, str]:
    """SHA-256 of each recorded file and of each that may be a library, as RECORD has it; ``state`` remembers."""
    seen = tree.digest
    if state.tree == seen and len(state.digests) == len(tree.states):
        return {path: digest for path, digest in zip(tree.states, state.digests, strict=True) if digest}
    wanted = {file.path for package in installed.packages for file in package.files if file.recorded}
    wanted.intersection_update(tree.states)
    wanted.update(tree.elf)
    digests: dict[str, str] = {}
    unknown: list[str] = []
    earlier = state.earlier()
    for path in wanted:
        now = tree.states[path]
        digest = _recalled(now, earlier.get(_identity(now), ""))
        if digest:
            digests[path] = digest
        elif now[2] <= _MAX_HASHED:
            unknown.append(path)
    for path, found in _hash_all(prefix, sorted(unknown, key=lambda path: (-tree.size(path), path))):
        digests[path] = record_digest(found)
    state.tree, state.digests = seen, [digests.get(path, "") for path in tree.states]
    state.libraries = {
        path: [text_of(tree.states[path]), hex_digest(digests[path])] for path in tree.elf if path in digests
    }
    state.hashes = {}
    for path, digest in digests.items():
        now = tree.states[path]
        state.hashes[_identity(now)] = f"{now[4]} {now[5]} {digest}"
    return digests


def recall_keys(states: Mapping[str, State], state: PrefixState) -> dict[str, str]:
    """Cache entry of each of these libraries that has not changed since it was hashed."""
    return {path: state.libraries[path][1] for path, now in states.items() if state.libraries[path][0] == text_of(now)}


def _recalled(now: State, known: str) -> str:
    """The digest of a file as it was hashed, if it is still the same; else ``""``."""
    changed, _, rest = known.partition(" ")
    if changed == str(now[4]):
        return rest[rest.find(" ") + 1 :]
    # A time of change that differs alone: written, and the time of modification set back. But environments that are
    # linked from one store share inodes, and each that is made or removed changes that time for all of them; the
    # number of links tells.
    links, _, digest = rest.partition(" ")
    return digest if links != str(now[5]) else ""


def _identity(state: State) -> str:
    return f"{state[0]}-{state[1]}-{state[2]}-{state[3]}"


def _hash_all(prefix: Path, paths: list[str]) -> Iterator[tuple[str, str]]:
    if not paths:
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=available_processors()) as pool:  # hashing releases the interpreter lock
        found = pool.map(lambda path: _try_hash(f"{prefix}/{path}"), paths)
        yield from ((path, digest) for path, digest in zip(paths, found, strict=True) if digest is not None)


def _try_hash(path: str) -> str | None:
    try:
        return hash_file(path)
    except OSError:
        return None  # gone or unreadable: the walk saw it, so reading it as ELF says the same as a finding


def written_digests(installed: Installed, tree: Tree) -> dict[str, str]:
    """Hashes of the ELF files of wheels as their RECORD has them; conda's records are the packages' own words."""
    wanted = frozenset(tree.elf).intersection(tree.states)
    files = (file for package in installed.packages if package.kind == "pypi" for file in package.files)
    return {file.path: file.recorded for file in files if file.recorded and file.path in wanted}


def cache_keys(cache: FactsCache, installed: Installed, tree: Tree, digests: Mapping[str, str]) -> dict[str, str]:
    """Cache entry of each ELF file: its hash where known, else its inode and times.

    Without hashing, the recorded hash finds an entry (size compared), but only a hash that was computed may make one.
    """
    unhashed = set(tree.elf).difference(digests)
    recorded: dict[str, str] = {}
    if unhashed:
        recorded = {
            file.path: file.sha256
            for package in installed.packages
            for file in package.files
            if file.path in unhashed and file.sha256 and tree.size(file.path) == file.size
        }
    keys: dict[str, str] = {}
    for path in tree.elf:
        known = hex_digest(digests[path]) if path in digests else None
        if known is None and path in recorded and cache.has(recorded[path]):
            known = recorded[path]
        keys[path] = known or text_of(tree.states[path])
    return keys
