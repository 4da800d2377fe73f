"""Which environment a command is about, and what is seen to before something runs in it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from dataloader.base.errors import LockfileError, PrefixError
from dataloader.cli.stages.session import Session

if TYPE_CHECKING:
    from dataloader.lockfile.model import Lockfile

ACTIVE = ("VIRTUAL_ENV", "CONDA_PREFIX")
"""Variables that name the environment that is active in a shell."""


def prefix_of(session: Session) -> Path:
    """Return the prefix a command is about: ``--prefix``, else that of the manifest or the working directory.

    Where none of them is there, it is the environment that is active in the shell; that is said.
    """
    from dataloader.request.places import manifest_path, prefix_path

    prefix = prefix_path(session.options, session.here)
    if (
        session.options.prefix is not None
        or prefix.exists()
        or manifest_path(session.options, session.here) is not None
    ):
        return prefix
    active = _active(session)
    if active is None:
        return prefix
    session.reporter.info(f"using the environment that is active: {active}")
    return Path(active)


def lock_of(session: Session) -> Path:
    """Return the lock that a command reads, which is found as :func:`prefix_of` finds the environment.

    That of an environment that is named, or active, is the lock that it was made from.

    Raises:
        LockfileError: of an environment that is named it is not known, or gone.
    """
    from dataloader.prefix.locate import lock_noted
    from dataloader.request.places import lock_path, manifest_path

    options = session.options
    if options.prefix is not None and options.lockfile is None:
        if (noted := lock_noted(options.prefix)) is None:
            raise LockfileError(
                f"the lock that {options.prefix} was made from is not known, or gone",
                suggestions=("name it with --lockfile",),
            )
        return Path(noted)
    path = lock_path(options, session.here)
    if options.lockfile is not None or path.exists() or manifest_path(options, session.here) is not None:
        return path
    active = _active(session)
    noted = lock_noted(active) if active is not None else ""
    if not noted:
        return path
    session.reporter.info(f"using the lock of the environment that is active: {noted}")
    return Path(noted)


def part_of(session: Session) -> Lockfile:
    """Return the lock that a command reads, for the environment and the platform that it means.

    Raises:
        LockfileError: as :func:`lock_of`; or ``lock-unfit``.
    """
    from dataloader.lockfile.yaml import read_lock

    path = lock_of(session)
    return read_lock(path, session.options.platform, environment_meant(session, path))


def one_of(session: Session, path: Path) -> tuple[Lockfile, tuple[Lockfile, ...]]:
    """Return the lock of a file that a command means, and those that it says nothing of and leaves out.

    Raises:
        LockfileError: ``lock-unfit``; or the file cannot be read.
    """
    from dataloader.lockfile.parts import meant, of_environment
    from dataloader.lockfile.yaml import read_locks

    parts, named = read_locks(path), environment_meant(session, path)
    lock = meant(parts, session.options.platform, path, named)
    own = parts if named is None else of_environment(parts, lock.environment)
    others = [part for part in own if part is not lock]
    if session.options.platform is not None:
        others = [part for part in others if part.platform == lock.platform]
    return lock, tuple(others)


def say_left_out(session: Session, what: str, lock: Lockfile, others: Collection[Lockfile]) -> None:
    """Warn of locks that have no place in what holds only one."""
    if others:
        names = {part.environment for part in (lock, *others)}
        several = len({(part.environment, part.platform) for part in others if part.environment == lock.environment})
        told = [part.platform if len(names) == 1 else f"{part.environment} on {part.platform}" for part in others]
        ways = [*(["--platform"] if several else []), *(["--environment"] if len(names) > 1 else [])]
        place = "one platform" if len(names) == 1 else "one environment on one platform"
        own = lock.platform if len(names) == 1 else f"{lock.environment} on {lock.platform}"
        session.reporter.warn(
            f"{what} holds {place}, {own}; left out: {', '.join(told)} ({' and '.join(ways)} names one)"
        )


def environment_meant(session: Session, lock: Path) -> str | None:
    """Return what the environment that a command means is called in a lock; ``None``: it means no special one.

    An environment that is named by its folder knows what it is.
    """
    from dataloader.prefix.state import read_state
    from dataloader.request.places import environment_in

    if session.options.environment is not None:
        return environment_in(session.options, session.here, lock)
    prefix = session.options.prefix
    state = read_state(prefix) if prefix is not None and session.options.lockfile is None else None
    return state.environment if state is not None else None


def _active(session: Session) -> str | None:
    """Return the environment that is active in the shell."""
    return next((path for name in ACTIVE if (path := session.environ.get(name)) and Path(path).is_dir()), None)


def home_of(prefix: Path) -> Path:
    """The generation that a link leads to now, where it will stay; any other prefix as it is."""
    from dataloader.prefix.pin import generation_of

    return Path(generation_of(os.path.abspath(prefix)) or prefix)  # noqa: PTH100  (the link is what is asked about)


def hold(prefix: Path) -> None:
    """Tell ``prune``, on whatever machine, that this process uses a generation."""
    from dataloader.prefix.pin import generation_of

    if generation_of(str(prefix)) is None:
        return
    from dataloader.install.switch.jobs import take_lease

    take_lease(prefix)
    if not prefix.is_dir():  # removed between the first look and the lease
        raise PrefixError(
            f"{prefix} has just been removed",
            code="prefix-missing",
            suggestions=("run the command again, by the link that leads to the current generation",),
        )


def check_python(prefix: Path) -> None:
    """Refuse an environment whose Python is gone: the next one on PATH would run in its place.

    Raises:
        PrefixError: ``python-missing``.
    """
    from dataloader.prefix.python import missing_python

    if why := missing_python(prefix):
        raise PrefixError(
            f"the Python of {prefix} is gone",
            code="python-missing",
            causes=(why,),
            suggestions=("`dataloader sync` builds the environment on a Python that is there",),
        )
