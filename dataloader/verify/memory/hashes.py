"""SHA-256 of the files of a prefix: what has not changed since it was hashed is not read again.

Kept in the cache of facts as ``prefix-8/....hashes``: the digest of the tree, and the hash of each of its files in the
order of the walk; and as ``prefix-8/....inodes`` for when the tree is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dataloader.base.digests import hexadecimal_of, recorded_of
from dataloader.base.files import keep_file, read_kept
from dataloader.base.state import State, text_of
from dataloader.verify.memory.hashing import hash_all

if TYPE_CHECKING:
    from dataloader.elf.cache import FactsCache
    from dataloader.prefix.records import InstalledPackages
    from dataloader.prefix.walk import PrefixTree
    from dataloader.verify.options import Progress

_MAX_HASHED: Final = 64 << 30
"""Bytes; a larger file is no library, and a sparse one would be read for hours."""
_WORTH_TELLING: Final = 256 << 20
"""Bytes that take long enough to be told of: some tenths of a second."""


class FileHashes(NamedTuple):
    """What is known of the content of the files of one prefix."""

    tree: str = ""
    """Digest of the tree that was hashed."""
    digests: Sequence[str] = ()
    """Of each file of that tree as RECORD writes it, in the order of the walk; empty for one that nobody recorded."""
    earlier: Callable[[], dict[str, str]] = dict
    """Hashes by inode: looked at where the tree is another one."""

    @classmethod
    def load(cls, cache: FactsCache, prefix: Path) -> FileHashes:
        """What the last run over ``prefix`` kept; nothing when there was none, or it was damaged."""

        def by_inode() -> dict[str, str]:
            return dict(row.split("=", 1) for row in _read(cache.path_of(prefix, ".inodes")).splitlines())

        tree, *digests = _read(cache.path_of(prefix, ".hashes")).split("\n")
        return cls(tree, digests, by_inode)

    def store(self, cache: FactsCache, prefix: Path) -> None:
        """Keep what this run hashed; a full or read-only cache is no reason to fail."""
        _keep(
            cache.path_of(prefix, ".inodes"), "\n".join(f"{inode}={known}" for inode, known in self.earlier().items())
        )
        _keep(cache.path_of(prefix, ".hashes"), "\n".join((self.tree, *self.digests)))


def _read(path: Path | None) -> str:
    """What :func:`_keep` kept; nothing where it was damaged."""
    content = read_kept(path) if path is not None else None
    return content.decode() if content is not None else ""


def _keep(path: Path | None, text: str) -> None:
    if path is not None:
        keep_file(path, text.encode())


def hash_recorded(
    prefix: Path,
    installed: InstalledPackages,
    tree: PrefixTree,
    known: FileHashes,
    progress: Progress | None = None,
    then: Callable[[str, str], object] = lambda _path, _digest: None,
) -> tuple[dict[str, str], FileHashes]:
    """SHA-256 of each recorded file and of each that may be a library, as RECORD has it; and what is known now.

    Args:
        then: Called with the path and the digest in hex of each file that is hashed, by the process that has read it.
    """
    if known.tree == tree.digest and len(known.digests) == len(tree.sizes):
        return {path: digest for path, digest in zip(tree.sizes, known.digests, strict=True) if digest}, known
    states = tree.states
    columns = (package.files.columns[:2] for package in installed.packages)
    wanted = {path for paths, recorded in columns for path in compress(paths, recorded)}
    wanted.intersection_update(states)
    wanted.update(tree.elf)
    digests: dict[str, str] = {}
    unknown: list[str] = []
    earlier = known.earlier()
    for path in wanted:
        now = states[path]
        digest = _recalled(now, earlier.get(_identity(now), ""))
        if digest:
            digests[path] = digest
        elif now[2] <= _MAX_HASHED:
            unknown.append(path)
    sizes = tree.sizes
    total = sum(sizes[path] for path in unknown)
    progress = progress if total >= _WORTH_TELLING else None
    if progress is not None:
        progress.start("hash", "hashing", total)
    unknown.sort(key=lambda path: (-sizes[path], path))
    found = hash_all(
        [f"{prefix}/{path}" for path in unknown],
        [sizes[path] for path in unknown],
        lambda number, digest: then(unknown[number], digest.hex()),
    )
    for number, hashed in found:
        if progress is not None:
            progress.advance("hash", sizes[unknown[number]])
        if hashed is not None:
            digests[unknown[number]] = recorded_of(hashed.hex())
    if progress is not None:
        progress.finish("hash")
    inodes = {
        _identity(now): f"{now[4]} {now[5]} {digest}" for path, digest in digests.items() for now in (states[path],)
    }
    return digests, FileHashes(tree.digest, [digests.get(path, "") for path in states], lambda: inodes)


def recall_keys(states: Mapping[str, State], libraries: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Cache entry of each of these libraries that has not changed since it was hashed.

    Args:
        libraries: As :class:`dataloader.elf.cache.Learnt` has them.
    """
    return {path: libraries[path][1] for path, now in states.items() if libraries[path][0] == text_of(now)}


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


def cache_keys(
    cache: FactsCache,
    installed: InstalledPackages,
    tree: PrefixTree,
    digests: Mapping[str, str],
    known_keys: Mapping[str, str],
) -> dict[str, str]:
    """Cache entry of each ELF file: the one it is known to have, its hash, or else its inode and times.

    Without hashing, the recorded hash finds an entry (size compared), but only a hash that was computed may make one.
    """
    unhashed = set(tree.elf).difference(digests, known_keys)
    recorded: dict[str, str] = {}
    if unhashed:
        recorded = {
            file.path: file.sha256
            for package in installed.packages
            for file in package.files
            if file.path in unhashed and file.sha256 and tree.sizes[file.path] == file.size
        }
    keys: dict[str, str] = {}
    for path in tree.elf:
        known = known_keys.get(path) or (hexadecimal_of(digests[path]) if path in digests else None)
        if known is None and path in recorded and cache.has(recorded[path]):
            known = recorded[path]
        keys[path] = known or text_of(tree.states[path])
    return keys
