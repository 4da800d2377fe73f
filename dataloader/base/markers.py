"""The environment that PEP 508 markers are evaluated in, for a platform and a Python. Values only."""

from __future__ import annotations

from dataloader.base.platforms import PLATFORMS, KnownPlatform


def marker_environment(python: str, platform: str, *, kernel: str | None = None) -> dict[str, str]:
    """Return the marker variables of CPython ``python`` (``"3.11"`` counts as 3.11.0) on a platform (a conda subdir).

    >>> marker_environment("3.11", "osx-arm64")["sys_platform"]
    'darwin'
    """
    known = PLATFORMS.get(platform) or KnownPlatform(platform, "Linux", platform.partition("-")[2], "linux")
    full = python if python.count(".") > 1 else f"{python}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": known.os_name,
        "platform_machine": known.machine,
        "platform_python_implementation": "CPython",
        "platform_release": kernel or "",
        "platform_system": known.system,
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(full.split(".")[:2]),
        "sys_platform": known.sys_platform,
    }
