"""An ELF image and its tables, read with bounds: headers, segments, the dynamic section, sections.

pyelftools knows the records; here is where they lie, and that they lie within the file. PT_DYNAMIC and the program
headers count, as they do for ld.so(8); section headers may be stripped.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Iterator, Sequence
from functools import cache, cached_property, partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dataloader.elf.gpucode import Bytes
from dataloader.elf.rows import rows_of

if TYPE_CHECKING:
    from elftools.construct import Struct
    from elftools.elf.structs import ELFStructs

ET_DYN: Final = 3
DF_STATIC_TLS: Final = 0x10
DF_1_NODEFLIB: Final = 0x800
DF_1_NOW: Final = 0x1
DF_1_PIE: Final = 0x08000000
DF_1_NOOPEN: Final = 0x40
"""What facts keep as numbers (elf.h); everything else goes by the names that pyelftools gives it."""
PF_X: Final = 1

STB_LOCAL: Final = 0
STB_WEAK: Final = 2
STT_TLS: Final = 6
SHN_ABS: Final = 0xFFF1
VER_FLG_BASE: Final = 1
VER_FLG_WEAK: Final = 2

_MAX_TABLE: Final = 256 << 20
"""No table of a real library comes near this; one that claims more is not read."""
_PAGE: Final = 4096
_PIECE: Final = 4 << 20
_LEAST_PIECE: Final = 1 << 12
_WINDOW: Final = 2048
"""Bytes read at once where less is asked for."""
_MAX_DYNAMIC: Final = 1 << 20
_MAX_NOTE: Final = 1 << 12
_PROPERTIES: Final = 5
"""NT_GNU_PROPERTY_TYPE_0."""
_ISA_NEEDED: Final = 0xC0008002

MACHINES: Final = {
    "EM_386": "i386",
    "EM_PPC": "ppc",
    "EM_PPC64": "ppc64",
    "EM_S390": "s390x",
    "EM_ARM": "arm",
    "EM_X86_64": "x86_64",
    "EM_AARCH64": "aarch64",
    "EM_CUDA": "cuda",
    "EM_RISCV": "riscv64",
    "EM_LOONGARCH": "loongarch64",
}
"""e_machine -> name, as ``uname -m`` gives it."""


class MalformedElf(Exception):
    """The file is no ELF file that could be loaded; the message says why."""


@cache
def _struct(order: str, word: str, fields: str) -> struct.Struct:
    return struct.Struct(order + fields.replace("P", word))


@cache
def _structures(little_endian: bool, bits: int) -> ELFStructs:
    """pyelftools' records of one ELF class and byte order."""
    # Not at the top: to import it takes 25 ms, and who only judges facts that are kept reads no file.
    from elftools.elf.structs import ELFStructs

    structures = ELFStructs(little_endian=little_endian, elfclass=bits)
    structures.create_basic_structs()
    structures.create_advanced_structs()
    return structures


def prepare() -> None:
    """Have at hand what reads nearly every file: each fork of this process that reads some would take 10 ms for it."""
    known = _structures(True, 64)
    for record in (known.Elf_Ehdr, known.Elf_Phdr, known.Elf_Dyn, known.Elf_Shdr, known.Elf_Verneed, known.Elf_Vernaux):
        rows_of(record)


@cache
def _size_of(record: Struct) -> int:
    return int(record.sizeof())


class _Layout(NamedTuple):
    """Field layouts of one ELF class and byte order."""

    order: str
    bits: int

    @property
    def word(self) -> str:
        return "Q" if self.bits == 64 else "I"

    def struct(self, fields: str) -> struct.Struct:
        return _struct(self.order, self.word, fields)


class FileBytes:
    """The bytes of an open file, read where they are asked for.

    Mapping the file costs more: headers of GPU code are strewn over gigabytes, each a page fault, and a file that is
    cut short meanwhile would end the process.
    """

    def __init__(self, descriptor: int) -> None:
        self.pread = partial(os.pread, descriptor)
        """Reads so many bytes from an offset on."""
        self._size = os.fstat(descriptor).st_size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> bytes:
        return self.pread(part.stop - part.start, part.start)

    def find(self, wanted: bytes, start: int, end: int) -> int:
        """Like ``bytes.find``, a piece at a time: small ones first, as what is looked for mostly is near."""
        at, size = start, _LEAST_PIECE
        while at < end:
            found = self[at : min(at + size + len(wanted), end)].find(wanted)
            if found >= 0:
                return at + found
            at, size = at + size, min(4 * size, _PIECE)
        return -1


