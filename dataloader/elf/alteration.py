"""What was done to a library after it was installed: whether all that a process sees of it is as it was.

Image builders strip symbols and set search paths. The sections that are loaded are then as they were, but for the ones
that say the search path (``.dynamic``, ``.dynstr``), and some may lie elsewhere, where ``.dynamic`` says.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from dataloader.elf.image import (
    BoundedReader,
    FileBytes,
    MalformedElf,
    read_dynamic,
    read_header,
    read_section_headers,
    read_segments,
    read_words,
)

_ALLOCATED: Final = 0x2
"""SHF_ALLOC (elf.h): the section is loaded."""
_BLOCK: Final = 1 << 20
_SEARCH_PATHS: Final = ("DT_RPATH", "DT_RUNPATH")
_REWRITTEN: Final = frozenset({".dynamic", ".dynstr"})
_RESERVED: Final = 0xFF00
"""SHN_LORESERVE: numbers from here on are no section's."""
_MAY_MOVE: Final = frozenset(
    {
        *("SHT_DYNSYM", "SHT_STRTAB", "SHT_HASH", "SHT_GNU_HASH", "SHT_NOTE", "SHT_DYNAMIC"),
        *("SHT_GNU_versym", "SHT_GNU_verdef", "SHT_GNU_verneed", "SHT_REL", "SHT_RELA"),
    }
)
"""Types of sections that are found by what ``.dynamic`` says, not from code."""
_MOST_SECTIONS: Final = 1 << 16
_SEGMENTS_THAT_COUNT: Final = ("PT_TLS", "PT_GNU_STACK", "PT_GNU_RELRO", "PT_GNU_EH_FRAME")
_OWN_SIZE: Final = "DT_STRSZ"


class Alteration(NamedTuple):
    """What differs, where nothing else does."""

    stripped: bool
    """Symbols or debugging information were taken out."""
    search_path: tuple[str, str] | None
    """RPATH or RUNPATH before and now."""

    def words(self) -> str:
        """What was done, for people."""
        done = ["its symbols were stripped"] if self.stripped else []
        if self.search_path is not None:
            before, now = self.search_path
            done.append(
                f"its search path is {now!r} instead of {before!r}" if now else f"it lost its search path {before!r}"
            )
        return " and ".join(done)


