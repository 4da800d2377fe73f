"""A process that outlives this one, and is nobody's child."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress


def start_detached(command: Sequence[str]) -> None:
    """Run a command apart: not a child of this process, which may wait for all of those it has, nor its parent.

    Without room for a process it does not run.
    """
    with suppress(OSError):
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            return
        try:
            os.setsid()
            if os.fork() == 0:
                _leave_everything()
                os.execv(command[0], list(command))  # noqa: S606  (a program of ours)
        finally:
            os._exit(0)


def _leave_everything() -> None:
    """The terminal, the working directory and all open files are the other's."""
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
