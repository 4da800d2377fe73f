"""Who made a temporary folder, so that another process can tell whether its maker is still at work."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

_MARK = ".owner"
_PATIENCE = 24 * 3600.0
"""Seconds after which a folder of a remote maker counts as abandoned."""

_UNMARKED_PATIENCE = 600.0
"""Seconds after which a folder without a note does: a living maker leaves it without one for an instant only."""


def identity() -> dict[str, str | int]:
    """This process. A process id alone means nothing in another boot or pid namespace, or once it is reused."""
    return {"boot": _boot(), "namespace": _namespace(), "pid": os.getpid(), "started": _started(os.getpid()) or ""}


def is_dead(owner: object) -> bool | None:
    """Whether that process has ended; ``None`` where this machine cannot tell."""
    if not isinstance(owner, dict) or not isinstance(owner.get("pid"), int):
        return None
    if owner.get("boot") != _boot() or owner.get("namespace") != _namespace():
        return None
    return _started(owner["pid"]) != owner.get("started")


def mark(folder: Path) -> None:
    """Leave a note of who is making ``folder``."""
    (folder / _MARK).write_text(json.dumps(identity()), encoding="utf-8")


def unmark(folder: Path) -> None:
    """Take the note away again: the folder is finished."""
    (folder / _MARK).unlink(missing_ok=True)


def is_abandoned(folder: Path) -> bool:
    """Whether nobody is making ``folder`` any more."""
    patience = _PATIENCE
    try:
        dead = is_dead(json.loads((folder / _MARK).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        dead, patience = None, _UNMARKED_PATIENCE
    if dead is not None:
        return dead
    try:
        return time.time() - folder.stat().st_mtime > patience
    except OSError:
        return False


def _boot() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot (proc(5), field 22); ``None`` when it has ended."""
    # The second field is a name in parentheses that may hold spaces and parentheses itself.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return None if not fields or fields[0] in {"Z", "X"} else fields[19]


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
