"""How to verify."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from dataloader.prefix.records import InstalledPackage, RecordedFile


def no_original(_: InstalledPackage, __: RecordedFile) -> None:
    """Nothing is left of it."""


class Windows(NamedTuple):
    """Who knows with which releases of a framework a package loads."""

    find: Callable[[Path, InstalledPackage, str], tuple[str, tuple[str, ...]]]
    """Of a prefix, a package of it and a framework: in words, and the releases, oldest first; empty for not known."""
    kept_in: str
    """The folder that it reads."""


class Progress(Protocol):
    """Who is told how far the hashing is, which takes as long as reading all files."""

    def start(self, task: str, label: str, total: int | None, unit: str = "bytes") -> None: ...
    def advance(self, task: str, amount: int) -> None: ...
    def finish(self, task: str) -> None: ...


class VerifyOptions(NamedTuple):
    """How to verify."""

    cache: Path | None = None
    """Directory of the facts cache; ``None`` keeps nothing."""
    hashes: bool = True
    """Hash every file that changed since the last run; without, sizes alone are compared."""
    rehash: bool = False
    """Hash those too that seem not to have changed."""
    library_path: tuple[str, ...] = ()
    """What the environment's own activation puts before LD_LIBRARY_PATH (absolute directories)."""
    variables: tuple[tuple[str, str], ...] = ()
    """Variables of the process that will run, of those in :data:`dataloader.prefix.variables.COUNTED`."""
    variables_of: str = ""
    """Whose they are, for messages: ``this shell``."""
    unread: tuple[str, ...] = ()
    """Activation scripts that set some of them to what cannot be told."""
    jobs: int | None = None
    """Processes that read files; ``None``: one for each core."""
    reuse: bool = False
    """Give the last report again, without verdicts, when nothing that it depends on has changed (needs ``cache``)."""
    asked: str = ""
    """What stands for the lock when the last report is looked for: its digest; else the lock itself does."""
    described: bool | None = None
    """Judge for the target's description instead of this machine's libraries; ``None``: when they differ."""

    matrix: Path | None = None
    """File with rows on top of the compatibility matrix, whose rules count too."""

    original_of: Callable[[InstalledPackage, RecordedFile], Path | None] = no_original
    """Gives a file as a package installed it, of one that was changed since; ``None`` where there is none any more."""

    windows: Windows | None = None
    """Asked where a package was built for another release of a framework; ``None``: nobody is."""

    progress: Progress | None = None
    """Told of the hashing where nothing is known of a prefix yet; ``None``: nobody is."""

    @property
    def process(self) -> tuple[object, ...]:
        """All that is said of the process that will run."""
        return self.library_path, self.variables, self.variables_of, self.unread
