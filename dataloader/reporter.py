"""The observer that stages speak to. Its methods do nothing by default; the CLI supplies one that prints."""

from __future__ import annotations


class Reporter:
    """Receives what happens, in the order it happens. The core never prints."""

    def info(self, message: str) -> None:
        """Say what was detected or chosen, and why."""

    def warn(self, message: str) -> None:
        """Say what the user should know although the command goes on."""

    def debug(self, message: str) -> None:
        """Say what was decided on the way (shown with -v)."""

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None:
        """A piece of work begins. ``task`` identifies it; ``total`` is in ``unit`` (bytes or items)."""

    def advance(self, task: str, amount: int) -> None:
        """``amount`` more units of ``task`` are done."""

    def finish(self, task: str) -> None:
        """``task`` is done, or given up."""
