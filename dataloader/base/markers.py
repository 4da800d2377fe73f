"""The environment that PEP 508 markers are evaluated in, for a target and a Python. Values only."""

from __future__ import annotations


def marker_environment(python: str, *, arch: str, kernel: str | None = None) -> dict[str, str]:
    """Return the marker variables of CPython ``python`` (``"3.11"`` counts as 3.11.0) on Linux."""
    full = python if python.count(".") > 1 else f"{python}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": "posix",
        "platform_machine": arch,
        "platform_python_implementation": "CPython",
        "platform_release": kernel or "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(full.split(".")[:2]),
        "sys_platform": "linux",
    }
