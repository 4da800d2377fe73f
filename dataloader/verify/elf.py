"""One ELF file -> facts, by ``struct`` and positioned reads: of a library of 2 GB only its tables are read.

PT_DYNAMIC and the program headers count, as they do for ld.so(8); section headers may be stripped and are only used to
find the dynamic symbol count faster and the GPU code. Follows the System V gABI and the LSB on symbol versions.
Hostile input raises :class:`MalformedElf`, with what is wrong, and nothing else.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataloader.verify.gpucode import Bytes, GpuCode, read_gpu_code

# e_type
ET_EXEC: Final = 2
ET_DYN: Final = 3
# p_type
PT_LOAD: Final = 1
PT_DYNAMIC: Final = 2
PT_INTERP: Final = 3
PT_TLS: Final = 7
PT_GNU_STACK: Final = 0x6474E551
PF_X: Final = 1
# d_tag
DT_NEEDED: Final = 1
DT_PLTRELSZ: Final = 2
DT_HASH: Final = 4
DT_STRTAB: Final = 5
DT_SYMTAB: Final = 6
DT_RELA: Final = 7
DT_RELASZ: Final = 8
DT_STRSZ: Final = 10
DT_SONAME: Final = 14
DT_RPATH: Final = 15
DT_REL: Final = 17
DT_RELSZ: Final = 18
DT_PLTREL: Final = 20
DT_JMPREL: Final = 23
DT_RUNPATH: Final = 29
DT_FLAGS: Final = 30
DT_GNU_HASH: Final = 0x6FFFFEF5
DT_VERSYM: Final = 0x6FFFFFF0
DT_FLAGS_1: Final = 0x6FFFFFFB
DT_VERDEF: Final = 0x6FFFFFFC
DT_VERDEFNUM: Final = 0x6FFFFFFD
DT_VERNEED: Final = 0x6FFFFFFE
DT_VERNEEDNUM: Final = 0x6FFFFFFF
DT_AUXILIARY: Final = 0x7FFFFFFD
DT_FILTER: Final = 0x7FFFFFFF
DF_STATIC_TLS: Final = 0x10
DF_1_NODEFLIB: Final = 0x800
DF_1_PIE: Final = 0x08000000
DF_1_NOOPEN: Final = 0x40

SHT_DYNSYM: Final = 11
STB_WEAK: Final = 2
STT_TLS: Final = 6
SHN_ABS: Final = 0xFFF1
VER_FLG_BASE: Final = 1
VER_FLG_WEAK: Final = 2

_MAX_TABLE: Final = 256 << 20
"""No table of a real library comes near this; one that claims more is not read."""
_MAX_SEARCH: Final = 1 << 30
_MAX_CHAIN: Final = 1 << 16
_PIECE: Final = 4 << 20
_MAX_DYNAMIC: Final = 1 << 20
_MAX_VERSIONS: Final = 1 << 16

MACHINES: Final = {
    3: "i386",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    190: "cuda",
    243: "riscv64",
    258: "loongarch64",
}
"""e_machine -> name, as ``uname -m`` gives it."""


class MalformedElf(Exception):
    """The file is no ELF file that could be loaded; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNeed:
    """One entry of ``.gnu.version_r``: ``version`` of the library that was linked as ``file``."""

    file: str
    version: str
    weak: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """Dynamic symbols. A versioned name is ``name@version``.

    What satisfies a reference follows ``check_match`` of glibc's dl-lookup.c; the three sets are its three answers.
    """

    exact: frozenset[bytes] = frozenset()
    """``name@version`` of every definition that has a version, hidden ones (``@`` not ``@@``) too."""
    plain: frozenset[bytes] = frozenset()
    """Names that a reference without a version finds."""
    base: frozenset[bytes] = frozenset()
    """Names that a reference with any version finds: definitions without a version."""
    undefined: frozenset[bytes] = frozenset()
    """``name`` or ``name@version`` of undefined symbols that are not weak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfFacts:
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
    truncated: bool = False
    """A segment reaches past the end of the file."""
    gpu: tuple[GpuCode, ...] = ()
    python_init: tuple[str, ...] = ()
    """Names of the Python extension modules in it (``PyInit_NAME``)."""
    numpy_api: int | None = None
    """Major version of the NumPy headers it was compiled with, where it uses NumPy's C API."""

    @property
    def is_library(self) -> bool:
        """A file that dlopen may be asked for: a shared object that is no program."""
        return self.type == ET_DYN and self.dynamic and not self.flags_1 & DF_1_PIE


