"""Work that one thread leaves to others, done in order and not far behind."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor

_FAR = 4 << 20
"""Bytes that wait to be worked on, at most; then who brings more waits too."""


class Behind:
    """A queue of calls that some thread of a pool makes, one after the other."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._calls: deque[tuple[Callable[[], object], int]] = deque()
        self._waiting = 0
        """Bytes that the calls hold."""
        self._is_at_work = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def call(self, function: Callable[[], object], size: int = 0) -> None:
        """Have ``function``, which holds ``size`` bytes, called after those before it.

        Raises:
            Exception: what an earlier one raised; no more of them is called.
        """
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
