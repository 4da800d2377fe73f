"""Libraries in the place of the NVIDIA driver's: stubs to link with, and those of a forward-compatibility package."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence

from dataloader.loader.system import version_tuple
from dataloader.machine.target import Target
from dataloader.verify.checks.loads import Situation
from dataloader.verify.findings import Finding, Severity
from dataloader.verify.loads import Verdict


def check_driver_libraries(
    verdicts: Sequence[Verdict], is_drivers: Callable[[str], bool], situation: Situation
) -> Iterator[Finding]:
    """One finding for each library that is loaded under a name of the driver's, and is not the driver's.

    Args:
        is_drivers: Whether a file is called as one of the driver's.
    """
    users: dict[str, list[str]] = {}
    for verdict in verdicts:
        for library in verdict.scope[1:]:
            path = os.path.normpath(library) if is_drivers(library.rpartition("/")[2]) else ""
            if path and (_is_stub(path) or _is_aside(path, situation)):
                users.setdefault(path, []).append(verdict.path)
    for path, files in sorted(users.items()):
        severity, message, evidence = _judged(path, situation.target)
        taken = f"for {len(files)} {'file' if len(files) == 1 else 'files'}, {files[0]} among them"
        yield Finding(
            severity=severity,
            kind="driver-replaced",
            path=situation.relative(path),
            message=message,
            evidence=(*evidence, taken),
            files=tuple(files),
        )


def _is_stub(path: str) -> bool:
    return "/stubs/" in path


def _is_aside(path: str, situation: Situation) -> bool:
    """Whether it lies where no driver is installed."""
    return path.startswith(f"{situation.prefix}/") or "/compat/" in os.path.realpath(path)


def _judged(path: str, target: Target) -> tuple[Severity, str, tuple[str, ...]]:
    name = path.rpartition("/")[2]
    if _is_stub(path):
        why = "a stub has no driver behind it: each call answers CUDA_ERROR_STUB_LIBRARY"
        return "warning", f"a stub of {name}, to link with, is loaded in the place of the driver's", (why,)
    found = re.search(r"\.so\.(\d+\.\d+(?:\.\d+)?)$", os.path.realpath(path))
    mine, theirs = version_tuple(found[1]) if found else None, version_tuple(target.driver or "")
    said = f" of driver {found[1]}" if found else ""
    if mine and theirs and mine < theirs:
        why = f"the machine has driver {target.driver}; forward compatibility takes libraries that are newer"
        return "warning", f"{name}{said} is loaded in the place of a newer driver's", (why,)
    why = "forward compatibility: it works on data centre GPUs, and needs a driver of a branch that it supports"
    return "note", f"{name}{said} is loaded in the place of the driver's", (why,)
