"""Work that one thread leaves to others where a processor is idle, done in order and not far behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

_FAR = 4 << 20
"""Bytes that wait to be worked on, at most; then who brings more waits too."""

_WORTH_IT = 128 << 10
"""Bytes of a call from which on it is left to another thread."""


class Workers:
    """How many there are who have a processor's work each."""

    def __init__(self, processors: int) -> None:
        self._processors = processors
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """For as long as somebody works."""
        with self._lock:
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1

    def are_few(self) -> bool:
        """Whether they leave processors idle, be it while they wait for their input."""
        return self._count <= self._processors


class Behind:
    """Calls made one after the other: by a thread of a pool while workers are few, else by the caller's own.

    To hand a call over costs two switches between threads, which only an idle processor is worth.
    """

    def __init__(self, pool: Executor, workers: Workers) -> None:
        self._pool = pool
        self._workers = workers
        self._calls: deque[tuple[Callable[[], object], int]] = deque()
        self._waiting = 0
        """Bytes that the calls hold."""
        self._is_at_work = False
        """Whether a thread of the pool makes the calls."""
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def call(self, function: Callable[[], object], size: int = 0) -> None:
        """Have ``function``, which holds ``size`` bytes, called after those before it.

        Raises:
            Exception: what it or an earlier one raised; no more of them is called.
        """
        # Nobody else sets the flag, so what is not at work stays so.
        if not self._is_at_work and (size < _WORTH_IT or not self._workers.are_few()):
            self._check()
            try:
                function()
            except BaseException as error:
                self._error = error
                raise
            return
        with self._changed:
            self._changed.wait_for(lambda: self._waiting == 0 or self._waiting + size <= _FAR)
            self._check()
            self._calls.append((function, size))
            self._waiting += size
            if not self._is_at_work:
                self._is_at_work = True
                self._pool.submit(self._work)

    def finish(self) -> None:
        """Return when all calls have returned.

        Raises:
            Exception: what one of them raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._is_at_work)
            self._check()

    def drop(self) -> None:
        """Make no more of the calls, and return when the last one has returned."""
        with self._changed:
            self._forget()
            self._changed.wait_for(lambda: not self._is_at_work)

    def _work(self) -> None:
        while True:
            with self._changed:
                if not self._calls:
                    self._is_at_work = False
                    self._changed.notify_all()
                    return
                function, size = self._calls.popleft()
            try:
                function()
            except BaseException as error:  # noqa: BLE001  (raised in the thread that asked for the call)
                with self._changed:
                    self._error = error
                    self._forget()
            with self._changed:
                self._waiting = max(0, self._waiting - size)
                self._changed.notify_all()

    def _forget(self) -> None:
        self._calls.clear()
        self._waiting = 0
        self._changed.notify_all()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error
