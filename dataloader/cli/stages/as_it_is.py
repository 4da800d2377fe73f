"""A lock that is taken as it is: what a command says besides can have no effect then, and is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataloader.base.errors import LockfileError, UsageError

if TYPE_CHECKING:
    from dataloader.cli.line.options import CommonOptions
    from dataloader.cli.stages.session import Session
    from dataloader.lockfile.model import Lockfile
    from dataloader.request.manifests.manifest import Manifest
    from dataloader.request.request import Request

_OF_SOLVING = (
    *("requirements", "files", "extra", "group", "all_extras", "channels", "conda"),
    *("prerelease", "only_binary", "no_binary", "build", "exclude_newer", "fix", "skip_unbuildable"),
)
"""Options that have a say in what a lock holds, and in nothing else."""


def check_nothing_to_solve(options: CommonOptions, when: str, *, manifest: Manifest | None = None) -> None:
    """Refuse what has a say in what a lock holds.

    Args:
        options: What was said.
        when: When a lock is taken as it is.
        manifest: What the lock could be made anew from.

    Raises:
        UsageError: ``usage``.
    """
    if said := options.spelled(_OF_SOLVING):
        raise UsageError(
            f"a sync {when} takes the lock as it is: {', '.join(said)} can have no effect",
            suggestions=(
                "leave it out",
                *(["`dataloader lock` takes it, and writes the lock anew"] if manifest else []),
            ),
        )


def own_part(session: Session, request: Request) -> Lockfile:
    """Return the lock as it is, for the platform that is named or this machine's.

    Raises:
        LockfileError: it is missing, or cannot be read; ``lock-unfit``.
    """
    from dataloader.lockfile.parts import meant, meant_environment, part_for
    from dataloader.lockfile.yaml import read_locks

    named = session.options.platform
    parts = meant_environment(read_locks(request.lockfile), _named(session, request), request.lockfile)
    if named is not None and part_for(parts, named, parts[0].environment) is None:
        raise _unfit(request, ", ".join(part.platform for part in parts), named)
    return meant(parts, named, request.lockfile)


def _named(session: Session, request: Request) -> str | None:
    """Return what the environment that is named is called in the lock."""
    return request.environment if session.options.environment is not None else None


def check_platform(session: Session, request: Request, lock: Lockfile) -> None:
    """Refuse a lock that is not for the platform that is named, or for one that nothing is installed on.

    Raises:
        LockfileError: ``lock-unfit``.
    """
    check_installable(lock.platform)
    if session.options.platform is not None and session.options.platform != lock.platform:
        raise _unfit(request, lock.platform, session.options.platform)


def check_installable(platform: str, *ways: str) -> None:
    """Refuse a platform that nothing is installed on; ``ways`` are what to do instead, before the export for pixi.

    Raises:
        LockfileError: ``lock-unfit``.
    """
    if platform.startswith("linux-"):
        return
    export = "`dataloader export pixi.lock` writes it for pixi, which installs on macOS and Windows"
    raise LockfileError(
        f"what is locked for {platform} is not installed here: environments are made on Linux alone",
        code="lock-unfit",
        suggestions=(*ways, export),
    )


def _unfit(request: Request, held: str, named: str) -> LockfileError:
    return LockfileError(
        f"{request.lockfile} is for {held}, and not for {named}",
        code="lock-unfit",
        suggestions=(f"`dataloader lock --platform {named}` makes one that is",) if request.manifest else (),
    )
