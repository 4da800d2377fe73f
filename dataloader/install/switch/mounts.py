"""Where volumes are mounted, and what kind of file system is on them (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path


def mounts() -> dict[str, str]:
    """The file system's type by mount point; bind mounts of one file system are told by nothing else."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return {}
    found = {}
    for line in lines:
        mount, _, source = line.partition(" - ")
        # What is mounted later at the same place hides what was there.
        found[_plain(mount.split(" ")[4])] = source.partition(" ")[0]
    return found


def file_system(folder: Path) -> str | None:
    """The type of the file system that a folder lies on; ``None`` where that is not told."""
    known = mounts()
    real = Path(os.path.realpath(folder))
    return next((known[str(path)] for path in (real, *real.parents) if str(path) in known), None)


def _plain(escaped: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), escaped)
