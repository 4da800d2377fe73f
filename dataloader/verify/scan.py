"""The ELF files of a prefix and their facts, read by several processes and kept in a cache by content hash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataloader.verify.cache import FactsCache
from dataloader.verify.elf import ElfFacts, read_elf
from dataloader.verify.elf_image import MalformedElf
from dataloader.verify.files import State, Tree

_POOL_BYTES = 256 << 20
"""Less than this to read is done sooner here than by starting a process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedFile:
    """One ELF file, or one that calls itself a library and is none."""

    path: str
    """Relative to the prefix, with ``/``."""
    state: State
    key: str
    """Its entry in the cache."""
    facts: ElfFacts | None
    problem: str | None = None
    """Why there are no facts."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.state[2]

    @property
    def file_id(self) -> tuple[int, int]:
        """Device and inode: what ld.so compares to know that two paths are one object."""
        return self.state[:2]


def _is_text(path: str) -> bool:
    """A linker script or a stub: ``libx.so`` may be ``INPUT(-lx)``, which nobody loads."""
    with open(path, "rb") as file:
        head = file.read(512)
    return bool(head) and all(byte >= 0x20 or byte in b"\t\r\n" for byte in head)


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
    todo.sort(key=tree.size, reverse=True)
    if todo:
        known |= _read_all(prefix, todo, cache, keys, _helpers(tree, todo, jobs))
    return [
        ScannedFile(
            path=path,
            state=tree.states[path],
            key=keys[path],
            facts=facts,
            problem=problem,
        )
        for path, (facts, problem) in sorted(known.items())
        if facts is not None or problem is not None
    ]


def _helpers(tree: Tree, todo: Sequence[str], jobs: int | None) -> int:
    """How many processes to start beside this one."""
    if sum(tree.size(path) for path in todo) < _POOL_BYTES:
        return 0
    return max(0, min(jobs or os.cpu_count() or 1, len(todo), 8) - 1)


def _read_all(
    prefix: Path, todo: Sequence[str], cache: FactsCache, keys: Mapping[str, str], helpers: int
) -> dict[str, tuple[ElfFacts | None, str | None]]:
    """Reads ``todo`` here and in ``helpers`` processes, each taking the next file when it is done with one."""
    queue = deque(todo)
    found: dict[str, tuple[ElfFacts | None, str | None]] = {}
    unread: list[str] = []

    import threading

    def feed(worker: subprocess.Popen[str]) -> None:
        with worker:
            for path in _take(queue):
                answer = _ask(worker, str(prefix / path), keys[path])
                if answer is None or answer == [None]:
                    unread.append(path)
                else:
                    found[path] = (None, answer)
                if answer is None:
                    return

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


def _ask(worker: subprocess.Popen[str], path: str, key: str) -> Any:
    """What the other process answers; ``None`` when it is gone (it may have run out of memory)."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        print(json.dumps([path, key]), file=worker.stdin, flush=True)
        return json.loads(worker.stdout.readline())
    except (OSError, ValueError):
        return None


def _take(queue: deque[str]) -> Iterator[str]:
    with suppress(IndexError):  # several threads take from it, so asking for its length first would not do
        while True:
            yield queue.popleft()
