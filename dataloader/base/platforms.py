"""The platforms that an environment can be solved for: conda's name for each, and what markers and tags call it."""

from __future__ import annotations

import os
from typing import NamedTuple

from dataloader.base.errors import UsageError


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

OTHER_SUBDIRS = frozenset(
    f"{system}-{machine}"
    for system, machines in {
        "linux": "32 armv6l armv7l loongarch64 ppc ppc64 riscv32 riscv64 s390x",
        "freebsd": "32 64 arm64 ppc64 ppc64le",
        "android": "32 64 aarch64 armv7a",
        "ios": "arm64",
        "iossimulator": "64 arm64",
        "win": "32",
        "emscripten": "wasm32 wasm64",
        "wasi": "wasm32",
        "zos": "z",
    }.items()
    for machine in machines.split()
)
"""What conda calls other platforms: a manifest may be for one of them too, and nothing is solved for it here."""


def platform_mistake(name: str) -> str | None:
    """Return what is wrong with a platform that a manifest names; ``None``: there is such a one.

    >>> platform_mistake("linux-riscv64")
    >>> platform_mistake("linux-46")[:52]
    "'linux-46' is not a platform; did you mean linux-64?"
    """
    if name in PLATFORMS or name in OTHER_SUBDIRS:
        return None
    meant = _did_you_mean(name)
    return f"{name!r} is not a platform{f'; {meant}' if meant else ''} (known: {', '.join(PLATFORMS)})"


def check_known(platform: str) -> None:
    """Refuse what nothing can be solved for.

    Raises:
        UsageError: ``platform-unknown``.
    """
    if platform not in PLATFORMS and platform != detect_platform():
        meant = _did_you_mean(platform)
        raise UsageError(
            f"nothing is solved for {platform}" if platform in OTHER_SUBDIRS else f"there is no platform {platform}",
            code="platform-unknown",
            causes=(f"known platforms: {', '.join(PLATFORMS)}",),
            suggestions=(meant,) if meant and platform not in OTHER_SUBDIRS else (),
        )


def _did_you_mean(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, PLATFORMS, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""


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
