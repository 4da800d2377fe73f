"""One ELF file -> facts, by ``struct`` and positioned reads: of a library of 2 GB only its tables are read.

Hostile input raises :class:`MalformedElf`, with what is wrong, and nothing else.
"""

from __future__ import annotations

import os
import re
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from dataloader.elf.definitions import AskedNames, Definitions
from dataloader.elf.dynamic import (
    SymbolTable,
    VersionNeed,
    read_version_definitions,
    read_version_needs,
    relocated_symbols,
)
from dataloader.elf.gpucode import Bytes, GpuCode, read_gpu_code
from dataloader.elf.image import (
    DF_1_PIE,
    DF_STATIC_TLS,
    ET_DYN,
    MACHINES,
    BoundedReader,
    FileBytes,
    read_dynamic,
    read_header,
    read_isa_needed,
    read_section_headers,
    read_sections,
    read_segments,
)

_KINDS: Final = {"ET_REL": 1, "ET_EXEC": 2, "ET_DYN": ET_DYN, "ET_CORE": 4}
"""e_type; of others nothing is known, which is 0 (ET_NONE)."""
_MAX_SEARCH: Final = 1 << 30
_MAX_MODULES: Final = 1 << 12
_MODULE_INIT: Final = re.compile(rb"PyInitU?_[^\0]{1,255}")


class ElfFacts(NamedTuple):
    """What one ELF file says of itself."""

    machine: str
    bits: int
    little_endian: bool = True
    type: int = ET_DYN
    dynamic: bool = True
    """Has PT_DYNAMIC: a static executable or a separate debug file has none."""
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    flags_1: int = 0
    exec_stack: bool = False
    """Asks for an executable stack; glibc 2.41 and later refuse to dlopen such a file."""
    static_tls: int = 0
    """Bytes of thread-local storage that must lie in the static block (DF_STATIC_TLS), of which little is left."""
    filters: tuple[str, ...] = ()
    """DT_FILTER: libraries that must stand in for this one."""
    auxiliary: tuple[str, ...] = ()
    """DT_AUXILIARY: libraries that may."""
    version_needs: tuple[VersionNeed, ...] = ()
    version_definitions: tuple[str, ...] | None = None
    """Versions offered, without the base one; ``None`` when the file has no version definitions at all."""
    symbol_versions: bool = True
    """Has DT_VERSYM: its symbols have versions of its own, or of what it needs."""
    truncated: bool = False
    """A segment reaches past the end of the file."""
    gpu: tuple[GpuCode, ...] = ()
    python_init: tuple[str, ...] = ()
    """Names of the Python extension modules in it (``PyInit_NAME``)."""
    numpy_api: int | None = None
    """Major version of the NumPy headers it was compiled with, where it uses NumPy's C API; 0: pybind11's headers of
    NumPy 1's time instead."""
    numpy_least: str | None = None
    """The first NumPy whose C API has all that it was compiled for (``1.23``), where its headers wrote that."""
    isa_needed: int = 0
    """Levels of x86-64 that the processor must have, a bit each from x86-64-v1 on; 0 where it does not say."""

    @property
    def is_library(self) -> bool:
        """A file that dlopen may be asked for: a shared object that is no program."""
        return self.type == ET_DYN and self.dynamic and not self.flags_1 & DF_1_PIE


_ABI_CHECK: Final = b"compiled against ABI version"
"""What ``import_array`` of NumPy 1 says when it refuses: NumPy's C API is in the file."""


_LEAST_CHECK: Final = b"compiled against NumPy C-API version 0x%x (NumPy "
_LEAST: Final = re.compile(re.escape(_LEAST_CHECK) + rb"(\d+\.\d+)")


