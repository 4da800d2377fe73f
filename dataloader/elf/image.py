"""An ELF image and its tables, read with bounds: headers, segments, the dynamic section, sections.

PT_DYNAMIC and the program headers count, as they do for ld.so(8); section headers may be stripped.
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from collections.abc import Sequence
from functools import cache, partial
from typing import Final, NamedTuple

from dataloader.elf.gpucode import Bytes

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


@cache
def _struct(order: str, word: str, fields: str) -> struct.Struct:
    return struct.Struct(order + fields.replace("P", word))


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


class Reader:
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
        self.loads: list[tuple[int, int, int]] = []  # vaddr, offset, bytes that are mapped from the file
        self.dynamic: dict[int, int] = {}
        self.lists: dict[int, list[int]] = {DT_NEEDED: [], DT_FILTER: [], DT_AUXILIARY: []}
        self.strings = b""

    def view(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset`` of the file."""
        if offset < 0 or size < 0 or size > _MAX_TABLE or offset + size > self.size:
            raise MalformedElf(f"a table at offset {offset} reaches past the end of the file")
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


class Header(NamedTuple):
    type: int
    machine: int
    phoff: int
    shoff: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


def read_header(reader: Reader) -> Header:
    fields = reader.unpack("HHIPPPIHHHHHH", 16)
    kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum, shentsize, shnum, shstrndx = fields
    return Header(kind, machine, phoff, shoff, phentsize, phnum, shentsize, shnum, shstrndx)


class Segments:
    __slots__ = ("dynamic", "exec_stack", "interpreter", "tls_size", "truncated")

    def __init__(self) -> None:
        self.interpreter: str | None = None
        self.dynamic: tuple[int, int] | None = None
        """Offset and size."""
        # Without PT_GNU_STACK the kernel's default applies, and on x86-64 that is a stack without execution.
        self.exec_stack = False
        self.truncated = False
        self.tls_size = 0


def read_segments(reader: Reader, header: Header) -> Segments:
    """The program headers; fills ``reader.loads``."""
    wide = reader.layout.bits == 64
    found = Segments()
    if header.phnum and header.phentsize != (56 if wide else 32):
        raise MalformedElf("ELF file's phentsize not the expected size")
    for index in range(header.phnum):
        at = header.phoff + index * header.phentsize
        if wide:
            kind, flags, offset, vaddr, _, filesz, memsz, _ = reader.unpack("IIQQQQQQ", at)
        else:
            kind, offset, vaddr, _, filesz, memsz, flags, _ = reader.unpack("IIIIIIII", at)
        if kind == PT_LOAD:
            # Whole pages are mapped: what patchelf put behind the end of a segment is there, unless zeros (.bss) are.
            mapped = filesz if memsz > filesz else -(-(vaddr + filesz) // _PAGE) * _PAGE - vaddr
            reader.loads.append((vaddr, offset, mapped))
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


def read_dynamic(reader: Reader, offset: int, size: int) -> None:
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
        # Not copied where it ends as it should: it may have 50 MB.
        reader.strings = strings if strings.endswith(b"\0") else strings[: strings.rfind(b"\0") + 1]


def read_words(reader: Reader, offset: int, size: int, code: str) -> array[int]:
    """A table of fixed-width integers, in this machine's byte order."""
    words = array(code)
    words.frombytes(reader.view(offset, size // words.itemsize * words.itemsize))
    if (reader.layout.order == "<") != (sys.byteorder == "little"):
        words.byteswap()
    return words


def read_section_headers(reader: Reader, header: Header) -> list[tuple[int, ...]]:
    """The rows of the section header table that are in the file; none where it is stripped or makes no sense."""
    wide = reader.layout.bits == 64
    row = reader.layout.struct("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    if not header.shoff or header.shentsize != row.size or header.shoff > reader.size:
        return []
    count = min(header.shnum, (reader.size - header.shoff) // row.size)
    return list(row.iter_unpack(reader.view(header.shoff, count * row.size)))


def read_sections(reader: Reader, header: Header, rows: Sequence[tuple[int, ...]]) -> dict[str, tuple[int, int]]:
    """Section name -> (offset, size), of the rows of the section header table; empty unless it is whole."""
    if len(rows) < header.shnum or header.shstrndx >= len(rows):
        return {}
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
