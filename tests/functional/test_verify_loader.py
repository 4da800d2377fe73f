"""Every rule of the model, judged by the real loader: each case is compiled, opened by dlopen, and modelled."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from dataloader.elf.cache import FactsCache
from dataloader.loader.disk import Disk
from dataloader.loader.model import Failure
from dataloader.loader.process import Process
from dataloader.machine.detect import detect_target
from dataloader.verify.world import build_environment
from tests.helpers.elf import OPENER, make_library, make_opener, make_program, needs_gcc, really_open

pytestmark = needs_gcc


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_opener(tmp_path_factory.mktemp("opener"))


class Case:
    """A folder of libraries, opened by the real loader and by the model."""

    def __init__(self, folder: Path, opener: Path) -> None:
        self.folder = folder
        self.opener = opener
        self.library_path: tuple[str, ...] = ()

    def library(self, name: str, source: str = "", **options: object) -> Path:
        return make_library(self.folder / name, source, **options)  # type: ignore[arg-type]

    def process(self) -> Process:
        files = Disk(self.folder, [], FactsCache(None))
        environment = build_environment(files, detect_target(), described=False, library_path=self.library_path)
        process = Process(environment)
        assert not process.start(str(self.opener))
        return process

    def check(self, *steps: str | Path, loads: bool) -> list[Failure]:
        """Both must agree with ``loads``; gives the model's reasons. A step ``"-g"`` makes the next one global."""
        path = ":".join(self.library_path) or None
        said = really_open(self.opener, *steps, library_path=path)
        assert (said == "ok") is loads, said
        process = self.process()
        make_global = False
        failures: list[Failure] = []
        for step in steps:
            if step == "-g":
                make_global = True
                continue
            failures = process.open(str(step), make_global=make_global).failures
            make_global = False
        assert (not failures) is loads, failures
        return failures


@pytest.fixture
def case(tmp_path: Path, opener: Path) -> Case:
    return Case(tmp_path, opener)


def moved(path: Path, folder: Path) -> Path:
    """``path`` in another folder, so that the link-time place does not help."""
    folder.mkdir(parents=True, exist_ok=True)
    return path.rename(folder / path.name)


def patched(path: Path, offset: int, value: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(value)] = value
    path.write_bytes(data)
    return path


# -- where a library is looked for ---------------------------------------------------------------------------------


