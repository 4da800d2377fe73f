"""A lock file holds a lock for each platform of its environments: which of them a command means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dataloader.base.errors import LockfileError
from dataloader.base.platforms import detect_platform
from dataloader.lockfile.model import DEFAULT, Lockfile


def of_environment(parts: Iterable[Lockfile], name: str) -> tuple[Lockfile, ...]:
    """Return the locks for the platforms of an environment."""
    return tuple(part for part in parts if part.environment == name)


def part_for(parts: Iterable[Lockfile], platform: str, environment: str = DEFAULT) -> Lockfile | None:
    """Return the lock of an environment for a platform, if there is one."""
    return next((part for part in of_environment(parts, environment) if part.platform == platform), None)


def meant_environment(parts: Sequence[Lockfile], name: str | None, path: Path) -> tuple[Lockfile, ...]:
    """Return the locks of the environment that a command means: the one it names, else the only one, else the default.

    Raises:
        LockfileError: ``lock-unfit``; the file holds no such environment.
    """
    held = tuple(dict.fromkeys(part.environment for part in parts))
    wanted = name or (held[0] if len(held) == 1 else DEFAULT)
    if found := of_environment(parts, wanted):
        return found
    ways = [f"`dataloader lock -e {wanted}` locks it, where a manifest has it"] if name else []
    raise LockfileError(
        f"{path} holds the environment{'s' if len(held) > 1 else ''} {', '.join(held)}, and not {wanted}",
        code="lock-unfit",
        suggestions=(*ways, *(["name one that it holds, with --environment"] if len(held) > 1 or name else [])),
    )


def meant(parts: Sequence[Lockfile], platform: str | None, path: Path, environment: str | None = None) -> Lockfile:
    """Return the lock that a command means: that of the platform it names, else the only one, else this machine's.

    Raises:
        LockfileError: ``lock-unfit``; there is none for the platform, or the environment.
    """
    own = meant_environment(parts, environment, path)
    if platform is None and len(own) == 1:
        return own[0]
    wanted = platform or detect_platform()
    if (found := next((part for part in own if part.platform == wanted), None)) is not None:
        return found
    held = ", ".join(part.platform for part in own)
    raise LockfileError(
        f"{path} is for {held}, and not for {wanted}",
        code="lock-unfit",
        suggestions=("name a platform that it is for, with --platform",) if len(own) > 1 else (),
    )


def beside(parts: Iterable[Lockfile], new: Iterable[Lockfile]) -> tuple[Lockfile, ...]:
    """Return parts with newer ones in the place of those for their environments and platforms, in a lock's order."""
    found = {place_of(part): part for part in (*parts, *new)}
    return tuple(found[place] for place in sorted(found))


def place_of(part: Lockfile) -> tuple[bool, str, str]:
    """Return where a lock stands among others: the default environment first, then by names."""
    return part.environment != DEFAULT, part.environment, part.platform
