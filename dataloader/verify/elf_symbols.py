"""Symbol versions and dynamic symbols of an ELF image: LSB symbol versioning, GNU and System V hash tables."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from dataloader.verify.elf_image import (
    DT_GNU_HASH,
    DT_HASH,
    DT_JMPREL,
    DT_PLTREL,
    DT_PLTRELSZ,
    DT_REL,
    DT_RELA,
    DT_RELASZ,
    DT_RELSZ,
    DT_SYMTAB,
    DT_VERDEF,
    DT_VERDEFNUM,
    DT_VERNEED,
    DT_VERNEEDNUM,
    DT_VERSYM,
    SHN_ABS,
    SHT_DYNSYM,
    STB_WEAK,
    STT_TLS,
    VER_FLG_BASE,
    VER_FLG_WEAK,
    Header,
    MalformedElf,
    Reader,
    read_words,
)
from dataloader.verify.symbols import Symbols

_MAX_CHAIN: Final = 1 << 16
_ROWS: Final = 1 << 13
"""Rows of the table that are taken apart at a time: a library may have 300,000, and names of 180 bytes."""
MAX_VERSIONS: Final = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNeed:
    """One entry of ``.gnu.version_r``: ``version`` of the library that was linked as ``file``."""

    file: str
    version: str
    weak: bool = False


def read_version_needs(reader: Reader) -> tuple[tuple[VersionNeed, ...], dict[int, bytes]]:
    """Version needs, and version index -> name for the symbols that use them."""
    needs: list[VersionNeed] = []
    names: dict[int, bytes] = {}
    address = reader.dynamic.get(DT_VERNEED)
    if address is None:
        return (), names
    at = reader.offset_of(address)
    for _ in range(min(reader.dynamic.get(DT_VERNEEDNUM, 0), MAX_VERSIONS)):
        _, count, file, aux, following = reader.unpack("HHIII", at)
        file_name = reader.text(file)
        aux_at = at + aux
        for _ in range(count):
            _, flags, index, name, aux_following = reader.unpack("IHHII", aux_at)
            names[index & 0x7FFF] = reader.name(name)
            needs.append(VersionNeed(file=file_name, version=reader.text(name), weak=bool(flags & VER_FLG_WEAK)))
            if len(needs) > MAX_VERSIONS:
                raise MalformedElf("too many version needs")
            if not aux_following:
                break
            aux_at += aux_following
        if not following:
            break
        at += following
    return tuple(needs), names


def read_version_definitions(reader: Reader, names: dict[int, bytes]) -> tuple[str, ...] | None:
    """Versions offered; adds their indexes to ``names``. The base definition's name matches no reference."""
    address = reader.dynamic.get(DT_VERDEF)
    if address is None:
        return None
    found: list[str] = []
    at = reader.offset_of(address)
    for _ in range(min(reader.dynamic.get(DT_VERDEFNUM, 0), MAX_VERSIONS)):
        _, flags, index, _, _, aux, following = reader.unpack("HHHHIII", at)
        if not flags & VER_FLG_BASE:
            (name, _) = reader.unpack("II", at + aux)
            names[index & 0x7FFF] = reader.name(name)
            found.append(reader.text(name))
        if not following:
            break
        at += following
    return tuple(found)


def _symbol_count(reader: Reader, header: Header) -> int:
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


def _gnu_hash_count(reader: Reader) -> int:
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


def relocated_symbols(reader: Reader) -> set[int]:
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


def read_symbols(reader: Reader, header: Header, versions: dict[int, bytes]) -> Symbols:
    """All dynamic symbols. The columns of the table are sliced and zipped: a torch environment has 200,000 rows."""
    if DT_SYMTAB not in reader.dynamic or not reader.strings:
        return Symbols()
    wide = reader.layout.bits == 64
    width = 6 if wide else 4
    count = _symbol_count(reader, header)
    words = read_words(reader, reader.offset_of(reader.dynamic[DT_SYMTAB]), 4 * width * count, "I")
    names, info = words[0::width], words[1 if wide else 3 :: width]
    # The upper half of a 64-bit value cannot matter on its own: no symbol lies at a multiple of 4 GiB.
    values = words[2 if wide else 1 :: width]
    indexes = array("H", bytes(2 * count))
    if DT_VERSYM in reader.dynamic:
        indexes = read_words(reader, reader.offset_of(reader.dynamic[DT_VERSYM]), 2 * count, "H")
    columns = (names, info, values, indexes)
    take = _versioned_symbols if DT_VERDEF in reader.dynamic else _unversioned_symbols
    found: tuple[list[bytes], ...] = ([], [], [], [])
    for start in range(0, count, _ROWS):
        rows = [column[start : start + _ROWS] for column in columns]
        for pieces, piece in zip(found, take(reader.strings, rows, versions), strict=True):
            if piece:
                pieces.append(b"\0".join(piece))
    exact, plain, base, undefined = found
    return Symbols(exact=exact, plain=plain, base=base if DT_VERDEF in reader.dynamic else None, undefined=undefined)


_Lists: TypeAlias = tuple[list[bytes], list[bytes], list[bytes], list[bytes]]
"""Names as the fields of :class:`Symbols`."""


def _unversioned_symbols(strings: bytes, columns: Sequence[array[int]], versions: dict[int, bytes]) -> _Lists:
    """Of a file that defines no versions: any reference finds its definitions.

    Section in the upper half of a word, then visibility, binding and type; binding 0 is local, section 0 undefined.
    """
    find = strings.find
    undefined = [
        (strings[start : find(b"\0", start)], index)
        for start, word, _, index in zip(*columns, strict=False)
        if word < 0x10000 and word & 0xF0 and word & 0xF0 != STB_WEAK << 4 and start
    ]
    defined = [
        strings[start : find(b"\0", start)]
        for start, word, value, _ in zip(*columns, strict=False)
        if word >= 0x10000 and word & 0xF0 and start and (value or word >> 16 == SHN_ABS or word & 15 == STT_TLS)
    ]
    named = [name + b"@" + versions[index] if index in versions else name for name, index in undefined]
    return [], defined, [], named


def _versioned_symbols(strings: bytes, columns: Sequence[array[int]], versions: dict[int, bytes]) -> _Lists:
    find = strings.find
    exact: list[bytes] = []
    plain: list[bytes] = []
    base: list[bytes] = []
    undefined: list[bytes] = []
    for start, word, value, index in zip(*columns, strict=False):
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
    return exact, plain, base, undefined
