"""How many examples a property is held against."""

from __future__ import annotations

import os

_WANTED = os.environ.get("EXAMPLES")


def examples(few: int) -> int:
    """``few`` in the suite, which is for every day; as many as EXAMPLES says in ``nox -s properties``."""
    return int(_WANTED or few)
