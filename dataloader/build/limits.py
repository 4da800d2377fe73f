"""How much a build may take of this machine: time, memory and processors."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from dataloader.base.errors import UsageError
from dataloader.base.values import dataclass
from dataloader.machine.host import available_processors

KEYS = ("timeout", "memory", "jobs")
"""Of [build] in a manifest; a variable of each (DATALOADER_BUILD_TIMEOUT, ...) is of a machine, and wins."""
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TIME = 3 * 3600.0
"""Seconds, where nobody says otherwise: flash-attn takes an hour or two of many processors."""
_SHARE = 0.9
"""Of this machine's memory, or of what its container may have, where nobody says otherwise."""
_A_JOB = 2 << 30
"""Bytes that a compiler of C++ or CUDA may need: no more of them are asked for than these fit into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a build may take."""

    seconds: float = _TIME
    """That one backend may run at a time."""
    memory: int | None = None
    """Bytes, of all its processes together; ``None``: nothing is known of this machine's."""
    jobs: int = 1
    """Compilers that it is told to run side by side."""


def limits_of(said: Mapping[str, str], environ: Mapping[str, str]) -> Limits:
    """Return the limits that a manifest, or in its place a variable, says.

    Raises:
        UsageError: ``setting-invalid``.
    """
    values = {}
    for key in KEYS:
        variable = f"DATALOADER_BUILD_{key.upper()}"
        text = environ.get(variable) or said.get(key)
        if text is not None:
            values[key] = read_limit(key, text, variable if environ.get(variable) else f"[build] {key}")
    memory = values.get("memory", _most_memory())
    fitting = max(1, int(memory // _A_JOB)) if memory else 1
    return Limits(
        seconds=values.get("timeout", _TIME),
        memory=int(memory) if memory else None,
        jobs=int(values.get("jobs", min(available_processors(), fitting))),
    )


def read_limit(key: str, text: str, where: str) -> float:
    """Return a limit as a number: seconds, bytes or processes.

    >>> read_limit("timeout", "90m", "x"), read_limit("memory", "8 GiB", "x"), read_limit("jobs", "4", "x")
    (5400.0, 8589934592.0, 4.0)

    Raises:
        UsageError: ``setting-invalid``.
    """
    pattern, examples = {
        "timeout": (r"(?P<number>\d+(?:\.\d+)?) *(?P<unit>[smh]?)", "90m, 2h, 600s"),
        "memory": (r"(?P<number>\d+(?:\.\d+)?) *(?P<unit>[kmgt]?)(?:i?b)?", "8GiB, 500MB"),
        "jobs": (r"(?P<number>[1-9]\d*)(?P<unit>)", "4"),
    }[key]
    found = re.fullmatch(pattern, text.strip().lower())
    number = float(found["number"]) if found else 0.0
    if found is None or number <= 0:
        raise UsageError(
            f"{where}: {text!r} is no {'number' if key == 'jobs' else 'time' if key == 'timeout' else 'size'}",
            code="setting-invalid",
            suggestions=(f"write it like {examples}",),
        )
    units = {"timeout": _SECONDS, "memory": _BYTES}.get(key, {})
    return number * units.get(found["unit"], 1)


def _most_memory() -> float | None:
    """Return bytes of memory that there are for all programs of this machine, or of this container."""
    try:
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None
    found = [whole]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        found += [int(text)] if text.isdigit() else []
    return min(found) * _SHARE


def memory_of(processes: Mapping[int, int] | set[int] | list[int]) -> int:
    """Return the bytes of memory that processes hold; those that have ended hold none."""
    page, pages = os.sysconf("SC_PAGE_SIZE"), 0
    for pid in processes:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * page