def _numpy_api(data: Bytes, rodata: tuple[int, int], undefined: frozenset[bytes]) -> int | None:
    """Which NumPy an extension was compiled for.

    NumPy 2's headers try ``numpy._core._multiarray_umath`` first and fall back to the old name; NumPy 1's know only
    the old one, and what they compiled is refused by NumPy 2. pybind11 has headers of its own for NumPy's API, asks
    for it when the first array passes, and refuses nothing; before 2.12 it finds an item size of 0 in NumPy 2's dtypes.
    """
    start, end = rodata[0], rodata[0] + min(rodata[1], _MAX_SEARCH)
    if b"PyCapsule_GetPointer" not in undefined or data.find(b"_ARRAY_API", start, end) < 0:
        return None
    if data.find(b"numpy._core", start, end) >= 0:
        return 2
    old = (b"numpy.core._multiarray_umath\0", b"numpy.core.multiarray\0")
    if not any(data.find(name, start, end) >= 0 for name in old):
        return None
    return 1 if data.find(_ABI_CHECK, start, end) >= 0 else 0


def _numpy_least(data: Bytes, rodata: tuple[int, int]) -> str | None:
    """What ``import_array`` of NumPy 1.25's headers and later says when the running NumPy is too old."""
    start, end = rodata[0], rodata[0] + min(rodata[1], _MAX_SEARCH)
    at = data.find(_LEAST_CHECK, start, end)
    found = _LEAST.match(data[at : at + len(_LEAST_CHECK) + 16]) if at >= 0 else None
    return found[1].decode() if found else None


def _machine(name: str | int) -> str:
    """What ``uname -m`` would call it; pyelftools' name or number of one that Python packages are not made for."""
    if isinstance(name, int):
        return f"machine-{name}"
    return MACHINES.get(name) or name.removeprefix("EM_").lower()


def parse_elf(data: Bytes) -> tuple[ElfFacts, frozenset[bytes]]:
    """Facts of an ELF image, and its undefined symbols that are not weak: ``name`` or ``name@version``.

    Raises:
        MalformedElf: it is no ELF file, or one whose tables cannot be followed.
    """
    reader = BoundedReader(data)
    header = read_header(reader)
    segments = read_segments(reader, header)
    facts_with = partial(
        ElfFacts,
        machine=_machine(header.e_machine),
        bits=reader.layout.bits,
        little_endian=reader.layout.order == "<",
        type=_KINDS.get(header.e_type, 0),
        interpreter=segments.interpreter,
    )
    if segments.truncated or segments.dynamic is None or header.e_type not in ("ET_EXEC", "ET_DYN"):
        return facts_with(dynamic=False, truncated=segments.truncated), frozenset()
    read_dynamic(reader, *segments.dynamic)
    strings = reader.strings  # before any name is read by itself: all are looked through anyway
    needs, names = read_version_needs(reader)
    definitions = read_version_definitions(reader, names)
    headers = read_section_headers(reader, header)
    symbols = SymbolTable(reader, lambda: headers, names)
    undefined = symbols.undefined()
    dynamic = reader.dynamic
    sections = read_sections(reader, header, headers)
    rodata = sections.get(".rodata", (0, reader.size))
    optional = {tag: reader.text(dynamic[tag]) for tag in ("DT_SONAME", "DT_RPATH", "DT_RUNPATH") if tag in dynamic}
    facts = facts_with(
        needed=tuple(reader.text(index) for index in reader.lists["DT_NEEDED"]),
        soname=optional.get("DT_SONAME"),
        rpath=optional.get("DT_RPATH"),
        runpath=optional.get("DT_RUNPATH"),
        flags_1=dynamic.get("DT_FLAGS_1", 0),
        exec_stack=segments.exec_stack,
        static_tls=segments.tls_size if dynamic.get("DT_FLAGS", 0) & DF_STATIC_TLS else 0,
        filters=tuple(reader.text(index) for index in reader.lists["DT_FILTER"]),
        auxiliary=tuple(reader.text(index) for index in reader.lists["DT_AUXILIARY"]),
        version_needs=needs,
        version_definitions=definitions,
        symbol_versions="DT_VERSYM" in dynamic,
        gpu=read_gpu_code(data, sections),
        python_init=_python_modules(strings, symbols),
        numpy_api=(numpy_api := _numpy_api(data, rodata, undefined)),
        numpy_least=_numpy_least(data, rodata) if numpy_api == 2 else None,
        isa_needed=_isa_needed(reader, segments.properties),
    )
    return facts, undefined


