"""What differs in musl's loader, judged by it where musl-gcc is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dataloader.elf.cache import FactsCache
from dataloader.loader.disk import Disk
from dataloader.loader.model import Failure
from dataloader.loader.process import Process
from dataloader.machine.target import Target
from dataloader.verify.world import build_environment
from tests.helpers.elf import OPENER, make_library, make_program, really_open

pytestmark = pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="needs musl-gcc (musl-tools)")

_USE = "extern int wanted(void); int call(void) { return wanted(); }"


@pytest.fixture(scope="module")
def opener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_program(tmp_path_factory.mktemp("opener") / "opener", OPENER, flags=["-rdynamic"], compiler="musl-gcc")


def library(path: Path, source: str = "", **options: object) -> Path:
    return make_library(path, source, compiler="musl-gcc", **options)  # type: ignore[arg-type]


def check(opener: Path, *paths: Path, loads: bool, library_path: str | None = None) -> list[Failure]:
    said = really_open(opener, *paths, library_path=library_path)
    assert (said == "ok") is loads, said
    environment = build_environment(
        Disk(paths[0].parent, [], FactsCache(None)),
        Target(musl="1.2"),
        described=True,
        library_path=(library_path,) if library_path else (),
    )
    process = Process(environment)
    assert process.start(str(opener)) == []
    failures: list[Failure] = []
    for path in paths:
        failures = process.open(str(path)).failures
    assert (not failures) is loads, failures
    return failures


def test_runpath_is_inherited(opener: Path, tmp_path: Path) -> None:
    leaf = library(tmp_path / "deps/libleaf.so", soname="libleaf.so")
    middle = library(tmp_path / "deps/libmiddle.so", soname="libmiddle.so", needs=[leaf])
    root = library(tmp_path / "libroot.so", needs=[middle], runpath="$ORIGIN/deps")

    check(opener, root, loads=True)


def test_library_path_comes_before_rpath(opener: Path, tmp_path: Path) -> None:
    good = library(tmp_path / "good/libdep.so", "int wanted(void) { return 1; }", soname="libdep.so")
    bad = library(tmp_path / "bad/libdep.so", "int other;", soname="libdep.so")
    root = library(tmp_path / "libroot.so", _USE, needs=[good], rpath="$ORIGIN/good")

    check(opener, root, loads=True)
    check(opener, root, loads=False, library_path=str(bad.parent))


def test_soname_of_a_library_that_was_opened_by_path_is_not_known(opener: Path, tmp_path: Path) -> None:
    leaf = library(tmp_path / "deps/libleaf.so", soname="libleaf.so")
    user = library(tmp_path / "libuser.so", needs=[leaf])

    check(opener, leaf, user, loads=False)


def test_name_that_was_searched_for_is_known(opener: Path, tmp_path: Path) -> None:
    leaf = library(tmp_path / "deps/libleaf.so", soname="libleaf.so")
    first = library(tmp_path / "libfirst.so", needs=[leaf], runpath="$ORIGIN/deps")
    user = library(tmp_path / "libuser.so", needs=[leaf])

    check(opener, first, user, loads=True)


def test_parts_of_libc_are_never_searched_for(opener: Path, tmp_path: Path) -> None:
    stub = library(tmp_path / "stub/libm.so.6", soname="libm.so.6")

    check(opener, library(tmp_path / "libroot.so", needs=[stub]), loads=True)


def test_versions_are_not_asked_for(opener: Path, tmp_path: Path) -> None:
    definition = "int wanted(void) { return 1; }"
    new = library(tmp_path / "deps/libdep.so", definition, soname="libdep.so", versions="DEP_2 { wanted; };")
    root = library(tmp_path / "libroot.so", _USE, needs=[new], runpath="$ORIGIN/deps")
    library(tmp_path / "deps/libdep.so", definition, soname="libdep.so", versions="DEP_1 { wanted; };")

    check(opener, root, loads=True)


def test_missing_library_and_undefined_symbol(opener: Path, tmp_path: Path) -> None:
    stub = library(tmp_path / "stub/libgone.so", soname="libgone.so")
    own = library(tmp_path / "libown.so", "int other;", soname="libown.so")

    failures = check(opener, library(tmp_path / "libroot.so", needs=[stub]), loads=False)
    assert [failure.kind for failure in failures] == ["missing-library"]
    check(opener, own, loads=True)


def test_library_made_for_glibc_is_refused(tmp_path: Path) -> None:
    path = make_library(tmp_path / "libg.so", '#include <stdio.h>\nint f(void) { return puts("x"); }')
    environment = build_environment(
        Disk(tmp_path, [], FactsCache(None)), Target(musl="1.2"), described=True, library_path=()
    )

    failures = Process(environment).open(str(path)).failures

    assert [failure.kind for failure in failures] == ["version-not-provided"]
