"""What verify says: findings. Values only."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "note"]


class Finding(NamedTuple):
    """One result of verify.

    error: breaks importing a package or one of its extension modules, or a part that the stack asked for.
    warning: an optional part cannot load. note: worth knowing.
    """

    severity: Severity
    kind: str
    """Stable kebab-case: ``missing-library``, ``version-not-provided``, ``file-changed``, ..."""
    path: str
    """Relative to the prefix, with ``/``."""
    message: str
    evidence: tuple[str, ...] = ()
    fix: str | None = None
    """A command, where there is one."""
    alternatives: tuple[str, ...] = ()
    """Other commands, each of which may mend it by itself."""
    files: tuple[str, ...] = ()
    """Every file that it is about, where ``path`` is not the only one; text shows some, JSON and SARIF all."""
