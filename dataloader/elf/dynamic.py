"""Symbol versions and dynamic symbols of an ELF image: LSB symbol versioning, GNU and System V hash tables."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress, repeat
from typing import Any, Final, NamedTuple

from dataloader.elf.definitions import AskedNames, Definitions
from dataloader.elf.image import (
    SHN_ABS,
    STB_LOCAL,
    STB_WEAK,
    STT_TLS,
    VER_FLG_BASE,
    VER_FLG_WEAK,
    BoundedReader,
    MalformedElf,
    read_words,
)

DT_RELA: Final = 7
"""The value that DT_PLTREL has for relocations with addends."""
_MAX_CHAIN: Final = 1 << 16
_MAX_NAMES: Final = 256 << 20
"""Bytes of names taken from one table: rows of a hostile file may all begin within one long string."""
MAX_VERSIONS: Final = 1 << 16
_PART: Final = 8 << 10
"""Bytes of tables that are read in the time of one symbol by itself: of libtorch_cuda.so 11 MB for 90 symbols."""
_ZEROS: Final = re.compile(rb"\0+")


class VersionNeed(NamedTuple):
    """One entry of ``.gnu.version_r``: ``version`` of the library that was linked as ``file``."""

    file: str
    version: str
    weak: bool = False


def read_version_needs(reader: BoundedReader) -> tuple[tuple[VersionNeed, ...], dict[int, bytes]]:
    """Version needs, and version index -> name for the symbols that use them."""
    needs: list[VersionNeed] = []
    names: dict[int, bytes] = {}
    address = reader.dynamic.get("DT_VERNEED")
    if address is None:
        return (), names
    at = reader.offset_of(address)
    records = reader.structures
    for _ in range(min(reader.dynamic.get("DT_VERNEEDNUM", 0), MAX_VERSIONS)):
        need = reader.record(records.Elf_Verneed, at)
        file_name = reader.text(need.vn_file)
        aux_at = at + need.vn_aux
        for _ in range(need.vn_cnt):
            aux = reader.record(records.Elf_Vernaux, aux_at)
            names[aux.vna_other & 0x7FFF] = reader.name(aux.vna_name)
            weak = bool(aux.vna_flags & VER_FLG_WEAK)
            needs.append(VersionNeed(file=file_name, version=reader.text(aux.vna_name), weak=weak))
            if len(needs) > MAX_VERSIONS:
                raise MalformedElf("too many version needs")
            if not aux.vna_next:
                break
            aux_at += aux.vna_next
        if not need.vn_next:
            break
        at += need.vn_next
    return tuple(needs), names


def read_version_definitions(reader: BoundedReader, names: dict[int, bytes]) -> tuple[str, ...] | None:
    """Versions offered; adds their indexes to ``names``. The base definition's name matches no reference."""
    address = reader.dynamic.get("DT_VERDEF")
    if address is None:
        return None
    found: list[str] = []
    at = reader.offset_of(address)
    for _ in range(min(reader.dynamic.get("DT_VERDEFNUM", 0), MAX_VERSIONS)):
        definition = reader.record(reader.structures.Elf_Verdef, at)
        if not definition.vd_flags & VER_FLG_BASE:
            name = reader.record(reader.structures.Elf_Verdaux, at + definition.vd_aux).vda_name
            names[definition.vd_ndx & 0x7FFF] = reader.name(name)
            found.append(reader.text(name))
        if not definition.vd_next:
            break
        at += definition.vd_next
    return tuple(found)


