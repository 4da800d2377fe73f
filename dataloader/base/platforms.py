"""The platforms that an environment can be solved for: conda's name for each, and what markers and tags call it."""

from __future__ import annotations

import os
from typing import NamedTuple


class KnownPlatform(NamedTuple):
    """One platform, in the words of conda, of uname(1) and of PEP 508."""

    subdir: str
    """conda's name of it."""
    system: str
    """``platform.system()`` there."""
    machine: str
    """``platform.machine()`` there."""
    sys_platform: str
    os_name: str = "posix"


PLATFORMS = {
    platform.subdir: platform
    for platform in (
        KnownPlatform("linux-64", "Linux", "x86_64", "linux"),
        KnownPlatform("linux-aarch64", "Linux", "aarch64", "linux"),
        KnownPlatform("linux-ppc64le", "Linux", "ppc64le", "linux"),
        KnownPlatform("osx-64", "Darwin", "x86_64", "darwin"),
        KnownPlatform("osx-arm64", "Darwin", "arm64", "darwin"),
        KnownPlatform("win-64", "Windows", "AMD64", "win32", "nt"),
        KnownPlatform("win-arm64", "Windows", "ARM64", "win32", "nt"),
    )
}
"""By conda's name."""


def detect_platform() -> str:
    """The conda subdir of this machine."""
    uname = os.uname()
    for platform in PLATFORMS.values():
        if (platform.system, platform.machine) == (uname.sysname, uname.machine):
            return platform.subdir
    return f"{uname.sysname.lower()}-{uname.machine}"


def machine_of(platform: str) -> str:
    """The processor of a platform, as markers have it; of one that is not known, what its name says.

    >>> machine_of("win-64"), machine_of("linux-riscv64")
    ('AMD64', 'riscv64')
    """
    known = PLATFORMS.get(platform)
    return known.machine if known else platform.partition("-")[2]
