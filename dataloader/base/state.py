"""The state of a file on this machine: device, inode, size, times, links. It changes whenever the content may have."""

from __future__ import annotations

import os
import stat
from operator import attrgetter

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final, TypeAlias


State: TypeAlias = tuple[int, int, int, int, int, int]
"""Device, inode, size, time of modification, of change (both in nanoseconds), links: identity and state of a file on
this machine, which changes whenever its content may have changed."""


state_of: Final[Callable[[os.stat_result], State]] = attrgetter(
    "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns", "st_nlink"
)
"""The state of a file that was looked at."""


def states_of(prefix: str | os.PathLike[str], paths: Iterable[str]) -> dict[str, State]:
    """The states of regular files of a prefix; those that are gone, or are something else, are left out."""
    found: dict[str, State] = {}
    for path in paths:
        try:
            status = os.lstat(f"{os.fspath(prefix)}/{path}")
        except (OSError, ValueError):
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = state_of(status)
    return found


def text_of(state: State) -> str:
    """One line; also a key of the cache."""
    return "-".join(map(str, state))


def state_at(path: str) -> str:
    """The state of what is at ``path``, links followed, as text; ``""`` when nothing is there."""
    try:
        return text_of(state_of(os.stat(path)))  # noqa: PTH116 - thousands of times
    except (OSError, ValueError):
        return ""


def states_at(paths: Iterable[str]) -> dict[str, str]:
    """The state of each path."""
    return {path: state_at(path) for path in paths}
