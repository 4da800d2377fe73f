"""A fork of this process that answers yes or no."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from collections.abc import Callable


def fork(job: Callable[[], bool]) -> int:
    """Do ``job`` in a process that ends with 0 if it says so. Returns its id; 0 where there is none."""
    if "threading" in sys.modules and sys.modules["threading"].active_count() > 1:
        return 0
    try:
        child = os.fork()
    except OSError:
        return 0
    if not child:
        status = 1
        try:
            status = 0 if job() else 1
        finally:
            os._exit(status)  # whatever happened: the process that asked will meet it again, and say so
    return child
