"""Small pure functions of verify: records, names, versions, import order."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataloader.base.core_metadata import parse_headers
from dataloader.elf.cache import FactsCache, facts_from_dict, facts_to_dict
from dataloader.elf.definitions import Asked, gnu_hash
from dataloader.elf.dynamic import VersionNeed
from dataloader.elf.facts import ElfFacts
from dataloader.elf.gpucode import GpuCode
from dataloader.loader.model import hwcaps_of
from dataloader.loader.system import DescribedSystem, version_tuple
from dataloader.machine.target import Target
from dataloader.prefix.python import Interpreter, extension_tag
from dataloader.prefix.records import (
    BadRecord,
    InstalledPackage,
    Owners,
    RecordedFile,
    RecordedFiles,
    inside,
    parse_record,
    required_names,
)
from dataloader.prefix.walk import is_library_name
from dataloader.verify.checks.sources import Import, module_name, parse_module
from dataloader.verify.tables import install_command, load_tables


@pytest.mark.parametrize(
    ("name", "python", "expected"),
    [
        ("_x.cpython-311-x86_64-linux-gnu.so", "3.11", True),
        ("_x.cpython-310-x86_64-linux-gnu.so", "3.11", False),
        ("_x.cpython-31-x86_64-linux-gnu.so", "3.11", False),
        ("_x.cpython-37m-x86_64-linux-gnu.so", "3.7", True),
        ("_x.abi3.so", "3.13", True),
        ("_x.so", "3.11", True),
        ("_x.pypy310-pp73-x86_64-linux-gnu.so", "3.10", False),
        ("_x.cpython-310-x86_64-linux-gnu.so", None, True),
    ],
)
def test_which_extensions_a_python_takes(name: str, python: str | None, expected: bool) -> None:
    assert Interpreter(version=python).takes_extension(name) is expected


def test_tag_of_a_library_is_none() -> None:
    assert extension_tag("libfoo.1.2.so") is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("libx.so", True), ("libx.so.1.2", True), ("x.so.txt", False), ("x.sorted", False), ("libx.so.1.dbg", False)],
)
def test_names_of_libraries(name: str, expected: bool) -> None:
    assert is_library_name(name) is expected


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("lib/site", "a/b.py", "lib/site/a/b.py"),
        ("lib/site", "../../bin/x", "bin/x"),
        ("", "a/./b", "a/b"),
        ("lib", "a..b/c", "lib/a..b/c"),
    ],
)
def test_recorded_paths_become_relative_to_the_prefix(base: str, name: str, expected: str) -> None:
    assert inside(base, name) == expected


@pytest.mark.parametrize(
    ("base", "name"), [("lib", "../../x"), ("lib", "/etc/passwd"), ("", "a/../../x"), ("", "a\0b")]
)
def test_recorded_paths_that_leave_the_prefix_are_refused(base: str, name: str) -> None:
    with pytest.raises(BadRecord):
        inside(base, name)


def test_record_rows_keep_hash_and_size() -> None:
    digest = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
    text = f'"a, b.py",sha256={digest},0\nb.py,md5=xx,1\nRECORD,,\n'

    rows = list(parse_record(text, "lib"))

    assert [(row.path, row.size) for row in rows] == [("lib/a, b.py", 0), ("lib/b.py", 1), ("lib/RECORD", None)]
    assert rows[0].sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert rows[1].sha256 is None


def test_headers_are_folded_and_end_at_the_blank_line() -> None:
    text = "Name: x\nRequires-Dist: a\nRequires-Dist: b;\n  python_version < '3'\n\nName: body\n"

    assert parse_headers(text) == {"name": ["x"], "requires-dist": ["a", "b; python_version < '3'"]}


def test_required_names_are_normalised() -> None:
    assert required_names(["Foo_Bar[x]>=1; y", "a @ https://x", "  !"]) == ["foo-bar", "a"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s/a/_b.abi3.so", "a._b"),
        ("s/a/__init__.py", "a"),
        ("s/a-1.0.dist-info/x.py", None),
        ("t/a.py", None),
        ("s/a/data.txt", None),
    ],
)
def test_module_of_a_path(path: str, expected: str | None) -> None:
    assert module_name(path, "s") == expected


def test_imports_are_absolute_and_know_their_guards() -> None:
    source = (
        "from . import a\nfrom .b import c\nimport d.e\n"
        "try:\n    import f\nexcept ImportError:\n    f = None\nelse:\n    import g\n"
        "if x:\n    import h\n"
        "def k():\n    import i\n"
        "X = 'libx'\n"
    )

    text = parse_module(source, "pkg.mod", is_package=False)

    plain = {each.module for each in text.imports if not each.guarded}
    guarded = {each.module for each in text.imports if each.guarded}
    assert plain == {"pkg", "pkg.a", "pkg.b", "pkg.b.c", "d.e", "g"}
    assert guarded == {"f", "h", "i"}
    assert "libx" in text.constants


def test_relative_import_of_a_package_starts_at_itself() -> None:
    assert Import("pkg.x", False) in parse_module("from . import x", "pkg", is_package=True).imports
    assert Import("pkg.x", False) in parse_module("from ..x import y", "pkg.sub", is_package=True).imports


def test_source_that_is_none_has_no_imports() -> None:
    assert parse_module("def (:\n", "x", is_package=False).imports == ()
    assert parse_module("(" * 5000, "x", is_package=False).imports == ()


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


def test_record_with_a_field_that_csv_refuses_is_bad() -> None:
    with pytest.raises(BadRecord, match="field larger"):
        parse_record(f'"{"x" * 200_000}",,\n', "lib")


def test_recorded_files_are_rows_and_columns() -> None:
    files = RecordedFiles([RecordedFile("a", "sha256=x", 1), RecordedFile("b")])

    assert list(files) == [("a", "sha256=x", 1), ("b", None, None)]
    assert files.columns == (["a", "b"], ["sha256=x", None], [1, None])
    assert (files[1].path, len(files), len(files[:1]), len(RecordedFiles())) == ("b", 2, 1, 0)
    assert files == RecordedFiles.of(["a", "b"], ["sha256=x", None], [1, None]) != RecordedFiles()


def test_owners_are_known_for_what_is_asked_and_for_all_else() -> None:
    first, last = (
        InstalledPackage(
            kind="pypi",
            name=name,
            version="1",
            path=name,
            files=RecordedFiles(map(RecordedFile, ("x.so", f"{name}.py"))),
        )
        for name in ("first", "last")
    )
    asked = {"x.so": "key", "nobody.so": "key"}

    owners = Owners([first, last], asked, Owners.recorded([first, last], asked))

    assert owners["x.so"] == last  # what lies there now is its own
    assert (owners.get("nobody.so"), owners.get("first.py"), owners.get("gone.py")) == (None, first, None)
    assert list(owners.recorded_by(first)) == ["x.so"]
    assert sorted(owners) == ["first.py", "last.py", "x.so"]
    assert len(owners) == 3


def test_only_new_names_are_asked_for() -> None:
    asked = Asked([b"a"])

    assert (asked.add([b"a"]), asked.add([b"a", b"b"])) == (False, True)
    assert asked.names == {b"a", b"b"}
    assert {gnu_hash(b"b") | 1, gnu_hash(b"b") & ~1} <= asked.hashes.keys()


def test_cache_without_a_directory_keeps_nothing() -> None:
    assert FactsCache(None).load_facts("0" * 64) is None


def test_described_target_offers_versions_up_to_its_own() -> None:
    system = DescribedSystem(target=Target(glibc="2.28", libstdcxx="3.4.25"), core=frozenset({"libc.so.6"}))

    assert system.has_version("libc.so.6", "GLIBC_2.28") is True
    assert system.has_version("libc.so.6", "GLIBC_2.34") is False
    assert system.has_version("libstdc++.so.6", "GLIBCXX_3.4.9") is True
    assert system.has_version("libstdc++.so.6", "GLIBCXX_3.4.30") is False
    assert system.has_version("libgcc_s.so.1", "GCC_3.0") is None
    assert system.has_version("libc.so.6", "GLIBC_PRIVATE") is None


def test_version_tuple_takes_numbers_only() -> None:
    assert version_tuple("2.34") == (2, 34)
    assert version_tuple("PRIVATE") is None
    assert version_tuple("²") is None


def test_capability_folders_follow_the_level() -> None:
    assert hwcaps_of("x86_64_v2", "x86_64") == ("glibc-hwcaps/x86-64-v2",)
    assert hwcaps_of("zen4", "x86_64") == ()
    assert hwcaps_of(None, "aarch64") == ()


def test_tables_load_and_each_row_has_its_source() -> None:
    tables = load_tables()

    assert tables.providers["libcudart.so.12"].cuda_majors == ("12",)
    assert tables.providers["libcuda.so.1"].driver
    assert {opening.needs for opening in tables.openings} <= {"always", "stack", "optional"}
    assert "libc.so.6" in tables.system["always"]


@pytest.mark.parametrize(
    ("soname", "major", "conda", "expected"),
    [
        ("libcublas.so.12", "12", False, "dataloader install nvidia-cublas-cu12"),
        ("libnccl.so.2", "11", False, "dataloader install nvidia-nccl-cu11"),
        ("libstdc++.so.6", None, True, "dataloader install conda:conda-forge::libstdcxx"),
        ("libcuda.so.1", "12", False, None),
        ("libnobody.so.1", None, False, None),
    ],
)
def test_command_that_brings_a_library(soname: str, major: str | None, conda: bool, expected: str | None) -> None:
    assert install_command(soname, major, conda=conda) == expected