class _Image:
    """One file, its sections by name, and its dynamic entries in order."""

    def __init__(self, descriptor: int) -> None:
        self.reader = BoundedReader(FileBytes(descriptor))
        self.header = read_header(self.reader)
        segments = read_segments(self.reader, self.header)
        if segments.dynamic is None:
            raise MalformedElf("no dynamic section")
        read_dynamic(self.reader, *segments.dynamic)
        self.dynamic = segments.dynamic
        rows = read_section_headers(self.reader, self.header)
        if not 0 < len(rows) == self.header.e_shnum < _MOST_SECTIONS:
            raise MalformedElf("no section headers")
        table = rows[self.header.e_shstrndx] if self.header.e_shstrndx < len(rows) else None
        names = self.reader.view(table.sh_offset, table.sh_size) if table else b""
        found = [os.fsdecode(names[row.sh_name : names.find(b"\0", row.sh_name)]) for row in rows]
        self.sections = dict(zip(found, rows, strict=True))
        if len(self.sections) != len(rows):
            raise MalformedElf("two sections of one name")

    def loaded(self) -> dict[str, Any]:
        """The sections that a process sees."""
        return {name: row for name, row in self.sections.items() if row.sh_flags & _ALLOCATED}

    def search_path(self) -> str:
        """RUNPATH, else RPATH; empty where there is none."""
        found = [self.reader.dynamic[tag] for tag in _SEARCH_PATHS if tag in self.reader.dynamic]
        return self.reader.text(found[-1]) if found else ""

    def entries(self) -> Iterator[tuple[str | int, str | int]]:
        """What ``.dynamic`` says, but for the search path; addresses as the section that begins there."""
        at = {row.sh_addr: name for name, row in self.loaded().items() if row.sh_size}
        record = self.reader.structures.Elf_Dyn
        offset, size = self.dynamic
        for entry in self.reader.records(record, offset, size // int(record.sizeof())):
            if entry.d_tag == "DT_NULL":
                return
            if entry.d_tag in {"DT_NEEDED", "DT_SONAME", "DT_FILTER", "DT_AUXILIARY"}:
                yield entry.d_tag, self.reader.text(entry.d_val)
            elif entry.d_tag not in {*_SEARCH_PATHS, _OWN_SIZE}:
                yield entry.d_tag, at.get(entry.d_val, entry.d_val)

    def mapped(self, row: Any) -> tuple[bool, int]:
        """Whether a section's address leads to its bytes, and the rights of that segment."""
        for segment in self.segments():
            if segment.p_type == "PT_LOAD" and segment.p_vaddr <= row.sh_addr < segment.p_vaddr + segment.p_memsz:
                there = row.sh_addr - segment.p_vaddr == row.sh_offset - segment.p_offset
                return there or row.sh_type == "SHT_NOBITS", segment.p_flags
        return row.sh_type == "SHT_NOBITS", 0  # thread-local zeros have no place of their own

    def segments(self) -> Sequence[Any]:
        """The program headers."""
        record = self.reader.structures.Elf_Phdr
        return list(self.reader.records(record, self.header.e_phoff, self.header.e_phnum))

    def that_count(self) -> list[tuple[object, ...]]:
        """What the program headers ask for that is no section."""
        return sorted(
            (row.p_type, row.p_flags, row.p_vaddr, row.p_filesz, row.p_memsz, row.p_align)
            for row in self.segments()
            if row.p_type in _SEGMENTS_THAT_COUNT
        )


def is_elf(path: Path) -> bool:
    """Whether a file begins as a library does."""
    try:
        with path.open("rb") as stream:
            return stream.read(4) == b"\x7fELF"
    except OSError:
        return False


def find_alteration(original: Path, now: Path) -> Alteration | None:
    """What was done to a library, where it is no more than that.

    ``None``: something else differs, or one of both files cannot be read as a library.
    """
    try:
        with original.open("rb") as first, now.open("rb") as second:
            return _compare(_Image(first.fileno()), _Image(second.fileno()))
    except (OSError, MalformedElf):
        return None


def _compare(before: _Image, after: _Image) -> Alteration | None:
    if any(before.header[field] != after.header[field] for field in ("e_machine", "e_type", "e_flags", "e_entry")):
        return None
    paths = before.search_path(), after.search_path()
    same = (
        before.reader.layout == after.reader.layout
        and before.loaded().keys() == after.loaded().keys()
        and list(before.entries()) == list(after.entries())
        and before.that_count() == after.that_count()
        and all(_is_same(name, before, after) for name in before.loaded())
        and _names_are_same(before, after)
    )
    stripped = any(
        name not in after.sections or after.sections[name].sh_size < row.sh_size
        for name, row in before.sections.items()
        if not row.sh_flags & _ALLOCATED
    )
    if not same or not (stripped or paths[0] != paths[1]):
        return None
    return Alteration(stripped=stripped, search_path=paths if paths[0] != paths[1] else None)


def _is_same(name: str, before: _Image, after: _Image) -> bool:
    old, new = before.sections[name], after.sections[name]
    if old.sh_flags != new.sh_flags or old.sh_type != new.sh_type:
        return False
    where = before.mapped(old), after.mapped(new)
    if not where[1][0] or (old.sh_type not in _MAY_MOVE and name != ".interp" and old.sh_addr != new.sh_addr):
        return False
    if old.sh_addr == new.sh_addr and where[0] != where[1]:
        return False
    if name in _REWRITTEN:
        return True  # compared by what they say
    if old.sh_size != new.sh_size:
        return False
    if old.sh_type == "SHT_NOBITS":
        return True
    if name == ".dynsym":
        return _symbols(before.reader, old) == _symbols(after.reader, new)
    return all(
        before.reader.view(old.sh_offset + at, min(_BLOCK, old.sh_size - at))
        == after.reader.view(new.sh_offset + at, min(_BLOCK, old.sh_size - at))
        for at in range(0, old.sh_size, _BLOCK)
    )


def _symbols(reader: BoundedReader, row: Any) -> tuple[bytes, list[int]]:
    """The dynamic symbols: their bytes without the number of their section; that only whether they have one.

    Who moves sections does not always count them anew, and no loader asks.
    """
    size, at = (24, 6) if reader.layout.bits == 64 else (16, 14)
    table = bytearray(reader.view(row.sh_offset, row.sh_size // size * size))
    numbers = read_words(reader, row.sh_offset, len(table), "H")[at // 2 :: size // 2]
    table[at::size] = table[at + 1 :: size] = bytes(len(numbers))
    return bytes(table), [min(number, 1) if number < _RESERVED else number for number in numbers]


def _names_are_same(before: _Image, after: _Image) -> bool:
    """Whether the names of symbols and versions are: the table may have grown, and the old search path is in it."""
    old, new = before.reader.strings, after.reader.strings
    if len(new) < len(old):
        return False
    changed = bytearray(new[: len(old)])
    for tag in _SEARCH_PATHS:
        if tag in before.reader.dynamic:
            start = before.reader.dynamic[tag]
            part = slice(start, start + len(before.reader.name(start)) + 1)
            changed[part] = old[part]
    return changed == old
