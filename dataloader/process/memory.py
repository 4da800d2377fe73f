"""What the allocator does with memory that is freed."""

from __future__ import annotations

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Parameters of mallopt(3)."""


def keep_freed() -> None:
    """Let glibc keep what is freed for the next block of that size, rather than give it back.

    Blocks of a megabyte come and go by the thousand while wheels are unpacked by several threads; given back each time,
    every page of them is faulted in again: 300,000 faults for 4.7 GB, and 50,000 so. Other C libraries have no such
    parameter.
    """
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the largest that it takes
        mallopt(_TRIM_THRESHOLD, 256 << 20)
