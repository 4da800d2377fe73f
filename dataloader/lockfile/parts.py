"""A lock file holds a lock for each of its platforms: which of them a command means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dataloader.base.errors import LockfileError
from dataloader.base.platforms import detect_platform
from dataloader.lockfile.model import Lockfile


def part_for(parts: Iterable[Lockfile], platform: str) -> Lockfile | None:
    """Return the lock for a platform, if there is one."""
    return next((part for part in parts if part.platform == platform), None)


def meant(parts: Sequence[Lockfile], platform: str | None, path: Path) -> Lockfile:
    """Return the lock that a command means: that of the platform it names, else the only one, else this machine's.

    Raises:
        LockfileError: ``lock-unfit``; there is none for the platform.
    """
    if platform is None and len(parts) == 1:
        return parts[0]
    wanted = platform or detect_platform()
    if (found := part_for(parts, wanted)) is not None:
        return found
    held = ", ".join(part.platform for part in parts)
    raise LockfileError(
        f"{path} is for {held}, and not for {wanted}",
        code="lock-unfit",
        suggestions=("name a platform that it is for, with --platform",) if len(parts) > 1 else (),
    )


def beside(parts: Iterable[Lockfile], new: Iterable[Lockfile]) -> tuple[Lockfile, ...]:
    """Return parts with newer ones in the place of those for their platforms, sorted by platform."""
    found = {part.platform: part for part in (*parts, *new)}
    return tuple(found[platform] for platform in sorted(found))
