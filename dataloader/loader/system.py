"""What the machine below an environment provides: its search path and cache, or a description of another one."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from dataloader.machine.target import Target

_CACHE_MAGIC: Final = b"glibc-ld.so.cache1.1"
_CACHE_HEADER: Final = struct.Struct("<20sII5I")
_CACHE_ENTRY: Final = struct.Struct("<iIIIQ")
LD_CACHE: Final = "/etc/ld.so.cache"
_CACHE_FLAGS: Final = {"x86_64": 0x0303, "aarch64": 0x0A03, "i386": 0x0003}
"""ldconfig's flags word for the libraries of one machine (``ldconfig.h`` of glibc)."""
_TRIPLETS: Final = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu", "i386": "i386-linux-gnu"}


class LoaderSystem(Protocol):
    """Answers the loader's questions about the machine."""

    def cached(self, soname: str) -> str | None:
        """Path that ld.so.cache gives for a soname."""

    def cached_like(self, pattern: re.Pattern[str]) -> str | None:
        """The first soname in ld.so.cache that matches, else ``""``; ``None`` where that is not known."""

    def default_directories(self) -> tuple[str, ...]:
        """Directories searched last."""

    def describes(self, soname: str) -> bool:
        """Whether a machine that cannot be looked at is known, or taken, to have this library."""

    def has_version(self, soname: str, version: str) -> bool | None:
        """Whether a described library offers a symbol version; ``None`` when that is not known."""

    def stand_in(self, soname: str) -> str | None:
        """A file on this machine whose symbols stand for those of a described library."""


class HostSystem(NamedTuple):
    """The machine at hand."""

    cache: Mapping[str, str]
    directories: tuple[str, ...]

    def cached(self, soname: str) -> str | None:
        return self.cache.get(soname)

    def cached_like(self, pattern: re.Pattern[str]) -> str | None:
        return next((soname for soname in self.cache if pattern.fullmatch(soname)), "")

    def default_directories(self) -> tuple[str, ...]:
        return self.directories

    def describes(self, soname: str) -> bool:
        del soname
        return False

    def has_version(self, soname: str, version: str) -> bool | None:
        del soname, version
        return None

    def stand_in(self, soname: str) -> str | None:
        del soname
        return None


class DescribedSystem(NamedTuple):
    """A machine known by its target: libraries that every such machine has, at the versions that the target says."""

    target: Target
    core: frozenset[str]
    """Sonames of the C and C++ runtimes, which every machine of this kind has."""
    usual: frozenset[str] = frozenset()
    """Sonames that wheels may take from the system, but that minimal images often lack."""
    libc_stems: frozenset[str] = frozenset()
    """Names up to the first dot that musl's loader takes for itself (``libm`` of ``libm.so.6``)."""
    musl_libc: str | None = None
    """musl's libc on this machine, where it has one."""
    here: HostSystem | None = None
    """This machine, when it has the same kind of processor."""

    def cached(self, soname: str) -> str | None:
        del soname
        return None

    def cached_like(self, pattern: re.Pattern[str]) -> str | None:
        del pattern
        return None

    def default_directories(self) -> tuple[str, ...]:
        return ()

    def describes(self, soname: str) -> bool:
        if self.target.is_musl and soname.partition(".")[0] in self.libc_stems:
            return True
        return soname in self.core or soname in self.usual

    def has_version(self, soname: str, version: str) -> bool | None:
        del soname
        if self.target.is_musl and version.startswith("GLIBC_"):
            return False
        limits = {"GLIBC": self.target.glibc, "GLIBCXX": self.target.libstdcxx}
        family, _, number = version.partition("_")
        limit = limits.get(family)
        wanted = version_tuple(number)
        if limit is None or wanted is None:
            return None
        return wanted <= (version_tuple(limit) or ())

    def stand_in(self, soname: str) -> str | None:
        if self.target.is_musl:
            return self.musl_libc
        return self.here.cached(soname) if self.here else None


def version_tuple(text: str) -> tuple[int, ...] | None:
    """``"2.34"`` -> ``(2, 34)``; ``None`` when it is no dotted number (``PRIVATE``, ``ABI_DT_RELR``)."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else None


def read_ld_cache(path: Path, machine: str) -> dict[str, str]:
    """soname -> path from an ld.so.cache of glibc 2.2 or later; empty when there is none that can be read.

    Entries for hardware capabilities come before the plain ones and are skipped: which of them apply is asked of the
    directories instead.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return {}
    start = data.find(_CACHE_MAGIC)
    if start < 0 or start + _CACHE_HEADER.size > len(data):
        return {}
    count = _CACHE_HEADER.unpack_from(data, start)[1]
    found: dict[str, str] = {}
    for index in range(count):
        at = start + _CACHE_HEADER.size + index * _CACHE_ENTRY.size
        if at + _CACHE_ENTRY.size > len(data):
            break
        flags, key, value, _, hwcap = _CACHE_ENTRY.unpack_from(data, at)
        if flags != _CACHE_FLAGS.get(machine) or hwcap:
            continue
        found.setdefault(_text(data, start + key), _text(data, start + value))
    return found


def _text(data: bytes, offset: int) -> str:
    return os.fsdecode(data[offset : max(data.find(b"\0", offset), offset)])


def host_system(machine: str, root: Path = Path("/")) -> HostSystem:
    """The system of this machine, or of an image unpacked at ``root``."""
    triplet = _TRIPLETS.get(machine, f"{machine}-linux-gnu")
    folders = (f"lib/{triplet}", f"usr/lib/{triplet}", "lib64", "usr/lib64", "lib", "usr/lib")
    return HostSystem(
        cache=read_ld_cache(root / LD_CACHE[1:], machine),
        directories=tuple(str(root / folder) for folder in folders if (root / folder).is_dir()),
    )