@dataclass(frozen=True, slots=True)
class _Layout:
    """Field layouts of one ELF class and byte order."""

    order: str
    bits: int

    @property
    def word(self) -> str:
        return "Q" if self.bits == 64 else "I"

    def struct(self, fields: str) -> struct.Struct:
        return struct.Struct(self.order + fields.replace("P", self.word))


class FileBytes:
    """The bytes of an open file, read where they are asked for.

    Mapping the file costs more: headers of GPU code are strewn over gigabytes, each a page fault, and a file that is
    cut short meanwhile would end the process.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        return os.pread(self._descriptor, part.stop - part.start, part.start)

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """Like ``bytes.find``, a piece at a time."""
        for at in range(start, end, _PIECE):
            found = self[at : min(at + _PIECE + len(wanted), end)].find(wanted)
            if found >= 0:
                return at + found
        return -1


class _Reader:
    """Bounds-checked access to one mapped file."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.size = len(data)
        if self.size < 16:
            raise MalformedElf("file too short")
        ident = data[0:16]
        if ident[:4] != b"\x7fELF":
            raise MalformedElf("invalid ELF header")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise MalformedElf("unknown ELF class or byte order")
        self.layout = _Layout("<" if ident[5] == 1 else ">", 32 * ident[4])
        self.loads: list[tuple[int, int, int]] = []  # vaddr, offset, filesz
        self.dynamic: dict[int, int] = {}
        self.lists: dict[int, list[int]] = {DT_NEEDED: [], DT_FILTER: [], DT_AUXILIARY: []}
        self.strings = b""

    def view(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset`` of the file."""
        if offset < 0 or size < 0 or size > _MAX_TABLE or offset + size > self.size:
            raise MalformedElf(f"a table at offset {offset} reaches past the end of the file")
        found = self.data[offset : offset + size]
        if len(found) != size:
            raise MalformedElf("the file was cut short while it was read")
        return found

    def unpack(self, fields: str, offset: int) -> tuple[int, ...]:
        """One record at ``offset``; ``P`` stands for the class's word."""
        layout = self.layout.struct(fields)
        return layout.unpack(self.view(offset, layout.size))

    def offset_of(self, address: int) -> int:
        """File offset of a virtual address."""
        for vaddr, offset, size in self.loads:
            if vaddr <= address < vaddr + size:
                return offset + address - vaddr
        raise MalformedElf(f"address {address:#x} is in no segment")

    def rest_of_segment(self, address: int) -> int:
        """Bytes of the file from a virtual address to the end of its segment."""
        for vaddr, offset, size in self.loads:
            if vaddr <= address < vaddr + size:
                return min(vaddr + size - address, self.size - offset - (address - vaddr))
        raise MalformedElf(f"address {address:#x} is in no segment")

    def text(self, index: int) -> str:
        """A string of the dynamic string table."""
        return os.fsdecode(self.name(index))

    def name(self, index: int) -> bytes:
        """A string of the dynamic string table, as bytes."""
        end = self.strings.find(b"\0", index)
        if end < 0 or index >= len(self.strings):
            raise MalformedElf("a name lies outside the dynamic string table")
        return self.strings[index:end]


@dataclass(frozen=True, slots=True)
class _Header:
    type: int
    machine: int
    phoff: int
    shoff: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


def _read_header(reader: _Reader) -> _Header:
    fields = reader.unpack("HHIPPPIHHHHHH", 16)
    kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = fields
    return _Header(kind, machine, phoff, shoff, phentsize, phnum, shentsize, shnum, shstrndx)


@dataclass(slots=True)
class _Segments:
    interpreter: str | None = None
    dynamic: tuple[int, int] | None = None
    """Offset and size."""
    # Without PT_GNU_STACK the kernel's default applies, and on x86-64 that is a stack without execution.
    exec_stack: bool = False
    truncated: bool = False
    tls_size: int = 0


def _read_segments(reader: _Reader, header: _Header) -> _Segments:
    """The program headers; fills ``reader.loads``."""
    wide = reader.layout.bits == 64
    found = _Segments()
    if header.phnum and header.phentsize != (56 if wide else 32):
        raise MalformedElf("ELF file's phentsize not the expected size")
    for index in range(header.phnum):
        at = header.phoff + index * header.phentsize
        if wide:
            kind, flags, offset, vaddr, _, filesz, memsz, _ = reader.unpack("IIQQQQQQ", at)
        else:
            kind, offset, vaddr, _, filesz, memsz, flags, _ = reader.unpack("IIIIIIII", at)
        if kind == PT_LOAD:
            reader.loads.append((vaddr, offset, filesz))
            found.truncated |= offset + filesz > reader.size
        elif kind == PT_DYNAMIC and filesz:  # of size 0 in separate debug files
            found.dynamic = (offset, filesz)
        elif kind == PT_INTERP:
            found.interpreter = os.fsdecode(reader.view(offset, min(filesz, 4096)).split(b"\0", 1)[0])
        elif kind == PT_TLS:
            found.tls_size = memsz
        elif kind == PT_GNU_STACK:
            found.exec_stack = bool(flags & PF_X)
    return found


def _read_dynamic(reader: _Reader, offset: int, size: int) -> None:
    entry = reader.layout.struct("PP")
    table = reader.view(offset, min(size, _MAX_DYNAMIC) // entry.size * entry.size)
    for tag, value in entry.iter_unpack(table):
        if tag == 0:
            break
        if tag in reader.lists:
            reader.lists[tag].append(value)
        else:
            reader.dynamic[tag] = value
    strtab = reader.dynamic.get(DT_STRTAB)
    if strtab is not None:
        wanted = reader.dynamic.get(DT_STRSZ, 0)
        strings = reader.view(reader.offset_of(strtab), min(wanted, reader.rest_of_segment(strtab)))
        reader.strings = strings[: strings.rfind(b"\0") + 1]


def _read_version_needs(reader: _Reader) -> tuple[tuple[VersionNeed, ...], dict[int, bytes]]:
    """Version needs, and version index -> name for the symbols that use them."""
    needs: list[VersionNeed] = []
    names: dict[int, bytes] = {}
    address = reader.dynamic.get(DT_VERNEED)
    if address is None:
        return (), names
    at = reader.offset_of(address)
    for _ in range(min(reader.dynamic.get(DT_VERNEEDNUM, 0), _MAX_VERSIONS)):
        _, count, file, aux, following = reader.unpack("HHIII", at)
        file_name = reader.text(file)
        aux_at = at + aux
        for _ in range(count):
            _, flags, index, name, aux_following = reader.unpack("IHHII", aux_at)
            names[index & 0x7FFF] = reader.name(name)
            needs.append(VersionNeed(file=file_name, version=reader.text(name), weak=bool(flags & VER_FLG_WEAK)))
            if len(needs) > _MAX_VERSIONS:
                raise MalformedElf("too many version needs")
            if not aux_following:
                break
            aux_at += aux_following
        if not following:
            break
        at += following
    return tuple(needs), names


def _read_version_definitions(reader: _Reader, names: dict[int, bytes]) -> tuple[str, ...] | None:
    """Versions offered; adds their indexes to ``names``. The base definition's name matches no reference."""
    address = reader.dynamic.get(DT_VERDEF)
    if address is None:
        return None
    found: list[str] = []
    at = reader.offset_of(address)
    for _ in range(min(reader.dynamic.get(DT_VERDEFNUM, 0), _MAX_VERSIONS)):
        _, flags, index, _, _, aux, following = reader.unpack("HHHHIII", at)
        if not flags & VER_FLG_BASE:
            (name, _) = reader.unpack("II", at + aux)
            names[index & 0x7FFF] = reader.name(name)
            found.append(reader.text(name))
        if not following:
            break
        at += following
    return tuple(found)


def _symbol_count(reader: _Reader, header: _Header) -> int:
    """Entries of the dynamic symbol table: by its section, else by its hash tables, else by what relocations name."""
    symtab = reader.dynamic[DT_SYMTAB]
    wide = reader.layout.bits == 64
    entry = 24 if wide else 16
    fields = "IIQQQQIIQQ" if wide else "IIIIIIIIII"
    if header.shoff and header.shentsize == (64 if wide else 40):
        for index in range(header.shnum):
            at = header.shoff + index * header.shentsize
            if at + header.shentsize > reader.size:
                break
            section = reader.unpack(fields, at)
            if section[1] == SHT_DYNSYM and section[3] == symtab:
                return section[5] // entry
    if DT_HASH in reader.dynamic:
        return reader.unpack("II", reader.offset_of(reader.dynamic[DT_HASH]))[1]
    count = 0
    if DT_GNU_HASH in reader.dynamic:
        count = _gnu_hash_count(reader)
    return max(count, max(relocated_symbols(reader), default=0) + 1)


def _gnu_hash_count(reader: _Reader) -> int:
    """One more than the highest symbol index in the GNU hash table."""
    at = reader.offset_of(reader.dynamic[DT_GNU_HASH])
    buckets, first, bloom, _ = reader.unpack("IIII", at)
    table = at + 16 + bloom * (reader.layout.bits // 8)
    word = struct.Struct(reader.layout.order + "I")
    top = max((value for (value,) in word.iter_unpack(reader.view(table, 4 * buckets))), default=0)
    if top < first:
        return first
    chain = table + 4 * buckets + 4 * (top - first)
    for _ in range(_MAX_CHAIN):
        if reader.unpack("I", chain)[0] & 1:
            return top + 1
        chain += 4
        top += 1
    raise MalformedElf("a chain of the hash table does not end")


def relocated_symbols(reader: _Reader) -> set[int]:
    """Indexes of the symbols that relocations refer to. A symbol that none refers to is never looked up."""
    dynamic = reader.dynamic
    tables = [
        (DT_RELA, DT_RELASZ, True),
        (DT_REL, DT_RELSZ, False),
        (DT_JMPREL, DT_PLTRELSZ, dynamic.get(DT_PLTREL, DT_RELA) == DT_RELA),
    ]
    shift = 32 if reader.layout.bits == 64 else 8
    found: set[int] = set()
    for address_tag, size_tag, addend in tables:
        if address_tag not in dynamic:
            continue
        record = reader.layout.struct("PPP" if addend else "PP")
        size = dynamic.get(size_tag, 0) // record.size * record.size
        table = reader.view(reader.offset_of(dynamic[address_tag]), size)
        found.update(fields[1] >> shift for fields in record.iter_unpack(table))
    found.discard(0)
    return found


def _words(reader: _Reader, offset: int, size: int, code: str) -> array[int]:
    """A table of fixed-width integers, in this machine's byte order."""
    words = array(code)
    words.frombytes(reader.view(offset, size // words.itemsize * words.itemsize))
    if (reader.layout.order == "<") != (sys.byteorder == "little"):
        words.byteswap()
    return words


def _read_symbols(reader: _Reader, header: _Header, versions: dict[int, bytes]) -> Symbols:
    """All dynamic symbols. The columns of the table are sliced and zipped: a torch environment has 200,000 rows."""
    if DT_SYMTAB not in reader.dynamic or not reader.strings:
        return Symbols()
    wide = reader.layout.bits == 64
    width = 6 if wide else 4
    count = _symbol_count(reader, header)
    words = _words(reader, reader.offset_of(reader.dynamic[DT_SYMTAB]), 4 * width * count, "I")
    names, info = words[0::width], words[1 if wide else 3 :: width]
    # The upper half of a 64-bit value cannot matter on its own: no symbol lies at a multiple of 4 GiB.
    values = words[2 if wide else 1 :: width]
    indexes = array("H", bytes(2 * count))
    if DT_VERSYM in reader.dynamic:
        indexes = _words(reader, reader.offset_of(reader.dynamic[DT_VERSYM]), 2 * count, "H")
    rows = zip(names, info, values, indexes, strict=False)
    if DT_VERDEF in reader.dynamic:
        return _versioned_symbols(reader.strings, rows, versions)
    return _unversioned_symbols(reader.strings, rows, versions)


def _unversioned_symbols(
    strings: bytes, rows: Iterable[tuple[int, int, int, int]], versions: dict[int, bytes]
) -> Symbols:
    """Of a file that defines no versions: any reference finds its definitions."""
    find = strings.find
    defined: list[bytes] = []
    undefined: list[bytes] = []
    for start, word, value, index in rows:
        binding = word >> 4 & 15
        if not start or not binding:  # the null symbol; local ones
            continue
        if word < 0x10000:  # section 0: undefined
            if binding != STB_WEAK:
                name = strings[start : find(b"\0", start)]
                undefined.append(name + b"@" + versions[index] if index in versions else name)
        elif value or word >> 16 == SHN_ABS or word & 15 == STT_TLS:
            defined.append(strings[start : find(b"\0", start)])
    everything = frozenset(defined)
    return Symbols(plain=everything, base=everything, undefined=frozenset(undefined))


def _versioned_symbols(
    strings: bytes, rows: Iterable[tuple[int, int, int, int]], versions: dict[int, bytes]
) -> Symbols:
    find = strings.find
    exact: list[bytes] = []
    plain: list[bytes] = []
    base: list[bytes] = []
    undefined: list[bytes] = []
    for start, word, value, index in rows:
        binding = word >> 4 & 15
        if not start or not binding:
            continue
        name = strings[start : find(b"\0", start)]
        label = versions.get(index & 0x7FFF)
        if word < 0x10000:
            if binding != STB_WEAK:
                undefined.append(name + b"@" + label if label and index > 1 else name)
        elif value or word >> 16 == SHN_ABS or word & 15 == STT_TLS:
            if label:
                exact.append(name + b"@" + label)
            elif not index & 0x8000:
                base.append(name)
            if index & 0x7FFF <= 2 or not index & 0x8000:
                plain.append(name)
    return Symbols(exact=frozenset(exact), plain=frozenset(plain), base=frozenset(base), undefined=frozenset(undefined))


def _numpy_api(data: Bytes, rodata: tuple[int, int], symbols: Symbols) -> int | None:
    """Which NumPy headers an extension was compiled with.

    NumPy 2's headers try ``numpy._core._multiarray_umath`` first and fall back to the old name; NumPy 1's know only
    the old one, and what they compiled cannot run on NumPy 2.
    """
    if b"PyCapsule_GetPointer" not in symbols.undefined:
        return None
    start, end = rodata[0], rodata[0] + min(rodata[1], _MAX_SEARCH)
    if data.find(b"numpy._core._multiarray_umath", start, end) >= 0:
        return 2
    old = (b"numpy.core._multiarray_umath\0", b"numpy.core.multiarray\0")
    if any(data.find(name, start, end) >= 0 for name in old) and data.find(b"_ARRAY_API", start, end) >= 0:
        return 1
    return None


def parse_elf(data: Bytes) -> tuple[ElfFacts, Symbols]:
    """Facts and dynamic symbols of an ELF image.

    Raises:
        MalformedElf: it is no ELF file, or one whose tables cannot be followed.
    """
    reader = _Reader(data)
    header = _read_header(reader)
    segments = _read_segments(reader, header)
    machine = MACHINES.get(header.machine, f"machine-{header.machine}")
    little_endian = reader.layout.order == "<"
    if segments.truncated or segments.dynamic is None or header.type not in (ET_EXEC, ET_DYN):
        facts = ElfFacts(
            machine=machine,
            bits=reader.layout.bits,
            little_endian=little_endian,
            type=header.type,
            dynamic=False,
            interpreter=segments.interpreter,
            truncated=segments.truncated,
        )
        return facts, Symbols()
    _read_dynamic(reader, *segments.dynamic)
    needs, names = _read_version_needs(reader)
    definitions = _read_version_definitions(reader, names)
    symbols = _read_symbols(reader, header, names)
    dynamic = reader.dynamic
    sections = _sections(reader, header)
    rodata = sections.get(".rodata", (0, reader.size))
    optional = {tag: reader.text(dynamic[tag]) for tag in (DT_SONAME, DT_RPATH, DT_RUNPATH) if tag in dynamic}
    facts = ElfFacts(
        machine=machine,
        bits=reader.layout.bits,
        little_endian=little_endian,
        type=header.type,
        interpreter=segments.interpreter,
        needed=tuple(reader.text(index) for index in reader.lists[DT_NEEDED]),
        soname=optional.get(DT_SONAME),
        rpath=optional.get(DT_RPATH),
        runpath=optional.get(DT_RUNPATH),
        flags_1=dynamic.get(DT_FLAGS_1, 0),
        exec_stack=segments.exec_stack,
        static_tls=segments.tls_size if dynamic.get(DT_FLAGS, 0) & DF_STATIC_TLS else 0,
        filters=tuple(reader.text(index) for index in reader.lists[DT_FILTER]),
        auxiliary=tuple(reader.text(index) for index in reader.lists[DT_AUXILIARY]),
        version_needs=needs,
        version_definitions=definitions,
        gpu=read_gpu_code(data, sections),
        python_init=_python_modules(symbols) if b"PyInit" in reader.strings else (),
        numpy_api=_numpy_api(data, rodata, symbols),
    )
    return facts, symbols


def _python_modules(symbols: Symbols) -> tuple[str, ...]:
    names = (name for name in symbols.plain if name.startswith((b"PyInit_", b"PyInitU_")))
    return tuple(sorted(os.fsdecode(name.split(b"_", 1)[1]) for name in names))


def _sections(reader: _Reader, header: _Header) -> dict[str, tuple[int, int]]:
    """Section name -> (offset, size); empty when the section headers are stripped or make no sense."""
    wide = reader.layout.bits == 64
    fields = "IIQQQQIIQQ" if wide else "IIIIIIIIII"
    size = 64 if wide else 40
    end = header.shoff + header.shnum * size
    if not header.shoff or header.shentsize != size or end > reader.size or header.shstrndx >= header.shnum:
        return {}
    rows = [reader.unpack(fields, header.shoff + index * size) for index in range(header.shnum)]
    names_offset, names_size = rows[header.shstrndx][4:6]
    if names_offset + names_size > reader.size:
        return {}
    names = reader.view(names_offset, names_size)
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        stop = names.find(b"\0", row[0])
        # SHT_NOBITS (8) has no bytes in the file: separate debug files keep the headers only.
        if stop > 0 and row[1] != 8 and row[4] + row[5] <= reader.size:
            found[os.fsdecode(names[row[0] : stop])] = (row[4], row[5])
    return found


def read_elf(path: Path) -> tuple[ElfFacts, Symbols]:
    """Facts and dynamic symbols of the ELF file at ``path``.

    Raises:
        MalformedElf: the file is none, or is broken.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return parse_elf(FileBytes(file.fileno()))


def read_relocated_names(path: Path) -> frozenset[bytes]:
    """Names of the symbols that some relocation of the file refers to: those the loader must really find."""
    with path.open("rb") as file:
        reader = _Reader(FileBytes(file.fileno()))
        where = _read_segments(reader, _read_header(reader)).dynamic
        if where is None:
            return frozenset()
        _read_dynamic(reader, *where)
        if DT_SYMTAB not in reader.dynamic:
            return frozenset()
        entry = 24 if reader.layout.bits == 64 else 16
        symtab = reader.offset_of(reader.dynamic[DT_SYMTAB])
        return frozenset(reader.name(reader.unpack("I", symtab + entry * i)[0]) for i in relocated_symbols(reader))
