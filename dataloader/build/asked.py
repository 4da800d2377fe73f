"""Wheels that a build had to make to say what it needs: a backend without metadata of its own compiles all of it.

Such a wheel is kept for an hour, until it is installed, so that nothing is compiled twice.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

FOLDER = "asked"
"""Below the cache: ``<sha256>.<name of the wheel>``."""


def mark_of(digest: str, python: str, requires: Iterable[str], against: Mapping[str, str]) -> str:
    """Return what a wheel is kept under: all that decides what comes of its build.

    Args:
        digest: Stands for the bytes of the source.
        python: ``"3.11"``.
        requires: What the build was given beyond what it asks for.
        against: The frameworks, and NumPy, that it was compiled against, to their versions.
    """
    said = (digest, python, *sorted(requires), *(f"{name}=={version}" for name, version in sorted(against.items())))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def keep(cache: Path, mark: str, wheel: Path) -> None:
    """Keep a wheel; the file is moved."""
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    wheel.replace(folder / f"{mark}.{wheel.name}")


def taken(cache: Path, mark: str, into: Path) -> Path | None:
    """Move the wheel that is kept into a folder, under its own name; ``None`` where there is none."""
    for kept in (cache / FOLDER).glob(f"{mark}.*.whl"):
        wheel = into / kept.name.removeprefix(f"{mark}.")
        try:
            shutil.move(kept, wheel)
        except FileNotFoundError:  # another process was quicker
            return None
        return wheel
    return None
