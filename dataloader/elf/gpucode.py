"""GPU code inside a host library: fat binaries in ``.nv_fatbin`` and ``__nv_relfatbin``.

Only the headers are read; whether a payload is compressed does not matter for what it was compiled for. The layout is
that of ``fatbinary_section.h`` of the CUDA toolkit (the container) and of the entry headers that nvcc writes in it.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

MAGIC: Final = 0xBA55ED50
_CONTAINER: Final = struct.Struct("<IHHQ")
"""magic, version, header size, size of the entries that follow."""
_ENTRY: Final = struct.Struct("<H2xIQ8xII8xQ16x")
"""kind, (version), header size, payload size, (compressed size, options), version of the code (minor in the low half,
major in the high one), arch, (name, its size), flags, (...). The version of PTX is that of its ISA."""
_BOTH: Final = _CONTAINER.size + _ENTRY.size
_PTX: Final = 1
_KINDS: Final[Mapping[int, CodeKind]] = {_PTX: "ptx", 2: "cubin"}
_ARCH_SPECIFIC: Final = 1 << 20
_FAMILY_SPECIFIC: Final = 1 << 21
"""Bits of the entry's flags, as nvcc 13.0 writes them for ``-arch sm_90a`` and ``sm_100f``."""
_SPECIFIC: Final = _ARCH_SPECIFIC | _FAMILY_SPECIFIC
LINKED: Final = ".nv_fatbin"
RELOCATABLE: Final = "__nv_relfatbin"
_EMBEDDED: Final = ".ldata"
"""cuFFT 12 keeps what it loads by itself among its large data (SHF_X86_64_LARGE), and next to nothing in .nv_fatbin."""
SECTIONS: Final = (LINKED, RELOCATABLE, _EMBEDDED)
_MAX_ENTRIES: Final = 1 << 18
_MAX_CONTAINERS: Final = 1 << 18
"""Libraries of 1 GB have some thousand of each."""


class Bytes(Protocol):
    """What is read of a file: slices, its length and a search; ``bytes`` has all three."""

    def __len__(self) -> int:
        """Bytes in all."""

    def __getitem__(self, part: slice, /) -> bytes:
        """The bytes of a slice without step."""

    def find(self, wanted: bytes, start: int, end: int, /) -> int:
        """First position of ``wanted`` within ``start`` and ``end``, or -1."""


CodeKind: TypeAlias = Literal["ptx", "cubin"]
_Entry: TypeAlias = tuple[int, int, int, int]
"""kind, arch, those of the flags that tell for what it is specific, version of PTX: as they stand in the file."""


class GpuCode(NamedTuple):
    """Code for one architecture."""

    kind: CodeKind
    arch: str
    """``"80"``, ``"90a"``: what follows ``sm_`` or ``compute_``."""
    entries: int = 1
    """How many fat binary entries carry it."""
    isa: tuple[int, ...] = ()
    """Version of the PTX ISA it is written in, ``(9, 0)``; empty for a cubin, and where it is not known."""

    @property
    def number(self) -> tuple[int, int]:
        """Compute capability as (major, minor)."""
        digits = self.arch.rstrip("af")
        return int(digits[:-1] or 0), int(digits[-1])

    @property
    def suffix(self) -> str:
        """``"a"`` runs on exactly this architecture, ``"f"`` on its family, ``""`` as usual."""
        return self.arch[len(self.arch.rstrip("af")) :]


def parse_capability(text: str) -> tuple[int, int] | None:
    """``"8.6"`` -> ``(8, 6)``; so it is for versions of CUDA and of PTX."""
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def runs_on(code: GpuCode, capability: tuple[int, int]) -> bool:
    """Whether a GPU of ``capability`` can execute ``code``.

    CUDA programming guide: a cubin runs within its major on the same or a later minor; PTX is compiled for the same or
    a later architecture; ``a`` is for that architecture alone, ``f`` for its family.
    """
    own = code.number
    if code.suffix == "a":
        return own == capability
    if code.suffix == "f" or code.kind == "cubin":
        return own[0] == capability[0] and own[1] <= capability[1]
    return own <= capability


def read_gpu_code(data: Bytes, sections: Mapping[str, tuple[int, int]]) -> tuple[GpuCode, ...]:
    """What GPU code the sections (name -> offset, size) carry, sorted.

    Of relocatable code that nvcc linked, the driver is given the linked cubins; where none of them fits, it compiles
    and links the PTX of the parts. Their cubins count only in a library that was never linked.
    """
    found: Counter[_Entry] = Counter()
    for name in SECTIONS:
        if name in sections:
            offset, size = sections[name]
            entries: dict[_Entry, int] = {}
            _Walk(data, entries).containers(offset, min(offset + size, len(data)))
            parts = name == RELOCATABLE and LINKED in sections
            found.update({entry: count for entry, count in entries.items() if not parts or entry[0] == _PTX})
    return tuple(sorted(_code(entry, count) for entry, count in found.items()))


def _code(entry: _Entry, count: int) -> GpuCode:
    kind, arch, flags, version = entry
    return GpuCode(_KINDS[kind], f"{arch}{_suffix(flags)}", count, _isa(version))


class _Walk:
    """Counts the entries of fat binaries. Each reading takes as long as all the rest, so there are few."""

    def __init__(self, data: Bytes, found: dict[_Entry, int]) -> None:
        self._data, self._found = data, found
        # Of a file without the detour of a slice.
        self._read: Callable[[int, int], bytes] = getattr(data, "pread", self._slice)

    def _slice(self, size: int, offset: int) -> bytes:
        return self._data[offset : offset + size]

    def containers(self, offset: int, end: int) -> None:
        """All between two positions of the file."""
        magic = struct.pack("<I", MAGIC)
        for _ in range(_MAX_CONTAINERS):
            # With the first entry, which mostly follows at once.
            piece = self._read(min(_BOTH, end - offset), offset) if offset < end else b""
            if len(piece) < _CONTAINER.size:
                return
            word, _, header, size = _CONTAINER.unpack_from(piece)
            if word != MAGIC:
                offset = self._data.find(magic, offset + 1, end)
                if offset < 0:
                    return
                continue
            stop = min(offset + header + size, end)
            self._entries(offset + header, stop, piece[header:] if header else b"")
            offset = max(-(-stop // 8) * 8, offset + _CONTAINER.size)

    def _entries(self, offset: int, end: int, piece: bytes) -> None:
        """``piece``: what was read already from ``offset`` on."""
        least, unpack, read, found = _ENTRY.size, _ENTRY.unpack_from, self._read, self._found
        for _ in range(_MAX_ENTRIES):
            if offset + least > end:
                return
            if len(piece) < least:
                piece = read(least, offset)
            if len(piece) < least:
                return
            kind, header, size, version, arch, flags = unpack(piece)
            if kind in _KINDS and 10 <= arch < 10_000:
                entry = (kind, arch, flags & _SPECIFIC, version if kind == _PTX else 0)
                found[entry] = found.get(entry, 0) + 1
            if header < least:
                return
            offset, piece = offset + header + size, b""


def _suffix(flags: int) -> str:
    if flags & _ARCH_SPECIFIC:
        return "a"
    return "f" if flags & _FAMILY_SPECIFIC else ""


def _isa(version: int) -> tuple[int, ...]:
    major, minor = version >> 16, version & 0xFFFF
    return (major, minor) if 0 < major < 100 and minor < 100 else ()
