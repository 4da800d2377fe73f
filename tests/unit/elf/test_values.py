"""Facts of ELF files, and the names that are looked for in them."""

from __future__ import annotations

from pathlib import Path

from dataloader.elf.cache import FactsCache, facts_from_dict, facts_to_dict
from dataloader.elf.definitions import AskedNames, gnu_hash
from dataloader.elf.dynamic import VersionNeed
from dataloader.elf.facts import ElfFacts
from dataloader.elf.gpucode import GpuCode


def test_facts_and_symbols_survive_the_cache(tmp_path: Path) -> None:
    facts = ElfFacts(
        machine="x86_64",
        bits=64,
        needed=("liba.so", "b\udcff"),
        rpath="$ORIGIN",
        version_needs=(VersionNeed(file="libc.so.6", version="GLIBC_2.34", weak=True),),
        version_definitions=("A_1",),
        gpu=(GpuCode("cubin", "90a", 3),),
        python_init=("_x",),
    )
    undefined = frozenset({b"a@V", b"b", b"\xc3\xa9"})
    cache = FactsCache(tmp_path)
    cache.store("0" * 64, facts, undefined)
    cache.store("1" * 64, facts, frozenset())

    again = FactsCache(tmp_path)
    assert again.load_facts("0" * 64) == facts
    assert again.load_undefined("0" * 64) == undefined
    assert again.load_undefined("1" * 64) == frozenset()
    assert facts_from_dict(facts_to_dict(facts._replace(version_definitions=None))).version_definitions is None


def test_hash_is_that_of_the_gnu_hash_table() -> None:
    # The known value of one name, and the loop of dl-new-hash.h: for long names, and for bytes that are not ASCII.
    assert gnu_hash(b"printf") == 0x156B2BB8
    assert gnu_hash(b"") == 5381
    for name in (b"_Z" + b"x" * 100, b"y" * 5000, bytes(range(1, 256))):
        value = 5381
        for byte in name:
            value = (value * 33 + byte) & 0xFFFFFFFF
        assert gnu_hash(name) == value


def test_only_new_names_are_asked_for() -> None:
    asked = AskedNames([b"a"])

    asked.add([b"a@V", b"a"])
    asked.add([b"a", b"b"])

    assert asked.added == [{b"a"}, {b"b"}]
    assert asked.names == {b"a", b"b"}
    assert (asked.since(0).names, asked.since(1).names, asked.since(2).names) == ({b"a", b"b"}, {b"b"}, set())
    assert {gnu_hash(b"b") | 1, gnu_hash(b"b") & ~1} <= asked.hashes.keys()


def test_cache_without_a_directory_keeps_nothing() -> None:
    assert FactsCache(None).load_facts("0" * 64) is None
