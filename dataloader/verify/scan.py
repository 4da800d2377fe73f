"""The ELF files of a prefix and their facts, read by several processes and kept in a cache by content hash."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dataloader.verify.cache import FactsCache, StatKey
from dataloader.verify.elf import ElfFacts, read_elf
from dataloader.verify.elf_image import MalformedElf

_POOL_BYTES = 256 << 20
"""Less than this to read is done sooner here than by starting a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedFile:
    """One ELF file, or one that calls itself a library and is none."""

    path: str
    """Relative to the prefix, with ``/``."""
    stat: StatKey
    key: str
    """Its entry in the cache."""
    facts: ElfFacts | None
    problem: str | None = None
    """Why there are no facts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What one walk over a prefix saw."""

    stats: Mapping[str, os.stat_result] = field(default_factory=dict)
    """Every regular file, by path relative to the prefix."""
    links: frozenset[str] = frozenset()
    """Symbolic links, to files and to directories."""
    elf: tuple[str, ...] = ()
    """Those that may be ELF files: named like a library, or executable with the magic."""


def walk(prefix: Path) -> Tree:
    """Every file of ``prefix``; directories that are links are not entered, ``__pycache__`` is left out."""
    stats: dict[str, os.stat_result] = {}
    links: set[str] = set()
    elf: list[str] = []
    pending = [("", str(prefix))]
    while pending:
        relative, folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue  # unreadable or gone meanwhile; a file recorded in it is reported as missing
        for entry in entries:
            name = relative + entry.name
            if entry.is_symlink():
                links.add(name)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    pending.append((name + "/", entry.path))
            elif entry.is_file(follow_symlinks=False):
                stat = entry.stat(follow_symlinks=False)
                stats[name] = stat
                if is_library_name(entry.name) or (stat.st_mode & 0o111 and _has_magic(entry.path)):
                    elf.append(name)
    return Tree(stats=stats, links=frozenset(links), elf=tuple(sorted(elf)))


def is_library_name(name: str) -> bool:
    """``libx.so``, ``libx.so.1.2``, ``_x.abi3.so``."""
    return name.endswith(".so") or (".so." in name and name.rsplit(".so.", 1)[1].replace(".", "").isdigit())


def _has_magic(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _is_text(path: str) -> bool:
    """A linker script or a stub: ``libx.so`` may be ``INPUT(-lx)``, which nobody loads."""
    with open(path, "rb") as file:
        head = file.read(512)
    return bool(head) and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


def hash_file(path: str) -> str:
    """SHA-256 of a file, hex."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_into_cache(cache: FactsCache, path: str, key: str) -> tuple[ElfFacts | None, str | None]:
    """(facts, None) of one file, kept in the cache under ``key``; (None, why) otherwise.

    A text file that is only named like a library gives (None, None).
    """
    try:
        facts, symbols = read_elf(Path(path))
    except MalformedElf as error:
        return None, None if _is_text(path) else str(error)
    except OSError as error:
        return None, error.strerror or str(error)
    cache.store(key, facts, symbols)
    return facts, None


def scan(
    prefix: Path, tree: Tree, cache: FactsCache, keys: Mapping[str, str], jobs: int | None = None
) -> list[ScannedFile]:
    """Facts of every ELF file of the tree; ``keys`` gives the cache entry of each path. Sorted by path."""
    known: dict[str, tuple[ElfFacts | None, str | None]] = {}
    todo: list[str] = []
    for path in tree.elf:
        facts = cache.load_facts(keys[path])
        if facts is None:
            todo.append(path)
        else:
            known[path] = (facts, None)
    todo.sort(key=lambda path: tree.stats[path].st_size, reverse=True)
    if todo:
        known |= _read_all(prefix, todo, cache, keys, _helpers(tree, todo, jobs))
    return [
        ScannedFile(path=path, stat=StatKey.of(tree.stats[path]), key=keys[path], facts=facts, problem=problem)
        for path, (facts, problem) in sorted(known.items())
        if facts is not None or problem is not None
    ]


def _helpers(tree: Tree, todo: Sequence[str], jobs: int | None) -> int:
    """How many processes to start beside this one."""
    if sum(tree.stats[path].st_size for path in todo) < _POOL_BYTES:
        return 0
    return max(0, min(jobs or os.cpu_count() or 1, len(todo), 8) - 1)


def _read_all(
    prefix: Path, todo: Sequence[str], cache: FactsCache, keys: Mapping[str, str], helpers: int
) -> dict[str, tuple[ElfFacts | None, str | None]]:
    """Reads ``todo`` here and in ``helpers`` processes, each taking the next file when it is done with one."""
    queue = deque(todo)
    found: dict[str, tuple[ElfFacts | None, str | None]] = {}
    unread: list[str] = []

    import subprocess
    import threading

    def feed(worker: subprocess.Popen[str]) -> None:
        assert worker.stdin is not None
        assert worker.stdout is not None
        with worker:
            for path in _take(queue):
                print(json.dumps([str(prefix / path), keys[path]]), file=worker.stdin, flush=True)
                answer = worker.stdout.readline()
                if not answer:
                    # A file cut short while it is mapped kills its reader (SIGBUS); that must not be this process.
                    found[path] = (None, "the file changed while it was read")
                    return
                problem = json.loads(answer)
                if problem == [None]:
                    unread.append(path)
                else:
                    found[path] = (None, problem)
            worker.stdin.close()

    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("worker.py")), str(cache.root)]
    package_root = str(Path(__file__).parents[2])
    workers = [
        subprocess.Popen(
            [*command, package_root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        for _ in range(helpers)
    ]
    threads = [threading.Thread(target=feed, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for path in _take(queue):
        found[path] = read_into_cache(cache, str(prefix / path), keys[path])
    for thread in threads:
        thread.join()
    for path in unread:
        facts = cache.load_facts(keys[path])
        found[path] = (facts, None) if facts else read_into_cache(cache, str(prefix / path), keys[path])
    return found


def _take(queue: deque[str]) -> Iterator[str]:
    with suppress(IndexError):  # several threads take from it, so asking for its length first would not do
        while True:
            yield queue.popleft()
