"""Who is at work on something temporary, so that another process can tell whether that one still lives."""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from pathlib import Path

_SIGNATURE = re.compile(r"\.(\d+)-(\d+)-([0-9a-f]{8})")


_found_dead: set[str] = set()
"""Signatures of processes of other machines and containers that gave no sign of life for long enough."""


def is_dead(signature: str) -> bool | None:
    """Whether who signed it (``signed``) has ended; ``None`` where this machine cannot tell.

    A process id alone means nothing in another boot or pid namespace, or once it is reused.
    """
    found = _SIGNATURE.search(signature)
    if found is None:
        return None
    if found[3] != _machine():
        return True if found[0] in _found_dead else None
    return _started(int(found[1])) != found[2]


def declare_dead(signature: str) -> None:
    """Take it from now on that who signed it has ended: somebody has waited for a sign of life, once for all."""
    _found_dead.add(signature_of(signature))


def pid_of(signature: str) -> int | None:
    """The id of the process that signed it, by its own count."""
    found = _SIGNATURE.search(signature)
    return int(found[1]) if found else None


def signature_of(name: str) -> str:
    """What in a signed name stands for the process that made it; empty where there is nothing."""
    found = _SIGNATURE.search(name)
    return found[0] if found else ""


def began_at(pid: int) -> float:
    """When a process of this machine began, in seconds since the epoch; now, where that cannot be told."""
    ticks, up = _started(pid), _read("/proc/uptime").split()
    if ticks is None or not up:
        return time.time()
    return time.time() - float(up[0]) + int(ticks) / os.sysconf("SC_CLK_TCK")


def signed(name: str) -> str:
    """A unique name for something temporary that says who made it: in the name itself, so that it is never without."""
    pid = _own_pid()
    return f"{name}{uuid.uuid4().hex[:12]}.{pid}-{_started(pid) or 0}-{_machine()}"


def volume_time(probe: Path) -> float:
    """The time by the clock that stamps what is touched where ``probe``, a new file, is made for a moment.

    This machine's, where that cannot be told.
    """
    try:
        probe.touch()
        moment = probe.lstat().st_mtime
        probe.unlink()
    except OSError:
        return time.time()
    return moment


def _own_pid() -> int:
    """The id of this process as /proc counts, where others look it up: in a container it may be of the machine's."""
    try:
        return int(Path("/proc/self").readlink().name)
    except (OSError, ValueError):
        return os.getpid()


def _machine() -> str:
    return hashlib.sha256(f"{_boot()} {_namespace()}".encode()).hexdigest()[:8]


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
