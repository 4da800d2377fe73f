"""Conditions behind ``;`` (PEP 508) joined and negated, by poetry-core's algebra of them. Pure."""

from __future__ import annotations

from dataloader.base.values import dataclass


@dataclass(frozen=True, slots=True)
class Condition:
    """When something holds: a marker, always (``None``), or never."""

    text: str | None = None
    never: bool = False

    def and_(self, other: str | None, *, negated: bool = False) -> Condition:
        """Return when both hold; with ``negated``, when the other does not.

        >>> Condition("sys_platform == 'linux'").and_("python_version >= '3.9'", negated=True).text
        'sys_platform == "linux" and python_version < "3.9"'
        >>> Condition("sys_platform == 'linux'").and_("sys_platform == 'linux'", negated=True).never
        True
        """
        from poetry.core.version.markers import parse_marker

        second = parse_marker(other or "")
        joined = parse_marker(self.text or "").intersect(second.invert() if negated else second)
        if self.never or joined.is_empty():
            return Condition(never=True)
        return Condition(None if joined.is_any() else str(joined))
