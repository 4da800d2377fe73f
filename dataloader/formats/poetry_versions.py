"""Poetry's versions in the words of PEP 440. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poetry.core.constraints.version import VersionConstraint


class _Range(ValueError):
    """Versions that PEP 440 has no words for."""


def specifier_of(constraint: VersionConstraint) -> str:
    """Return versions in the words of PEP 440.

    Raises:
        ValueError: they are several ranges, of which no series of versions between parts them.

    >>> from poetry.core.constraints.version import parse_constraint
    >>> [specifier_of(parse_constraint(c)) for c in ("^1.2", "~1.2.3", "*", ">=1,<2 || >=3,<4", "1.2.*")]
    ['>=1.2,<2.0', '>=1.2.3,<1.3.0', '', '>=1,<4,!=2.*', '==1.2.*']
    """
    from poetry.core.constraints.version import Version, VersionRange, VersionUnion

    if constraint.is_any():
        return ""
    if isinstance(constraint, Version):
        return f"=={constraint}"
    if isinstance(constraint, VersionRange):
        return str(constraint)
    if not isinstance(constraint, VersionUnion):
        raise _Range(f"no version can be {constraint}")
    if " || " not in str(constraint):
        return str(constraint)  # one range with holes of single versions or series, which PEP 440 has words for
    parts = list(constraint.ranges)
    if not all(isinstance(part, VersionRange) and not isinstance(part, Version) for part in parts):
        raise _Range(f"{constraint} are several ranges, which one requirement cannot say; keep one of them")
    hull = VersionRange(parts[0].min, parts[-1].max, parts[0].include_min, parts[-1].include_max)
    holes = [hole for low, high in pairwise(parts) for hole in _hole(low, high, str(constraint))]
    return ",".join(filter(None, [str(hull), *holes]))


def _hole(low: Any, high: Any, whole: str) -> Iterator[str]:
    """Yield the series that lie between two ranges: ``!=2.*`` between ``<2`` and ``>=3``."""
    start = str(low.max).removesuffix(".dev0").split(".")
    end = str(high.min).split(".")
    length = max(len(start), len(end))
    start, end = ([*part, *["0"] * (length - len(part))] for part in (start, end))
    same = next((at for at in range(length) if start[at] != end[at]), length)
    if same == length and high.include_min and not low.include_max:
        return  # nothing lies between
    series = all(part == "0" for part in (*start[same + 1 :], *end[same + 1 :]))
    if same == length or low.include_max or not series or not (start[same].isdigit() and end[same].isdigit()):
        raise _Range(f"{whole} are several ranges, which one requirement cannot say; keep one of them")
    for number in range(int(start[same]), int(end[same])):
        yield f"!={'.'.join([*start[:same], str(number)])}.*"
    if not high.include_min:
        yield f"!={high.min}"
