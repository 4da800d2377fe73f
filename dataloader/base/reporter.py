"""The observer that stages speak to. Its methods do nothing by default; the CLI supplies those that print or write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from dataloader.base.errors import DataloaderError


class Reporter:
    """Receives what happens, in the order it happens. The core never prints."""

    def info(self, message: str) -> None:
        """Say what was detected or chosen, and why."""

    def warn(self, message: str) -> None:
        """Say what the user should know although the command goes on."""

    def debug(self, message: str) -> None:
        """Say what was decided on the way (shown with -v)."""

    def refused(self, error: DataloaderError) -> None:
        """Say why a request is refused, before changes to it that work are looked for."""

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """A piece of work begins. ``task`` identifies it; ``total`` is in ``unit`` (bytes or items)."""

    def advance(self, task: str, amount: int) -> None:
        """``amount`` more units of ``task`` are done."""

    def finish(self, task: str) -> None:
        """``task`` is done, or given up."""

    def event(self, event: str, **facts: object) -> None:
        """State a fact for programs: plain JSON values by name. docs/sync.md lists the events."""

    @contextmanager
    def stage(self, stage: str) -> Iterator[None]:
        """Tell programs when a stage of the work begins and ends, and how."""
        self.event("stage-started", stage=stage)
        began, is_ok = time.monotonic(), False
        try:
            yield
            is_ok = True
        finally:
            self.event("stage-finished", stage=stage, seconds=round(time.monotonic() - began, 3), ok=is_ok)


class Reporters(Reporter):
    """Several observers, told the same in turn."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def info(self, message: str) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.info(message)

    def warn(self, message: str) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.warn(message)

    def debug(self, message: str) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.debug(message)

    def refused(self, error: DataloaderError) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.refused(error)

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.start(task, label, total, unit)

    def advance(self, task: str, amount: int) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.advance(task, amount)

    def finish(self, task: str) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.finish(task)

    def event(self, event: str, **facts: object) -> None:
        """As Reporter."""
        for reporter in self._reporters:
            reporter.event(event, **facts)
