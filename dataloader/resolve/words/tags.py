"""Wheel tags (PEP 425, 600, 656) against a target: which Pythons a wheel serves, what it needs, how specific it is."""

from __future__ import annotations

import re
from functools import lru_cache

from dataloader.base.platforms import machine_of
from dataloader.base.values import dataclass

_MANYLINUX = re.compile(r"manylinux_(\d+)_(\d+)_(\w+)")
_MUSLLINUX = re.compile(r"musllinux_(\d+)_(\d+)_(\w+)")
_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
"""PEP 513, 571 and 599 names of manylinux_X_Y (PEP 600)."""
_PYTHON = re.compile(r"(cp|py)(\d)(\d*)")


_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(\w+)")
_FORMATS = {
    "osx-64": ("x86_64", "intel", "fat64", "fat32", "universal2", "universal"),
    "osx-arm64": ("arm64", "universal2"),
}
"""What macOS's tags call binaries that a processor runs, most special first."""
_LAST_TEN, _MINORS_OF_TEN = 10, 20
"""The major version whose minors were releases, and more than it had."""

Floor = tuple[str, int, int]
"""The oldest system that a wheel runs on: ``("glibc" | "musl" | "macos", major, minor)``."""


@dataclass(frozen=True, slots=True)
class PlatformTag:
    """What a platform tag asks of the target."""

    floor: Floor | None
    rank: int
    """Higher is more specific to the target; below 1000."""


@dataclass(frozen=True, slots=True)
class PythonTag:
    """One (interpreter, ABI) pair: CPython ``3.minor`` exactly, or that and later."""

    minor: int
    exact: bool
    rank: int

    def serves(self, minor: int) -> bool:
        """Say whether CPython 3.``minor`` can use it."""
        return minor == self.minor if self.exact else minor >= self.minor


def platform_of(tag: str, platform: str, *, musl: bool) -> PlatformTag | None:
    """Return what the compressed platform tag set asks for on a platform (a conda subdir); ``None``: none of it fits.

    Of several usable tags the least demanding counts: ``manylinux_2_17_x86_64.manylinux2014_x86_64``.
    """
    found = [p for p in (_platform(part, platform, musl=musl) for part in tag.split(".")) if p is not None]
    return min(found, key=lambda p: (p.floor is not None, p.floor or ("", 0, 0)), default=None)


def _platform(tag: str, platform: str, *, musl: bool) -> PlatformTag | None:
    if tag == "any":
        return PlatformTag(None, 0)
    system, machine = platform.partition("-")[0], machine_of(platform)
    if system == "osx":
        return _on_macos(tag, platform)
    if system == "win":
        return PlatformTag(None, 1) if tag == f"win_{machine.lower()}" else None
    if tag == f"linux_{machine}":
        return PlatformTag(None, 1)
    if not musl and (match := _MANYLINUX.fullmatch(tag)) and match[3] == machine:
        return PlatformTag(("glibc", int(match[1]), int(match[2])), 2 + int(match[2]))
    legacy, _, rest = tag.partition("_")
    if not musl and legacy in _LEGACY and rest == machine:
        major, minor = _LEGACY[legacy]
        return PlatformTag(("glibc", major, minor), 2 + minor)
    if musl and (match := _MUSLLINUX.fullmatch(tag)) and match[3] == machine:
        return PlatformTag(("musl", int(match[1]), int(match[2])), 2 + int(match[2]))
    return None


def _on_macos(tag: str, platform: str) -> PlatformTag | None:
    """As ``packaging.tags.mac_platforms``: the newest system first, its own processor before binaries for several."""
    match = _MACOS.fullmatch(tag)
    if match is None or match[3] not in _FORMATS[platform]:
        return None
    major, minor, formats = int(match[1]), int(match[2]), _FORMATS[platform]
    if (major > _LAST_TEN and minor) or (match[3] == "arm64" and major <= _LAST_TEN):
        return None  # from 11 on a tag's minor is 0, and no older one knows arm64
    newness = minor if major <= _LAST_TEN else _MINORS_OF_TEN + major
    return PlatformTag(("macos", major, minor), 8 + 6 * newness - formats.index(match[3]))


def pythons_of(interpreter: str, abi: str) -> tuple[PythonTag, ...]:
    """Return the CPython 3 versions that a compressed interpreter and ABI tag pair serves.

    Free-threaded and debug ABIs (``cp313t``, ``cp37dm``) and other implementations serve none of ours.
    """
    found = []
    for part in interpreter.split("."):
        match = _PYTHON.fullmatch(part)
        if not match or match[2] != "3":
            continue
        minor = int(match[3] or 0)
        found += [
            tag
            for alternative in abi.split(".")
            if (tag := _python_tag(match[1], minor, part, alternative)) is not None
        ]
    return tuple(found)


def _python_tag(implementation: str, minor: int, interpreter: str, abi: str) -> PythonTag | None:
    if implementation == "cp" and abi in (interpreter, f"{interpreter}m"):
        return PythonTag(minor, exact=True, rank=3)
    if implementation == "cp" and abi == "abi3":
        return PythonTag(minor, exact=False, rank=2)
    if abi == "none":
        # cp311-none is for that CPython alone; py3 and py310 mean that and later (PEP 425's compatible tags)
        return PythonTag(minor, exact=implementation == "cp", rank=1 if implementation == "cp" else 0)
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a wheel fits a target."""

    pythons: tuple[PythonTag, ...]
    floor: Floor | None
    rank: int
    """Orders the wheels of one version: higher is preferred."""


@lru_cache(maxsize=16384)
def fit(interpreter: str, abi: str, tag: str, platform: str, *, musl: bool = False) -> Fit | None:
    """Return how a wheel with these tags fits a platform (a conda subdir); ``None``: it cannot, whatever the Python."""
    where = platform_of(tag, platform, musl=musl)
    if where is not None and where.rank == 0:
        # PEP 425: "any" goes with no ABI alone
        abi = ".".join(part for part in abi.split(".") if part == "none")
    pythons = pythons_of(interpreter, abi)
    if where is None or not pythons:
        return None
    return Fit(pythons=pythons, floor=where.floor, rank=max(p.rank for p in pythons) * 1000 + where.rank)
