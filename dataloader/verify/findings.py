"""What verify says: findings. Values only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from dataloader.loader.model import FailureKind

Severity: TypeAlias = Literal["error", "warning", "note"]

OwnKind: TypeAlias = Literal[
    "mounted-noexec",
    "driver-replaced",
    "python-missing",
    "import-not-followed",
    "cannot-open",
    "file-changed",
    "file-missing",
    "clobbered-path",
    "unreadable-record",
    "record-differs",
    "path-missing",
    "interpreter-missing",
    "two-versions",
    "python-path-takes-over",
    "locked-package-missing",
    "locked-version-differs",
    "extraneous-package",
    "unmet-requirement",
    "matrix-rule",
    "numpy-abi",
    "two-cuda-stacks",
    "two-openmp-runtimes",
    "duplicate-soname",
    "two-copies",
    "split-family",
    "no-gpu-code",
    "ptx-only",
    "ptx-too-new",
    "driver-too-old",
    "minor-version-compatibility",
    "library-path-takes-over",
    "needs-library-path",
    "activation-not-followed",
]
"""What is found beside what keeps a file from loading. Stable: reports of other versions name them."""

FindingKind: TypeAlias = "FailureKind | OwnKind"


class Finding(NamedTuple):
    """One result of verify.

    error: breaks importing a package or one of its extension modules, or a part that the stack asked for.
    warning: an optional part cannot load. note: worth knowing.
    """

    severity: Severity
    kind: FindingKind
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
