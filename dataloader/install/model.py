"""What a sync is asked and what it answers; frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from dataloader.base.names import World
from dataloader.base.values import dataclass

if TYPE_CHECKING:
    from rattler.networking.client import Client

    from dataloader.base.reporter import Reporter
    from dataloader.index.web.part import Sink
    from dataloader.lockfile.model import PypiPackage
    from dataloader.machine.interpreters import Interpreter


def nowhere(_: str) -> bool:
    """No file is at hand."""
    return False


class Downloader(Protocol):
    """Fetches one file, checked by hash, resumed where the server allows it (``IndexClient.download``)."""

    async def __call__(
        self, url: str, sha256: str | None, size: int | None, destination: Path, task: str, sink: Sink | None = None
    ) -> None:
        """Write ``url`` to ``destination``, to ``sink``, or to both; report progress as ``task``.

        Raises:
            IntegrityError: on a wrong hash.
        """


class BuiltWheel(NamedTuple):
    """The wheel of a source."""

    path: Path
    is_fetched: bool = False
    """Whether it was built elsewhere."""


class WheelBuilder(Protocol):
    """Makes wheels of sources."""

    async def __call__(self, package: PypiPackage, folder: Path) -> BuiltWheel:
        """Build the wheel of a locked source below an empty folder, or fetch one that was built elsewhere; judge it.

        Raises:
            BuildFailure: it cannot be built.
            IntegrityError: the source, or what comes of it, is not what was locked.
        """


class Prover(Protocol):
    """Looks at a tree before anything is switched to it."""

    def foresee(self, libraries: Mapping[str, str]) -> None:
        """Get to know what the tree will hold. Returns at once.

        Args:
            libraries: Absolute path of what is named like a library -> key of its facts, which
                stands for its content.
        """

    def prove(self, tree: Path, libraries: Mapping[str, str]) -> None:
        """Look at the finished tree; raises where it must not be. To be called in a thread.

        Args:
            libraries: As above, but paths are relative to the tree.
        """


class Filling(Protocol):
    """Fills a tree from elsewhere than indexes and channels: an image."""

    @property
    def names(self) -> frozenset[str]:
        """What the cache calls what is needed of it."""

    async def fill(self, tree: Path, options: SyncOptions, reporter: Reporter, *, pinned: bool) -> int:
        """Make an empty folder the finished environment; bytes that were fetched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncOptions:
    """How a prefix is made to match a lock."""

    cache_dir: Path
    """The writable cache: ``wheels/`` (the wheel store), ``pkgs/`` (conda packages), ``downloads/``."""
    layers: tuple[Path, ...] = ()
    """Read-only caches of the same layout, asked in order after the writable one."""
    interpreter: Interpreter | Path | None = None
    """The Python of this machine to build on, for a lock whose Python is ``host``."""
    target_prefix: Path | None = None
    """The path written into files where the environment will be mounted elsewhere; ``None``: the prefix itself."""
    prover: Callable[[], AbstractContextManager[Prover]] | None = None
    """Entered when a tree is begun."""
    confirm: Callable[[InstallPlan], None] | None = None
    """Told what is to be done before anything is; raises where it may not be."""
    along: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered around the step that makes the new environment the current one: what goes with it is put in place there,
    and put back where the step fails."""
    lock_digest: str | None = None
    """sha256 of the lock file's bytes (``status.lock_digest``), to see at once next time that nothing changed."""
    lockfile: Path | None = None
    """Where the lock is, noted in the environment: it follows that lock wherever a command is typed."""
    manifest: Path | None = None
    """The manifest that the lock was made from, noted too."""
    build: WheelBuilder | None = None
    """What makes the wheels of sources."""
    conda_client: Client | None = None
    """rattler's HTTP client, with the credentials and mirrors of conda channels."""
    offline: bool = False
    at_hand: Callable[[str], bool] = nowhere
    """Whether a file of this address lies in a folder of this machine, so that no network is needed for it."""
    bundled: bool = False
    """Every archive comes by the downloader, wherever its URL leads."""
    check: bool = False
    """Change nothing; raise ``ChangesNeeded`` when there is something to do."""
    dry_run: bool = False
    """Change nothing; return the plan."""
    rebuild: bool = False
    """Make the tree anew though nothing differs: what somebody changed in place is put right."""
    strict_records: bool = False
    """Refuse a wheel of which a member has another hash than the wheel's own RECORD says."""
    adopt: bool = False
    """Take over a conda or venv environment that another tool made."""
    durable: bool = False
    """Wait before the switch until all is on the disk, so that a power loss leaves the old or the new."""
    compile_bytecode: bool = False
    """Write ``__pycache__`` for every module now rather than at first import."""
    wait_seconds: float = 1800.0
    """How long to wait for another process that is changing the same prefix."""
    filling: Filling | None = None
    """What fills the tree; ``None``: the stores, from indexes and channels."""
    downloads: int = 6
    """How many files are fetched at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens to one package, and why."""

    kind: World
    name: str
    old: str | None
    new: str | None
    reason: str
    size: int | None = None
    """Bytes of the archive of ``new``, where known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallPlan:
    """The steps from what is installed to what is locked, each sorted by kind and name."""

    install: tuple[Step, ...] = ()
    replace: tuple[Step, ...] = ()
    remove: tuple[Step, ...] = ()
    keep: tuple[Step, ...] = ()
    rebuild: tuple[str, ...] = ()
    """Why the tree has to be made anew although no package changes (another interpreter, another target path, ...)."""
    python: tuple[str, str] | None = None
    """Versions of this machine's Python that the environment stands on and will stand on, where they differ."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.install or self.replace or self.remove or self.rebuild)

    def facts(self) -> dict[str, object]:
        """The event ``planned``."""
        size = sum(step.size or 0 for step in (*self.install, *self.replace))
        return {
            "packages": len(self.install) + len(self.replace) + len(self.keep),
            "install": len(self.install),
            "replace": len(self.replace),
            "remove": len(self.remove),
            "keep": len(self.keep),
            "rebuild": list(self.rebuild),
            "bytes": size,
        }

    def summary(self, *, done: bool = False) -> str:
        """One line for people: ``2 to install, 1 to remove, 40 kept``, or what was ``done``: ``2 installed, ...``."""
        words = ("installed", "replaced", "removed") if done else ("to install", "to replace", "to remove")
        counts = (
            (len(self.install), words[0]),
            (len(self.replace), words[1]),
            (len(self.remove), words[2]),
            (len(self.keep), "kept"),
        )
        return ", ".join(f"{count} {word}" for count, word in counts if count) or "no packages"


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a sync did."""

    plan: InstallPlan
    changed: bool
    downloaded_bytes: int = 0
    seconds: float = 0.0
    held: str | None = None
    """Why the environment was left as it was though it does not match: a rollback holds it."""
    warnings: tuple[str, ...] = ()
