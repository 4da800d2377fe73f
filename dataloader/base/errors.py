"""The whole error tree and the exit codes; rendering lives in ``dataloader.cli``.

DataloaderError                 exit code
├── UsageError                  2  flags or arguments that do not fit together
│   ├── ManifestError           2  a manifest, requirement, environment or matrix file that cannot be read
│   ├── LockfileError           2  a lockfile that cannot be read
│   └── PrefixError             2  a prefix that cannot be used as asked (someone else's, read-only, ...)
├── ResolutionFailure           1  no solution; the causes are data
├── LockOutdated                1  the lock no longer fits what it was made from
├── BuildFailure                1  a source that cannot be built
├── ChangesNeeded               1  ``--check`` found work
├── Declined                    1  somebody was asked, and said no
├── WouldNotLoad                1  the packages contradict one another once their bytes are read
├── TryAgain                    3  the same command may succeed later
│   ├── IndexUnavailable        3  an index, a channel or a mirror did not answer
│   ├── PrefixBusy              3  another process holds the prefix
│   └── DiskFull                3  no room left on a volume
├── IntegrityError              4  bytes that are not what was promised
└── InternalError              70  a bug in us
"""

from __future__ import annotations

from enum import IntEnum

TYPE_CHECKING = False  # typing takes 10 ms to import
if TYPE_CHECKING:
    from typing import NoReturn


class ExitCode(IntEnum):
    """What a process that runs ``dataloader`` may rely on."""

    OK = 0
    NO = 1
    USAGE = 2
    RETRY = 3
    INTEGRITY = 4
    BUG = 70
    INTERRUPTED = 130


class DataloaderError(Exception):
    """A failure that is said to the user: what, where, and what to do next.

    Args:
        message: One sentence saying what failed and where.
        code: Stable kebab-case identifier, one anchor of docs/errors.md.
        causes: The facts that led here, most telling first.
        suggestions: What to try next, best first; commands where possible.
    """

    exit_code: ExitCode = ExitCode.BUG
    default_code: str = "internal-error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        causes: tuple[str, ...] = (),
        suggestions: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.causes = causes
        self.suggestions = suggestions
        self.told = False
        """Message and causes have reached the user; what to try is still to be said."""


class UsageError(DataloaderError):
    """Flags or arguments that do not fit together."""

    exit_code = ExitCode.USAGE
    default_code = "usage"


class ManifestError(UsageError):
    """A file that people write and that cannot be read; all its mistakes are in ``causes``."""

    default_code = "manifest-invalid"


class LockfileError(UsageError):
    """A lockfile that is missing or cannot be read."""

    default_code = "lockfile-invalid"


class PrefixError(UsageError):
    """A prefix that cannot be used as asked."""

    default_code = "prefix-unusable"


class ResolutionFailure(DataloaderError):
    """No set of packages meets all requirements and rules."""

    exit_code = ExitCode.NO
    default_code = "no-solution"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        causes: tuple[str, ...] = (),
        suggestions: tuple[str, ...] = (),
        untried: tuple[str, ...] = (),
        python_matters: bool = True,
    ) -> None:
        super().__init__(message, code=code, causes=causes, suggestions=(*untried, *suggestions))
        self.untried = untried
        """Suggestions that nobody has tried: said only where none is found that was."""
        self.python_matters = python_matters
        """Another Python may have packages."""


class LockOutdated(DataloaderError):
    """The lock no longer fits what it was made from; ``causes`` are the reasons."""

    exit_code = ExitCode.NO
    default_code = "lock-outdated"


class BuildFailure(DataloaderError):
    """A source that cannot be built; ``causes`` are the decisive lines of its log."""

    exit_code = ExitCode.NO
    default_code = "build-failed"


class ChangesNeeded(DataloaderError):
    """``--check`` found work to do."""

    exit_code = ExitCode.NO
    default_code = "changes-needed"


class Declined(DataloaderError):
    """Somebody was asked whether to go on, and said no."""

    exit_code = ExitCode.NO
    default_code = "declined"


class WouldNotLoad(DataloaderError):
    """The packages contradict one another once their bytes are read; ``causes`` say which and why."""

    exit_code = ExitCode.NO
    default_code = "would-not-load"


class TryAgain(DataloaderError):
    """The same command may succeed later."""

    exit_code = ExitCode.RETRY
    default_code = "try-again"


class IndexUnavailable(TryAgain):
    """An index, a channel or a mirror did not answer."""

    default_code = "index-unavailable"


class PrefixBusy(TryAgain):
    """Another process is changing the prefix."""

    default_code = "prefix-busy"


class DiskFull(TryAgain):
    """A volume has no room left."""

    default_code = "disk-full"


class IntegrityError(DataloaderError):
    """Bytes that are not what was promised: a wrong hash, a tampered archive."""

    exit_code = ExitCode.INTEGRITY
    default_code = "integrity"


class InternalError(DataloaderError):
    """A bug in us."""


def unreachable(value: NoReturn) -> NoReturn:
    """Stand where each kind has had its branch: mypy refuses what can get here (``assert_never`` of Python 3.11)."""
    raise AssertionError(f"{value!r} is handled nowhere")
