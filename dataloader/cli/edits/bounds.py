"""What is written of a name that was added without a version: bounds by what was chosen, as uv writes them."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Bounds: TypeAlias = Literal["lower", "major", "minor", "exact", "none"]

_NUMBERS = re.compile(r"(?:\d+!)?(\d+(?:\.\d+)*)")


def bounds_of(version: str, bounds: Bounds) -> str:
    """Return a specifier, which conda's match specs read too; empty where any version will do.

    >>> [bounds_of("1.26.4", kind) for kind in ("lower", "major", "minor", "exact")]
    ['>=1.26.4', '>=1.26.4,<2.0.0', '>=1.26.4,<1.27.0', '==1.26.4']
    >>> bounds_of("0.12.1", "major"), bounds_of("0.12.1", "minor")
    ('>=0.12.1,<0.13.0', '>=0.12.1,<0.12.2')
    """
    if bounds == "none":
        return ""
    if bounds == "exact":
        return f"=={version}"
    numbers = _NUMBERS.match(version)
    if bounds == "lower" or numbers is None:
        return f">={version}"
    epoch = version[: numbers.start(1)]
    return f">={version},<{epoch}{_next([int(part) for part in numbers[1].split('.')], bounds)}"


def _next(release: list[int], bounds: Bounds) -> str:
    """Return the first release that is too new: the first number that is not 0 says what is compatible."""
    first = next((place for place, number in enumerate(release) if number), None)
    further = 0 if bounds == "major" else 1
    place = 1 + further if first is None else first if first > 1 else first + further
    release = release + [0] * (place + 1 - len(release))
    return ".".join(map(str, [*release[:place], release[place] + 1, *(0 for _ in release[place + 1 :])]))
