"""Rows are read as pyelftools reads them: every record that is read here, of each class and byte order."""

from __future__ import annotations

from typing import Any

import pytest
from elftools.elf.structs import ELFStructs
from hypothesis import given, settings
from hypothesis import strategies as st

from dataloader.elf.rows import rows_of

_PLAIN = ("Elf_Phdr", "Elf_Shdr", "Elf_Dyn", "Elf_Verneed", "Elf_Vernaux", "Elf_Verdef", "Elf_Verdaux")


def _record(name: str, *, little: bool, bits: int) -> Any:
    structures = ELFStructs(little_endian=little, elfclass=bits)
    structures.create_basic_structs()
    structures.create_advanced_structs()
    return getattr(structures, name)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
@pytest.mark.parametrize("name", _PLAIN)
@settings(max_examples=20)
@given(noise=st.binary(min_size=256, max_size=256), low=st.integers(0, 40))
def test_a_row_is_what_pyelftools_makes_of_it(name: str, little: bool, bits: int, noise: bytes, low: int) -> None:
    record = _record(name, little=little, bits=bits)
    rows = rows_of(record)
    assert rows is not None
    size = record.sizeof()
    small = bytes([low, 0, 0, 0, low, 0, 0, 0][: size % 8 or 8]) + bytes(256)  # enumerations have small numbers
    data = noise[:size] + small[:size] + small[:size][::-1]
    found = list(rows.read(data))
    assert len(found) == 3
    for at, row in enumerate(found):
        whole = record.parse(data[at * size : (at + 1) * size])
        assert row._asdict() == {name: whole[name] for name in row._fields}


def test_what_is_worked_out_of_others_is_all_that_is_left_out() -> None:
    record = _record("Elf_Dyn", little=True, bits=64)
    rows = rows_of(record)
    assert rows is not None
    (row,) = rows.read(bytes(record.sizeof()))
    assert {"d_ptr"} == {each.name for each in record.subcons} - set(row._fields)


def test_a_record_within_a_record_is_left_to_pyelftools() -> None:
    assert rows_of(_record("Elf_Ehdr", little=True, bits=64)) is None
