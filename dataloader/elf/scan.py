"""The ELF files of a prefix and their facts, read by several processes and kept in a cache by content hash."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dataloader.base.state import State
from dataloader.elf.cache import FactsCache
from dataloader.elf.facts import ElfFacts
from dataloader.elf.image import prepare
from dataloader.elf.readers import Helper, read_into_cache, start_helper
from dataloader.machine.host import available_processors

if TYPE_CHECKING:
    from typing_extensions import Self

_AHEAD = 2
"""Files that a helper has before it while it reads one: its answer is waited for in a thread that has little time."""
_POOL_BYTES = 256 << 20
"""Less than this to read is done sooner here than by starting a process."""


class ScannedFile(NamedTuple):
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


class Reading:
    """Reads the ELF files of a tree, here and in other processes, and keeps their facts in the cache."""

    def __init__(self, prefix: Path, cache: FactsCache, jobs: int | None = None) -> None:
        self._prefix, self._cache, self._jobs = prefix, cache, jobs
        self._expected: dict[str, str] = {}
        self._keys: dict[str, str] = {}
        self._queue: deque[str] = deque()
        self._found: dict[str, tuple[ElfFacts | None, str | None]] = {}
        self._unread: list[str] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.clear()
        self._join()

    def expect(self, keys: Mapping[str, str]) -> None:
        """Note which of these files are to be read: before any process is forked, so that it can read too."""
        self._expected = {path: key for path, key in keys.items() if not self._cache.has(key)}
        if self._expected:
            prepare()

    def begin(self, states: Mapping[str, State]) -> None:
        """Let other processes read the files that are expected, while this one does something else."""
        self._take_on(self._expected, states)

    def finish(self, keys: Mapping[str, str], states: Mapping[str, State]) -> list[ScannedFile]:
        """Facts of these files, sorted by path. What was read already is not read again.

        Args:
            keys: Path -> cache entry.
            states: Of at least these.
        """
        missing: dict[str, str] = {}
        for path, key in keys.items():
            if self._keys.get(path) == key:
                continue  # being read, or was
            facts = self._cache.load_facts(key)
            if facts is None:
                missing[path] = key
            else:
                self._keys[path], self._found[path] = key, (facts, None)
        self._take_on(missing, states)
        for path in _take(self._queue):
            self._read_here(path)
        self._join()
        for path in self._unread:
            facts = self._cache.load_facts(self._keys[path])
            if facts:
                self._found[path] = (facts, None)
            else:
                self._read_here(path)
        self._unread.clear()
        return [
            ScannedFile(path=path, state=states[path], key=keys[path], facts=facts, problem=problem)
            for path, (facts, problem) in sorted(self._found.items())
            if path in keys and (facts is not None or problem is not None)
        ]

    def _take_on(self, keys: Mapping[str, str], states: Mapping[str, State]) -> None:
        todo = sorted(keys, key=lambda path: states[path][2], reverse=True)
        self._keys.update(keys)
        self._queue.extend(todo)
        if not self._threads and sum(states[path][2] for path in todo) >= _POOL_BYTES:
            self._start_helpers(min(self._jobs or available_processors(), len(todo), 8) - 1)

    def _read_here(self, path: str) -> None:
        self._found[path] = read_into_cache(self._cache, f"{self._prefix}/{path}", self._keys[path])

    def _start_helpers(self, count: int) -> None:
        helpers: list[Helper] = []
        for _ in range(count):  # all before the first thread
            helpers.append(start_helper(self._cache, helpers))
        self._threads = [threading.Thread(target=self._feed, args=(helper,)) for helper in helpers]
        for thread in self._threads:
            thread.start()

    def _feed(self, helper: Helper) -> None:
        """Give a helper one file after the other, the next one before it is done with the last."""
        given: deque[str] = deque()
        with helper:
            for path in _take(self._queue):
                given.append(path)
                if not helper.give(f"{self._prefix}/{path}", self._keys[path]):
                    break
                if len(given) > _AHEAD and not self._hear(helper, given):
                    break
            while given and self._hear(helper, given):
                pass
        self._unread += given

    def _hear(self, helper: Helper, given: deque[str]) -> bool:
        """Take a helper's answer; False when it is gone (it may have run out of memory)."""
        try:
            problem = helper.hear()
        except (OSError, ValueError):
            return False
        path = given.popleft()
        if problem == [None]:
            self._unread.append(path)
        else:
            self._found[path] = (None, problem)
        return True

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()
        self._threads.clear()


def _take(queue: deque[str]) -> Iterator[str]:
    with suppress(IndexError):  # several threads take from it, so asking for its length first would not do
        while True:
            yield queue.popleft()