def test_dependency_with_a_soname_is_not_found_beside_its_user(case: Case) -> None:
    dependency = case.library("libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[dependency])

    failures = case.check(root, loads=False)

    assert [(failure.kind, failure.name) for failure in failures] == [("missing-library", "libdep.so")]


@pytest.mark.parametrize("tag", ["rpath", "runpath"])
def test_rpath_and_runpath_find_a_dependency(case: Case, tag: str) -> None:
    dependency = case.library("deps/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[dependency], **{tag: "$ORIGIN/deps"})

    case.check(root, loads=True)


def test_rpath_serves_the_dependencies_of_dependencies(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    middle = case.library("deps/libmiddle.so", soname="libmiddle.so", needs=[leaf])
    root = case.library("libroot.so", needs=[middle], rpath="$ORIGIN/deps")

    case.check(root, loads=True)


def test_runpath_serves_its_own_file_only(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    middle = case.library("deps/libmiddle.so", soname="libmiddle.so", needs=[leaf])
    root = case.library("libroot.so", needs=[middle], runpath="$ORIGIN/deps")

    failures = case.check(root, loads=False)

    assert failures[0].path == str(middle)


def test_own_runpath_switches_off_the_rpath_of_parents(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    middle = case.library("deps/libmiddle.so", soname="libmiddle.so", needs=[leaf], runpath="$ORIGIN/nowhere")
    root = case.library("libroot.so", needs=[middle], rpath="$ORIGIN/deps")

    case.check(root, loads=False)


def test_rpath_skips_over_a_parent_with_runpath(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    low = case.library("deps/liblow.so", soname="liblow.so", needs=[leaf])
    middle = case.library("deps/libmiddle.so", soname="libmiddle.so", needs=[low], runpath="$ORIGIN")
    root = case.library("libroot.so", needs=[middle], rpath="$ORIGIN/deps")

    case.check(root, loads=True)


def test_rpath_of_the_program_serves_what_it_opens(tmp_path: Path) -> None:
    case = Case(tmp_path, make_opener(tmp_path, flags=["-Wl,--disable-new-dtags,-rpath,$ORIGIN/deps"]))
    dependency = case.library("deps/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[dependency])

    case.check(root, loads=True)


def test_runpath_of_the_program_does_not_serve_what_it_opens(tmp_path: Path) -> None:
    case = Case(tmp_path, make_opener(tmp_path, flags=["-Wl,--enable-new-dtags,-rpath,$ORIGIN/deps"]))
    dependency = case.library("deps/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[dependency])

    case.check(root, loads=False)


def test_library_path_comes_before_runpath(case: Case) -> None:
    good = case.library("good/libdep.so", "int wanted;", soname="libdep.so")
    bad = case.library("bad/libdep.so", "int other;", soname="libdep.so")
    root = case.library("libroot.so", "extern int wanted; int *f = &wanted;", needs=[good], runpath="$ORIGIN/good")
    case.check(root, loads=True)
    case.library_path = (str(bad.parent),)

    failures = case.check(root, loads=False)

    assert [(failure.kind, failure.name) for failure in failures] == [("undefined-symbol", "wanted")]


def test_rpath_comes_before_library_path(case: Case) -> None:
    good = case.library("good/libdep.so", "int wanted;", soname="libdep.so")
    bad = case.library("bad/libdep.so", "int other;", soname="libdep.so")
    root = case.library("libroot.so", "extern int wanted; int *f = &wanted;", needs=[good], rpath="$ORIGIN/good")
    case.library_path = (str(bad.parent),)

    case.check(root, loads=True)


def test_origin_is_the_folder_of_the_link_not_of_its_target(case: Case) -> None:
    dependency = case.library("real/deps/libdep.so", soname="libdep.so")
    root = case.library("real/libroot.so", needs=[dependency], runpath="$ORIGIN/deps")
    link = case.folder / "linked" / "libroot.so"
    link.parent.mkdir()
    link.symlink_to(root)

    case.check(root, loads=True)
    case.check(link, loads=False)


def test_needed_with_a_slash_is_opened_as_it_is(case: Case) -> None:
    dependency = case.library("deps/libdep.so")
    root = case.library("libroot.so", needs=[dependency])

    case.check(root, loads=True)
    dependency.unlink()
    case.check(root, loads=False)


@pytest.mark.parametrize(
    "text", ["${ORIGIN}/deps", "nowhere:$ORIGIN/deps", "$ORIGIN/a/../deps", "$ORIGIN/$LIB:$ORIGIN/deps"]
)
def test_forms_of_a_search_path(case: Case, text: str) -> None:
    dependency = case.library("deps/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[dependency], runpath=text)
    (case.folder / "a").mkdir()

    case.check(root, loads=True)


def test_hardware_capability_folder_shadows_the_plain_one(case: Case) -> None:
    if not case.process().environment.hwcaps:
        pytest.skip("this processor has no glibc-hwcaps level")
    good = case.library("deps/libdep.so", "int wanted;", soname="libdep.so")
    case.library("deps/glibc-hwcaps/x86-64-v2/libdep.so", "int other;", soname="libdep.so")
    root = case.library("libroot.so", "extern int wanted; int *f = &wanted;", needs=[good], runpath="$ORIGIN/deps")

    case.check(root, loads=False)


def test_nodeflib_leaves_out_the_default_folders(case: Case) -> None:
    root = case.library("libroot.so", flags=["-Wl,-z,nodefaultlib", "-lresolv"])

    case.check(root, loads=False)


def test_system_library_is_found(case: Case) -> None:
    case.check(case.library("libroot.so", flags=["-lresolv", "-lm"]), loads=True)


# -- what is already loaded ------------------------------------------------------------------------------------------


def test_soname_already_loaded_is_not_searched(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    user = case.library("libuser.so", soname="libuser.so", needs=[leaf])

    case.check(user, loads=False)
    case.check(leaf, user, loads=True)


def test_other_library_of_the_same_process_brings_the_soname(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    second = case.library("libsecond.so", soname="libsecond.so", needs=[leaf])
    first = case.library("libfirst.so", soname="libfirst.so", needs=[leaf], runpath="$ORIGIN/deps")
    root = case.library("libroot.so", needs=[first, second], runpath="$ORIGIN")

    case.check(root, loads=True)


def test_breadth_first_order_decides_who_brings_a_soname(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", soname="libleaf.so")
    second = case.library("libsecond.so", soname="libsecond.so", needs=[leaf])
    first = case.library("libfirst.so", soname="libfirst.so", needs=[leaf], runpath="$ORIGIN/deps")
    root = case.library("libroot.so", needs=[second, first], runpath="$ORIGIN")

    case.check(root, loads=False)


def test_name_that_a_library_was_asked_for_counts_as_loaded(case: Case) -> None:
    stub = case.library("stub/libname.so", soname="libname.so")
    leaf = case.library("libleaf.so", soname="libleaf.so", needs=[stub])
    first = case.library("libfirst.so", soname="libfirst.so", needs=[stub], runpath="$ORIGIN/deps")
    # The library found under this name calls itself otherwise, as grafted ones do.
    case.library("deps/libname.so", soname="libother-1234.so")
    root = case.library("libroot.so", needs=[first, leaf], runpath="$ORIGIN")

    case.check(leaf, loads=False)
    case.check(root, loads=True)


def test_same_file_under_two_names_is_one_object(case: Case) -> None:
    leaf = case.library("deps/libleaf.so", "int wanted;", soname="libleaf.so")
    alias = case.folder / "deps" / "libalias.so"
    user = case.library("libuser.so", "extern int wanted; int *f = &wanted;", needs=[leaf], runpath="$ORIGIN/deps")
    os.link(leaf, alias)

    case.check(alias, user, loads=True)


def test_cycle_of_libraries_loads(case: Case) -> None:
    second = case.library("libsecond.so", soname="libsecond.so")
    first = case.library("libfirst.so", soname="libfirst.so", needs=[second], runpath="$ORIGIN")
    case.library("libsecond.so", soname="libsecond.so", needs=[first], runpath="$ORIGIN")

    case.check(first, loads=True)
    case.check(second, loads=True)


# -- files that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "value"), [(4, b"\x01"), (18, struct.pack("<H", 183))], ids=["class", "machine"])
def test_file_for_another_machine_is_skipped_in_a_search(case: Case, offset: int, value: bytes) -> None:
    good = case.library("good/libdep.so", soname="libdep.so")
    foreign = patched(case.library("foreign/libdep.so", soname="libdep.so"), offset, value)
    root = case.library("libroot.so", needs=[good], runpath="$ORIGIN/foreign:$ORIGIN/good")

    case.check(root, loads=True)
    case.check(foreign, loads=False)


def test_dangling_link_is_skipped_in_a_search(case: Case) -> None:
    good = case.library("good/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[good], runpath="$ORIGIN/bad:$ORIGIN/good")
    (case.folder / "bad").mkdir()
    (case.folder / "bad" / "libdep.so").symlink_to("nowhere")

    case.check(root, loads=True)


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"not a library at all, only text", b"\0" * 4096])
def test_broken_file_ends_a_search(case: Case, content: bytes) -> None:
    good = case.library("good/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[good], runpath="$ORIGIN/bad:$ORIGIN/good")
    (case.folder / "bad").mkdir()
    (case.folder / "bad" / "libdep.so").write_bytes(content)

    failures = case.check(root, loads=False)

    assert [failure.kind for failure in failures] == ["malformed-elf"]


def test_directory_of_the_name_is_no_library(case: Case) -> None:
    good = case.library("good/libdep.so", soname="libdep.so")
    root = case.library("libroot.so", needs=[good], runpath="$ORIGIN/bad")
    (case.folder / "bad" / "libdep.so").mkdir(parents=True)

    case.check(root, loads=False)


def test_truncated_library_does_not_load(case: Case) -> None:
    root = case.library("libroot.so", "char big[100000] = {1};")
    os.truncate(root, root.stat().st_size // 2)

    case.check(root, loads=False)


def test_position_independent_program_cannot_be_opened(case: Case) -> None:
    program = make_program(case.folder / "program", "int main(void) { return 0; }", flags=["-pie", "-fPIE"])

    case.check(program, loads=False)


def test_stripped_section_headers_do_not_matter(case: Case) -> None:
    good = case.library("deps/libdep.so", "int wanted;", soname="libdep.so")
    root = case.library("libroot.so", "extern int wanted; int *f = &wanted;", needs=[good], runpath="$ORIGIN/deps")
    for path in (good, root):
        patched(path, 40, b"\0" * 8)  # e_shoff
        patched(path, 60, b"\0" * 4)  # e_shnum, e_shstrndx

    case.check(root, loads=True)
    case.library("deps/libdep.so", "int other;", soname="libdep.so")
    case.check(root, loads=False)


# -- versions --------------------------------------------------------------------------------------------------------

_USE = "extern int wanted(void); int call(void) { return wanted(); }"


def test_version_that_the_loaded_library_lacks_is_an_error(case: Case) -> None:
    versioned = case.library(
        "deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so", versions="DEP_2 { wanted; };"
    )
    root = case.library("libroot.so", _USE, needs=[versioned], runpath="$ORIGIN/deps")
    case.check(root, loads=True)
    case.library("deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so", versions="DEP_1 { wanted; };")

    failures = case.check(root, loads=False)

    assert [(failure.kind, failure.name) for failure in failures] == [("version-not-provided", "DEP_2")]
    assert failures[0].provider == str(versioned)


def test_library_without_any_versions_is_only_warned_of(case: Case) -> None:
    versioned = case.library(
        "deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so", versions="DEP_2 { wanted; };"
    )
    root = case.library("libroot.so", _USE, needs=[versioned], runpath="$ORIGIN/deps")
    case.library("deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so")

    case.check(root, loads=True)


def test_weak_version_need_is_tolerated(case: Case) -> None:
    versioned = case.library(
        "deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so", versions="DEP_2 { wanted; };"
    )
    weak = "extern int wanted(void) __attribute__((weak)); int call(void) { return wanted ? wanted() : 0; }"
    root = case.library("libroot.so", weak, needs=[versioned], runpath="$ORIGIN/deps")
    case.library("deps/libdep.so", "int other(void) { return 1; }", soname="libdep.so", versions="DEP_1 { other; };")
    root.write_bytes(_with_weak_version(root.read_bytes()))

    case.check(root, loads=True)


def _with_weak_version(data: bytes) -> bytes:
    """The file with VER_FLG_WEAK set on its need of DEP_2 (the linker sets it when all references are weak)."""
    name_hash = 0
    for char in b"DEP_2":
        name_hash = (name_hash << 4) + char
        name_hash = (name_hash & 0x0FFFFFFF) ^ ((name_hash & 0xF0000000) >> 24)
    at = data.index(struct.pack("<I", name_hash))
    return data[: at + 4] + struct.pack("<H", 2) + data[at + 6 :]


# -- symbols ---------------------------------------------------------------------------------------------------------


def test_undefined_symbol_is_an_error_and_named(case: Case) -> None:
    failures = case.check(case.library("libroot.so", _USE), loads=False)

    assert [(failure.kind, failure.name) for failure in failures] == [("undefined-symbol", "wanted")]


def test_weak_undefined_symbol_may_stay_unresolved(case: Case) -> None:
    weak = "extern int wanted(void) __attribute__((weak)); int call(void) { return wanted ? wanted() : 0; }"

    case.check(case.library("libroot.so", weak), loads=True)


def test_symbol_of_an_indirect_dependency_is_in_scope(case: Case) -> None:
    leaf = case.library("libleaf.so", "int wanted(void) { return 1; }", soname="libleaf.so")
    middle = case.library("libmiddle.so", soname="libmiddle.so", needs=[leaf], runpath="$ORIGIN")
    root = case.library("libroot.so", _USE, needs=[middle], runpath="$ORIGIN")

    case.check(root, loads=True)


def test_dependency_may_use_symbols_of_what_was_opened(case: Case) -> None:
    leaf = case.library("libleaf.so", _USE, soname="libleaf.so")
    root = case.library("libroot.so", "int wanted(void) { return 1; }", needs=[leaf], runpath="$ORIGIN")

    case.check(leaf, loads=False)
    case.check(root, loads=True)


def test_program_provides_symbols(tmp_path: Path) -> None:
    source = "int wanted(void) { return 1; }\n"
    program = make_program(tmp_path / "opener", OPENER + source, flags=["-rdynamic"])
    case = Case(tmp_path, program)

    case.check(case.library("libroot.so", _USE), loads=True)


def test_global_preload_gives_symbols_and_local_does_not(case: Case) -> None:
    provider = case.library("libprovider.so", "int wanted(void) { return 1; }", soname="libprovider.so")
    root = case.library("libroot.so", _USE)

    case.check(provider, root, loads=False)
    case.check("-g", provider, root, loads=True)


_DEFAULT = '__asm__(".symver wanted_1, wanted@@DEP_1"); int wanted_1(void) { return 1; }'
_HIDDEN = '__asm__(".symver wanted_1, wanted@DEP_1"); int wanted_1(void) { return 1; }'
_TWO_HIDDEN = _HIDDEN + '__asm__(".symver wanted_2, wanted@DEP_2"); int wanted_2(void) { return 1; }'


@pytest.mark.parametrize(
    ("definition", "plain_loads", "versioned_loads"),
    [(_DEFAULT, True, True), (_HIDDEN, True, True), (_TWO_HIDDEN, True, True), ("int other;", False, False)],
    ids=["default", "hidden", "hidden-twice", "absent"],
)
def test_which_definitions_serve_a_reference(
    case: Case, definition: str, plain_loads: bool, versioned_loads: bool
) -> None:
    versions = "DEP_1 { local: wanted_*; };\nDEP_2 { local: other_*; };"
    plain = case.library("plain/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so")
    unversioned = case.library("libunversioned.so", _USE, needs=[plain], runpath="$ORIGIN/deps")
    stub = case.library("stub/libdep.so", _DEFAULT, soname="libdep.so", versions=versions)
    versioned = case.library("libversioned.so", _USE, needs=[stub], runpath="$ORIGIN/deps")
    case.library("deps/libdep.so", definition, soname="libdep.so", versions=versions)

    case.check(unversioned, loads=plain_loads)
    case.check(versioned, loads=versioned_loads)


def test_version_of_another_library_does_not_serve(case: Case) -> None:
    versioned = case.library(
        "deps/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so", versions="DEP_2 { wanted; };"
    )
    root = case.library("libroot.so", _USE, needs=[versioned], runpath="$ORIGIN/deps")
    both = "DEP_2 { other; }; DEP_3 { wanted; };"
    case.library("deps/libdep.so", "int wanted(void) { return 1; } int other;", soname="libdep.so", versions=both)

    failures = case.check(root, loads=False)

    assert [(failure.kind, failure.name) for failure in failures] == [("undefined-symbol", "wanted@DEP_2")]


def test_symbol_that_no_relocation_uses_is_not_looked_up(case: Case) -> None:
    source = '__asm__(".globl wanted"); int nothing;'

    case.check(case.library("libroot.so", source), loads=True)


# -- filters ---------------------------------------------------------------------------------------------------------


def test_filter_needs_its_filtee_and_auxiliary_does_not(case: Case) -> None:
    filtee = case.library("libfiltee.so", "int wanted(void) { return 1; }", soname="libfiltee.so")
    hard = case.library("libhard.so", runpath="$ORIGIN", flags=["-Wl,-F,libfiltee.so"])
    soft = case.library("libsoft.so", runpath="$ORIGIN", flags=["-Wl,-f,libfiltee.so"])
    case.check(hard, loads=True)
    case.check(soft, loads=True)
    filtee.unlink()

    case.check(hard, loads=False)
    case.check(soft, loads=True)


# -- versions that the checks before a lookup do not see ----------------------------------------------------------

_OWN = ["-nostdlib", "-Wl,--hash-style=gnu"]


def versioned(case: Case, *, linked: str, there: str | None) -> Path:
    """A library that was linked against ``libdep.so`` with versions, which is now one that has those of ``there``."""
    code = "int wanted(void) { return 1; }"
    dependency = case.library("libdep.so", code, soname="libdep.so", versions=linked, flags=_OWN)
    root = case.library(
        "libroot.so", "extern int wanted(void); int f(void) { return wanted(); }", needs=[dependency], runpath="$ORIGIN"
    )
    case.library("libdep.so", code, soname="libdep.so", versions=there, flags=_OWN)
    return root


def test_version_asked_of_a_library_without_any_ends_the_lookup(case: Case) -> None:
    root = versioned(case, linked="V1 { wanted; };", there=None)

    assert "Assertion" in really_open(case.opener, root)
    failures = case.check(root, loads=False)

    assert [(each.kind, each.name) for each in failures] == [("version-not-provided", "V1")]


def test_library_without_versions_of_its_own_that_needs_some_serves(case: Case) -> None:
    root = versioned(case, linked="V1 { wanted; };", there="V1 { wanted; };")
    case.check(root, loads=True)
    code = '#include <stdlib.h>\nint wanted(void) { return abs(1) + getenv("X") != 0; }'
    case.library("libdep.so", code, soname="libdep.so")

    case.check(root, loads=True)


def test_symbol_found_before_a_library_without_versions_is_never_asked_of_it(case: Case) -> None:
    first = case.library(
        "libfirst.so", "int wanted(void) { return 2; }", soname="libfirst.so", versions="V1 { wanted; };", flags=_OWN
    )
    root = versioned(case, linked="V1 { wanted; };", there=None)

    case.check("-g", first, root, loads=True)


# -- the driver -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "loads"),
    [
        ("cuInit", True),
        ("cuMemcpyDtoH_v2", True),
        ("_ZN3c1015report_overflowEPKc", False),
        ("cudaMalloc", False),
        ("cublasCreate_v2", False),
        ("curious", False),
    ],
)
def test_the_driver_is_assumed_by_its_own_symbols_alone(case: Case, symbol: str, loads: bool) -> None:
    driver = case.library(
        "stub/libcuda.so.1", "int cuInit(void) { return 0; } int cuMemcpyDtoH_v2;", soname="libcuda.so.1"
    )
    code = f"extern int {symbol}(void); int f(void) {{ return {symbol}(); }}"
    root = case.library("libroot.so", code, needs=[driver])
    # With a stub of the driver as judge; without any driver the model says the same.
    assert (really_open(case.opener, root, library_path=str(driver.parent)) == "ok") is loads

    failures = case.process().open(str(root)).failures

    assert [(each.kind, each.name) for each in failures] == ([] if loads else [("undefined-symbol", symbol)])


# -- processors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0x01, 0x10], ids=["any", "x86-64-v5"])
def test_a_level_of_x86_64_that_the_processor_lacks_is_refused(case: Case, level: int) -> None:
    root = case.library("libroot.so", flags=["-Wl,-z,x86-64-v4"])
    data = root.read_bytes()
    at = data.index((0xC0008002).to_bytes(4, "little") + (4).to_bytes(4, "little")) + 8
    patched(root, at, level.to_bytes(4, "little"))

    failures = case.check(root, loads=level == 1)

    assert [(each.kind, each.name) for each in failures] == ([] if level == 1 else [("processor-too-old", "x86-64-v5")])


def test_a_level_is_asked_of_what_is_brought_too(case: Case) -> None:
    dependency = case.library("libdep.so", flags=["-Wl,-z,x86-64-v4"])
    data = dependency.read_bytes()
    patched(dependency, data.index((0xC0008002).to_bytes(4, "little")) + 8, b"\x10")
    root = case.library("libroot.so", needs=[dependency])

    assert [each.path for each in case.check(root, loads=False)] == [str(dependency)]
