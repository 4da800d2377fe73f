"""Fat binaries as nvcc lays them out, with nothing in them to run."""

from __future__ import annotations

import struct

from dataloader.elf.gpucode import MAGIC


def entry(
    kind: int, arch: int, *, header: int = 64, size: int = 8, flags: int = 0, version: tuple[int, int] = (1, 8)
) -> bytes:
    """One entry: ``kind`` 1 is PTX, of the ISA ``version``, and 2 a cubin."""
    major, minor = version
    fixed = struct.pack("<HHIQIIHHIIIQ", kind, 0x101, header, size, 0, 0, minor, major, arch, 0, 0, flags)
    return fixed.ljust(header, b"\0") + b"\0" * size


def ptx(arch: int, version: tuple[int, int] = (9, 0)) -> bytes:
    """The entry of some PTX."""
    return entry(1, arch, version=version)


def cubin(arch: int) -> bytes:
    """The entry of a cubin."""
    return entry(2, arch)


def container(*entries: bytes, size: int | None = None) -> bytes:
    """A fat binary; ``size`` is what it says of itself."""
    body = b"".join(entries)
    return struct.pack("<IHHQ", MAGIC, 1, 16, len(body) if size is None else size) + body


def fatbin_source(*entries: bytes, section: str = ".nv_fatbin") -> str:
    """C source of ``fat``, a fat binary in that section."""
    data = ",".join(map(str, container(*entries)))
    return f'__attribute__((section("{section}"), aligned(8))) unsigned char fat[] = {{{data}}};\n'