def _symbol_count(reader: BoundedReader, sections: Sequence[Any]) -> int:
    """Entries of the dynamic symbol table: by its section, else by its hash tables, else by what relocations name."""
    entry = 24 if reader.layout.bits == 64 else 16
    for section in sections:
        if section.sh_type == "SHT_DYNSYM" and section.sh_addr == reader.dynamic["DT_SYMTAB"]:
            return int(section.sh_size // entry)
    if "DT_HASH" in reader.dynamic:
        return reader.unpack("II", reader.offset_of(reader.dynamic["DT_HASH"]))[1]
    count = 0
    if "DT_GNU_HASH" in reader.dynamic:
        first, chains = _gnu_hash_table(reader)
        count = first + len(chains)
    return max(count, max(relocated_symbols(reader), default=0) + 1)


def _gnu_hash_table(reader: BoundedReader) -> tuple[int, array[int]]:
    """The first symbol of the GNU hash table, and the hashes of it and all that follow, but for their lowest bits."""
    at = reader.offset_of(reader.dynamic["DT_GNU_HASH"])
    buckets, first, bloom, _ = reader.unpack("IIII", at)
    table = at + 16 + bloom * (reader.layout.bits // 8)
    chains = table + 4 * buckets
    count = max(read_words(reader, table, 4 * buckets, "I"), default=0) + 1 - first
    if count <= 0:
        return first, array("I")
    for _ in range(_MAX_CHAIN):
        if reader.unpack("I", chains + 4 * (count - 1))[0] & 1:
            return first, read_words(reader, chains, 4 * count, "I")
        count += 1
    raise MalformedElf("a chain of the hash table does not end")


def relocated_symbols(reader: BoundedReader, *, at_once: bool = False) -> set[int]:
    """Indexes of the symbols that relocations refer to. A symbol that none refers to is never looked up.

    Args:
        at_once: Leave out those of calls through the PLT, which are looked up when they are first made.
    """
    dynamic = reader.dynamic
    tables = [
        ("DT_RELA", "DT_RELASZ", True),
        ("DT_REL", "DT_RELSZ", False),
        ("DT_JMPREL", "DT_PLTRELSZ", dynamic.get("DT_PLTREL", DT_RELA) == DT_RELA),
    ]
    shift = 32 if reader.layout.bits == 64 else 8
    found: set[int] = set()
    for address_tag, size_tag, addend in tables:
        if address_tag not in dynamic or (at_once and address_tag == "DT_JMPREL"):
            continue
        record = reader.layout.struct("PPP" if addend else "PP")
        size = dynamic.get(size_tag, 0) // record.size * record.size
        table = reader.view(reader.offset_of(dynamic[address_tag]), size)
        found.update(fields[1] >> shift for fields in record.iter_unpack(table))
    found.discard(0)
    return found


class SymbolTable:
    """The dynamic symbols of an image: of 300,000 rows only those that matter are taken apart."""

    def __init__(
        self, reader: BoundedReader, sections: Callable[[], Sequence[Any]], versions: Mapping[int, bytes]
    ) -> None:
        """``sections``: gives the section headers; ``versions``: index -> name, of needs and definitions."""
        self._reader, self._sections, self._versions = reader, sections, versions
        self._bytes_left = _MAX_NAMES
        self._layout = _RowLayout(reader)
        self._is_there = "DT_SYMTAB" in reader.dynamic and reader.string_table[1] > 0
        self._at = reader.offset_of(reader.dynamic["DT_SYMTAB"]) if self._is_there else 0
        versions_at = reader.dynamic.get("DT_VERSYM") if self._is_there else None
        self._indexes_at = reader.offset_of(versions_at) if versions_at is not None else None

    @cached_property
    def _count(self) -> int:
        return _symbol_count(self._reader, self._sections()) if self._is_there else 0

    def _rows(self, count: int) -> bytes:
        return self._reader.view(self._at, self._layout.size * count)

    def _indexes(self, count: int) -> array[int]:
        """Version of each symbol."""
        if self._indexes_at is None:
            return array("H", bytes(2 * count))
        return read_words(self._reader, self._indexes_at, 2 * count, "H")

    def undefined(self) -> frozenset[bytes]:
        """``name`` or ``name@version`` of undefined symbols that are not weak."""
        suffixes = {index: b"@" + name for index, name in self._versions.items() if name and index > 1}
        indexes, rows = self._indexes(self._count), self._named(self._undefined())
        return frozenset(name + suffixes.get(indexes[row] & 0x7FFF, b"") for row, name in rows)

    def _undefined(self) -> Iterator[tuple[int, int]]:
        """Row, and position of the name, of each symbol without a section that is neither local nor weak."""
        table = self._rows(self._count)
        lower = table[self._layout.section :: self._layout.size]
        for run in _ZEROS.finditer(lower):
            for row, (name, info, section, _) in enumerate(self._layout.unpack(table, *run.span()), run.start()):
                if not section and info >> 4 not in (STB_LOCAL, STB_WEAK):
                    yield row, name

    def _named(self, rows: Iterable[tuple[int, int]]) -> Iterator[tuple[int, bytes]]:
        """Those of the rows that have a name, and their names."""
        strings, left = self._reader.strings, self._bytes_left
        for row, start in rows:
            if start:
                name = strings[start : strings.find(b"\0", start)]
                left -= len(name)
                if left < 0:
                    raise MalformedElf("the names of its symbols overlap")
                yield row, name
        self._bytes_left = left

    def definitions(self, asked: AskedNames | None = None) -> Definitions:
        """What the file defines: of the names asked for, else all of it."""
        count, rows = self._candidates(asked)
        by_themselves = len(rows) * _PART <= self._layout.size * count + self._reader.string_table[1]
        names = None if asked is None else asked.names
        found = self._defined(rows, names, table=None if by_themselves else self._rows(count))
        if "DT_VERDEF" not in self._reader.dynamic:  # any reference finds them
            plain = frozenset(name for _, name in found)
            return Definitions(plain=plain, base=plain)
        index_of = self._index if by_themselves else self._indexes(count).__getitem__
        labels = [(name, index, self._versions.get(index & 0x7FFF)) for row, name in found for index in [index_of(row)]]
        return Definitions(
            exact=frozenset(name + b"@" + label for name, _, label in labels if label),
            plain=frozenset(name for name, index, _ in labels if index & 0x7FFF <= 2 or not index & 0x8000),
            base=frozenset(name for name, index, label in labels if not label and not index & 0x8000),
        )

    def _candidates(self, asked: AskedNames | None) -> tuple[int, Sequence[int]]:
        """How many rows there are to choose from, and those whose hash is asked for; all without a GNU hash table."""
        if asked is None or not self._is_there or "DT_GNU_HASH" not in self._reader.dynamic:
            return self._count, range(self._count)
        first, chains = _gnu_hash_table(self._reader)
        count = first + len(chains)
        if asked.hashes.keys().isdisjoint(chains):  # half the time, of the many that have none of a few names
            return count, ()
        return count, list(compress(range(first, count), map(asked.hashes.__contains__, chains)))

    def _defined(
        self, rows: Sequence[int], names: Container[bytes] | None, table: bytes | None
    ) -> list[tuple[int, bytes]]:
        """Those of the rows that are neither undefined nor local, lie somewhere, and have one of these names.

        Args:
            table: All rows; ``None`` where each is read by itself.
        """
        fields = map(self._row, rows) if table is None else self._layout.at(table, rows)
        name_at, left = self._name if table is None else self._names(), self._bytes_left
        found: list[tuple[int, bytes]] = []
        for row, (start, info, section, value) in zip(rows, fields, strict=True):
            if start and section and info >> 4 != STB_LOCAL and (value or section == SHN_ABS or info & 15 == STT_TLS):
                name = name_at(start)
                left -= len(name)
                if left < 0:
                    raise MalformedElf("the names of its symbols overlap")
                if names is None or name in names:
                    found.append((row, name))
        self._bytes_left = left
        return found

    # -- one by itself, or in its table, which is read for it ---------------------------------------------------------

    def _row(self, row: int) -> tuple[int, ...]:
        return self._layout.row(self._reader.view(self._at + self._layout.size * row, self._layout.size))

    def _index(self, row: int) -> int:
        return self._reader.unpack("H", self._indexes_at + 2 * row)[0] if self._indexes_at is not None else 0

    def _name(self, start: int) -> bytes:
        return self._reader.name_by_itself(start) or b""

    def _names(self) -> Callable[[int], bytes]:
        strings = self._reader.strings
        find = strings.find
        return lambda start: strings[start : find(b"\0", start)]


class _RowLayout:
    """How one row of a symbol table is laid out, of each class."""

    def __init__(self, reader: BoundedReader) -> None:
        self._wide = reader.layout.bits == 64
        self._struct = reader.layout.struct("IBxHQ8x" if self._wide else "II4xBxH")
        self.size = self._struct.size
        self.section = (6 if self._wide else 14) + (reader.layout.order == ">")
        """Position of the lower byte of the section's number."""

    def row(self, data: bytes) -> tuple[int, ...]:
        """Name, binding and type, section, and value of the row in ``data``."""
        fields = self._struct.unpack(data)
        return fields if self._wide else _reordered(fields)

    def at(self, table: bytes, rows: Iterable[int]) -> Iterable[tuple[int, ...]]:
        """The same of these rows of a table."""
        fields = map(self._struct.unpack_from, repeat(table), map(self.size.__mul__, rows))
        return fields if self._wide else map(_reordered, fields)

    def unpack(self, rows: bytes, start: int, stop: int) -> Iterable[tuple[int, ...]]:
        """The same of several rows."""
        fields = self._struct.iter_unpack(rows[start * self.size : stop * self.size])
        return fields if self._wide else map(_reordered, fields)


def _reordered(fields: tuple[int, ...]) -> tuple[int, ...]:
    """A row of 32 bits, in the order of those of 64."""
    name, value, info, section = fields
    return name, info, section, value
