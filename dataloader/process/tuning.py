"""What this process asks of its interpreter and its allocator, to be faster; each says what it buys.

It is put back, but for what says why it stays. What ``__main__`` sets for its whole process stands there.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""
_TURN = 0.0005
"""Seconds for which a thread may keep the interpreter from others; Python's own are ten times as many."""


@contextmanager
def without_collecting() -> Iterator[None]:
    """Collect no cycles meanwhile. A solve makes a great many long-lived values: walking them costs a quarter of it.

    Nor are they walked later, all at once, when it is over: 60 ms of a lock.
    """
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            gc.freeze()
            gc.enable()


@contextmanager
def short_turns() -> Iterator[None]:
    """Have threads hand the interpreter over sooner: 0.5 to 0.7 s of a cold install of 4.7 GB.

    Those who unpack are back from inflating and writing every few milliseconds, and a processor idles for as long as
    one of them waits.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def keep_freed() -> None:
    """For the whole process: let glibc keep what is freed for the next block of that size, rather than give it back.

    Blocks of a megabyte come and go by the thousand while wheels are unpacked by several threads; given back each time,
    every page of them is faulted in again: 300,000 faults for 4.7 GB, and 50,000 so. Other C libraries have no such
    parameter, and none can tell what it was before, so it stays.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
        mallopt(_TRIM_THRESHOLD, 256 << 20)