def _isa_needed(reader: BoundedReader, note: tuple[int, int] | None) -> int:
    of_x86 = reader.layout.bits == 64 and reader.layout.order == "<"
    return read_isa_needed(reader, *note) if note is not None and of_x86 else 0


def _python_modules(strings: bytes, symbols: SymbolTable) -> tuple[str, ...]:
    candidates = {match.group() for match in islice(_MODULE_INIT.finditer(strings), _MAX_MODULES)}
    names = symbols.definitions(AskedNames(candidates)).plain if candidates else ()
    return tuple(sorted(os.fsdecode(name.split(b"_", 1)[1]) for name in names))


def read_elf(path: Path) -> tuple[ElfFacts, frozenset[bytes]]:
    """Facts of the ELF file at ``path``, and its undefined symbols as :func:`parse_elf` has them.

    Raises:
        MalformedElf: the file is none, or is broken.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        # Headers of GPU code are strewn over gigabytes: reading ahead of each would read most of them.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        return parse_elf(FileBytes(file.fileno()))


def find_definitions(data: Bytes, asked: AskedNames | None) -> Definitions:
    """What an ELF image defines, of the names that are asked for where any are.

    Raises:
        MalformedElf: it is no ELF file, or one whose tables cannot be followed.
    """
    reader = BoundedReader(data)
    header = read_header(reader)
    where = read_segments(reader, header).dynamic
    if where is None:
        return Definitions()
    read_dynamic(reader, *where)
    versions: dict[int, bytes] = {}
    if "DT_VERDEF" in reader.dynamic:  # else none that it defines has a version
        _, versions = read_version_needs(reader)
        read_version_definitions(reader, versions)
    return SymbolTable(reader, partial(read_section_headers, reader, header), versions).definitions(asked)


def read_definitions(path: Path, asked: AskedNames | None = None) -> Definitions:
    """:func:`find_definitions` in the ELF file at ``path``.

    Raises:
        MalformedElf: the file is none, or is broken.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return find_definitions(FileBytes(file.fileno()), asked)


def read_runpath(path: Path) -> str:
    """DT_RUNPATH, else DT_RPATH, of the file at ``path``, as it stands there; empty when it has neither.

    Raises:
        MalformedElf: the file is no ELF file, or is broken.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        reader = BoundedReader(FileBytes(file.fileno()))
        where = read_segments(reader, read_header(reader)).dynamic
        if where is None:
            return ""
        read_dynamic(reader, *where)
        index = reader.dynamic.get("DT_RUNPATH", reader.dynamic.get("DT_RPATH"))
        return "" if index is None else reader.text(index)


def read_relocated_names(path: Path, *, at_once: bool = False) -> frozenset[bytes]:
    """Names of the symbols that some relocation of the file refers to: those the loader must really find.

    Args:
        at_once: As :func:`~dataloader.elf.dynamic.relocated_symbols` has it.
    """
    with path.open("rb") as file:
        reader = BoundedReader(FileBytes(file.fileno()))
        where = read_segments(reader, read_header(reader)).dynamic
        if where is None:
            return frozenset()
        read_dynamic(reader, *where)
        if "DT_SYMTAB" not in reader.dynamic:
            return frozenset()
        entry = 24 if reader.layout.bits == 64 else 16
        symtab = reader.offset_of(reader.dynamic["DT_SYMTAB"])
        indexes = relocated_symbols(reader, at_once=at_once)
        return frozenset(reader.name(reader.unpack("I", symtab + entry * index)[0]) for index in indexes)