class BoundedReader:
    """Bounds-checked access to one mapped file."""

    def __init__(self, data: Bytes) -> None:
        self.data = data
        self.size = len(data)
        self._window, self._window_at = b"", 0
        if self.size < 16:
            raise MalformedElf("file too short")
        ident = data[0:16]
        if ident[:4] != b"\x7fELF":
            raise MalformedElf("invalid ELF header")
        if ident[4] not in (1, 2) or ident[5] not in (1, 2):
            raise MalformedElf("unknown ELF class or byte order")
        self.layout = _Layout("<" if ident[5] == 1 else ">", 32 * ident[4])
        self.structures = _structures(ident[5] == 1, 32 * ident[4])
        self.loads: list[tuple[int, int, int]] = []  # vaddr, offset, bytes that are mapped from the file
        self.dynamic: dict[str | int, int] = {}
        """Tag -> value; a tag that pyelftools has no name for is a number."""
        self.lists: dict[str | int, list[int]] = {"DT_NEEDED": [], "DT_FILTER": [], "DT_AUXILIARY": []}
        self.string_table = (0, 0)
        """Offset and size of the dynamic string table."""

    def check(self, offset: int, size: int) -> None:
        """See that so many bytes at ``offset`` are in the file.

        Raises:
            MalformedElf: they are not.
        """
        if offset < 0 or size < 0 or size > _MAX_TABLE or offset + size > self.size:
            raise MalformedElf(f"a table at offset {offset} reaches past the end of the file")

    def view(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset`` of the file."""
        self.check(offset, size)
        found = self._small(offset, size) if size < _WINDOW else self.data[offset : offset + size]
        if len(found) != size:
            raise MalformedElf("the file was cut short while it was read")
        return found

    def _small(self, offset: int, size: int) -> bytes:
        """Small records lie side by side: what is read for one most likely has the next, too."""
        at = offset - self._window_at
        if not 0 <= at <= len(self._window) - size:
            at, self._window_at = 0, offset
            self._window = self.data[offset : min(offset + _WINDOW, self.size)]
        return self._window[at : at + size]

    def record(self, record: Struct, offset: int) -> Any:
        """The record of pyelftools at ``offset`` of the file."""
        return next(self.records(record, offset, 1))

    def records(self, record: Struct, offset: int, count: int) -> Iterator[Any]:
        """So many of them, one behind the other."""
        data, rows = self.view(offset, _size_of(record) * count), rows_of(record)
        if rows is not None:
            return rows.read(data)
        stream = BytesIO(data)
        return (record.parse_stream(stream) for _ in range(count))

    def unpack(self, fields: str, offset: int) -> tuple[int, ...]:
        """The numbers at ``offset``, as :mod:`struct` reads them."""
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

    @cached_property
    def strings(self) -> bytes:
        """The dynamic string table, up to its last NUL."""
        strings = self.view(*self.string_table)
        # Not copied where it ends as it should: it may have 50 MB.
        return strings if strings.endswith(b"\0") else strings[: strings.rfind(b"\0") + 1]

    def name(self, index: int) -> bytes:
        """A string of the dynamic string table, as bytes."""
        found = self.name_by_itself(index)
        if found is None:
            raise MalformedElf("a name lies outside the dynamic string table")
        return found

    def name_by_itself(self, index: int) -> bytes | None:
        """The same, without the table being read for it; ``None`` for what lies outside it."""
        at, size = self.string_table
        if not 0 <= index < size:
            return None
        if "strings" not in self.__dict__:  # else it was read already
            near = self.data[at + index : min(at + index + _WINDOW, at + size)]
            end = near.find(b"\0")
            if end >= 0:
                return near[:end]
        end = self.strings.find(b"\0", index)
        return self.strings[index:end] if end >= 0 else None


def read_header(reader: BoundedReader) -> Any:
    """The file header (``Elf_Ehdr``): fields as elf(5) names them, enumerations by name where they have one."""
    return reader.record(reader.structures.Elf_Ehdr, 0)


class Segments:
    __slots__ = ("dynamic", "exec_stack", "interpreter", "properties", "tls_size", "truncated")

    def __init__(self) -> None:
        self.interpreter: str | None = None
        self.dynamic: tuple[int, int] | None = None
        """Offset and size."""
        # Without PT_GNU_STACK the kernel's default applies, and on x86-64 that is a stack without execution.
        self.exec_stack = False
        self.truncated = False
        self.tls_size = 0
        self.properties: tuple[int, int] | None = None
        """Offset and size of the note with GNU properties."""


def read_segments(reader: BoundedReader, header: Any) -> Segments:
    """The program headers; fills ``reader.loads``."""
    record = reader.structures.Elf_Phdr
    found = Segments()
    if header.e_phnum and header.e_phentsize != _size_of(record):
        raise MalformedElf("ELF file's phentsize not the expected size")
    for row in reader.records(record, header.e_phoff, header.e_phnum):
        offset, size = row.p_offset, row.p_filesz
        if row.p_type == "PT_LOAD":
            # Whole pages are mapped: what patchelf put behind the end of a segment is there, unless zeros (.bss) are.
            whole = -(-(row.p_vaddr + size) // _PAGE) * _PAGE - row.p_vaddr
            reader.loads.append((row.p_vaddr, offset, size if row.p_memsz > size else whole))
            found.truncated |= offset + size > reader.size
        elif row.p_type == "PT_DYNAMIC" and size:  # of size 0 in separate debug files
            found.dynamic = (offset, size)
        elif row.p_type == "PT_INTERP":
            found.interpreter = os.fsdecode(reader.view(offset, min(size, 4096)).split(b"\0", 1)[0])
        elif row.p_type == "PT_TLS":
            found.tls_size = row.p_memsz
        elif row.p_type == "PT_GNU_PROPERTY":
            found.properties = (offset, size)
        elif row.p_type == "PT_GNU_STACK":
            found.exec_stack = bool(row.p_flags & PF_X)
    return found


def read_isa_needed(reader: BoundedReader, offset: int, size: int) -> int:
    """GNU_PROPERTY_X86_ISA_1_NEEDED of the note with GNU properties of a 64-bit file.

    Bits 0 to 3 are x86-64-v1 to v4 (x86-64 psABI); 0 where it has none.
    """
    data = reader.view(offset, min(size, _MAX_NOTE))
    number = reader.layout.struct("I")
    words = [value for (value,) in number.iter_unpack(data[: len(data) // 4 * 4])]
    if len(words) < 4 or words[2] != _PROPERTIES or data[12:16] != b"GNU\0":
        return 0
    at = 4
    while at + 2 < len(words):
        kind, length = words[at], words[at + 1]
        if kind == _ISA_NEEDED and length == 4:
            return int(words[at + 2])
        at += 2 + -(-length // 8) * 2
    return 0


def read_dynamic(reader: BoundedReader, offset: int, size: int) -> None:
    """The dynamic section, up to its end or DT_NULL, and where the string table is that it names."""
    record = reader.structures.Elf_Dyn
    for entry in reader.records(record, offset, min(size, _MAX_DYNAMIC) // _size_of(record)):
        if entry.d_tag == "DT_NULL":
            break
        if entry.d_tag in reader.lists:
            reader.lists[entry.d_tag].append(entry.d_val)
        else:
            reader.dynamic[entry.d_tag] = entry.d_val
    strtab = reader.dynamic.get("DT_STRTAB")
    if strtab is not None:
        wanted = reader.dynamic.get("DT_STRSZ", 0)
        reader.string_table = reader.offset_of(strtab), min(wanted, reader.rest_of_segment(strtab))
        reader.check(*reader.string_table)


def read_words(reader: BoundedReader, offset: int, size: int, code: str) -> array[int]:
    """A table of fixed-width integers, in this machine's byte order."""
    words = array(code)
    words.frombytes(reader.view(offset, size // words.itemsize * words.itemsize))
    if (reader.layout.order == "<") != (sys.byteorder == "little"):
        words.byteswap()
    return words


def read_section_headers(reader: BoundedReader, header: Any) -> list[Any]:
    """The section headers (``Elf_Shdr``) that are in the file; none where they are stripped or make no sense."""
    record = reader.structures.Elf_Shdr
    size = _size_of(record)
    if not header.e_shoff or header.e_shentsize != size or header.e_shoff > reader.size:
        return []
    return list(reader.records(record, header.e_shoff, min(header.e_shnum, (reader.size - header.e_shoff) // size)))


def read_sections(reader: BoundedReader, header: Any, rows: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Section name -> (offset, size), of the rows of the section header table; empty unless it is whole."""
    if len(rows) < header.e_shnum or header.e_shstrndx >= len(rows):
        return {}
    table = rows[header.e_shstrndx]
    if table.sh_offset + table.sh_size > reader.size:
        return {}
    names = reader.view(table.sh_offset, table.sh_size)
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        stop = names.find(b"\0", row.sh_name)
        # SHT_NOBITS has no bytes in the file: separate debug files keep the headers only.
        if stop > 0 and row.sh_type != "SHT_NOBITS" and row.sh_offset + row.sh_size <= reader.size:
            found[os.fsdecode(names[row.sh_name : stop])] = (row.sh_offset, row.sh_size)
    return found
