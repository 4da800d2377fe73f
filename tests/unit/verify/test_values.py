"""Small pure functions of verify: modules, imports, tables."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataloader.compat.rows import Companion
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.verify.checks.sources import Import, PackageModules, constants_of, imports_of, module_name, modules_of
from dataloader.verify.follow import mentions
from dataloader.verify.remedies import for_library, for_symbols
from dataloader.verify.tables import load_tables


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


_PATHS = st.lists(st.sampled_from(["s", "a", "b1", "x-y", "3", "__init__", "_c"]), min_size=1, max_size=4)


@given(st.lists(st.tuples(_PATHS, st.sampled_from([".py", ".so", ".cpython-311.so", ".txt", ""]))))
def test_modules_of_many_files_are_those_of_each(found: list[tuple[list[str], str]]) -> None:
    paths = ["/".join(parts) + ending for parts, ending in found]
    each = [(name, path) for path in paths for name in [module_name(path, "s") or module_name(path, "a")] if name]
    modules = [path for path in paths if path.endswith((".py", ".so"))]

    assert modules_of(modules, ["s", "a"]) == dict(each)


def test_imports_are_absolute_and_know_their_guards() -> None:
    source = (
        "from . import a\nfrom .b import c\nimport d.e\n"
        "try:\n    import f\nexcept ImportError:\n    f = None\nelse:\n    import g\n"
        "if x:\n    import h\n"
        "def k():\n    import i\n"
        "class L:\n    import m\n    for n in n:\n        with o:\n            import p\n"
        "match q:\n    case 1:\n        import r\n"
        "try:\n    import s\nexcept ImportError:\n    raise\nfinally:\n    import t\n"
        "u = (lambda: v)() if w else [x for x in y]\n"
        "X = 'libx'\n"
    )

    tree = ast.parse(source)
    imports = imports_of(tree, "pkg.mod", is_package=False)
    plain = {each.module for each in imports if not each.guarded}
    guarded = {each.module for each in imports if each.guarded}
    assert plain == {"pkg", "pkg.a", "pkg.b", "pkg.b.c", "d.e", "g", "m", "p", "r", "s", "t"}
    assert guarded == {"f", "h", "i"}
    assert len(imports) == sum(len(each.names) for each in ast.walk(tree) if isinstance(each, ast.Import)) + 4
    assert "libx" in constants_of(tree)


def test_relative_import_of_a_package_starts_at_itself() -> None:
    assert Import("pkg.x", False) in imports_of(ast.parse("from . import x"), "pkg", is_package=True)
    assert Import("pkg.x", False) in imports_of(ast.parse("from ..x import y"), "pkg.sub", is_package=True)


@pytest.mark.parametrize("source", ["def (:\n", "(" * 5000, "x = " + "-" * 100_000 + "1", "\0"])
def test_source_that_is_none_has_no_imports(tmp_path: Path, source: str) -> None:
    (tmp_path / "x.py").write_text(source)
    assert PackageModules(tmp_path, {"x": "x.py"}).imports_in("x") == ()


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
        ("libGL.so.1", None, False, "apt-get install libgl1"),
    ],
)
def test_command_that_brings_a_library(soname: str, major: str | None, conda: bool, expected: str | None) -> None:
    there = InstalledPackages((InstalledPackage("conda", "x", "1", "x.json"),) if conda else (), (), {})

    assert next(iter(for_library(soname, None, major, there)), None) == expected


@pytest.mark.parametrize(
    ("package", "requires", "expected"),
    [
        ("nvidia-cublas-cu12", (), ["dataloader install nvidia-cudnn-cu12"]),
        ("torch", ("nvidia-cudnn-cu11 (==9.1.0) ; x",), ["dataloader install 'nvidia-cudnn-cu11==9.1.0'"]),
        ("some", (), [f"dataloader install nvidia-cudnn-cu{major}" for major in (13, 12, 11)]),
    ],
)
def test_the_distribution_of_a_library_is_the_one_that_is_required_or_of_the_cuda_there(
    package: str, requires: tuple[str, ...], expected: list[str]
) -> None:
    installed = InstalledPackages((InstalledPackage("pypi", package, "12.4", "x", requires=requires),), (), {})

    assert for_library("libcudnn.so.9", None, None, installed) == expected


def test_the_users_rows_have_a_say_in_which_companion_goes_with_a_framework() -> None:
    """What is advised comes of the matrix that was asked for, not of ours alone."""
    torch = InstalledPackage("pypi", "torch", "2.6.0+cu124", "s/torch-2.6.0.dist-info")
    ours = InstalledPackage("pypi", "ours", "1.0", "s/ours-1.0.dist-info")
    rows = [Companion("a", "ours", "1.4", "wheel", "2026-11-29", torch="==2.6.0")]

    assert for_symbols(ours, [torch], []) == []
    assert for_symbols(ours, [torch], rows) == ["dataloader install 'ours==1.4'"]


def test_every_word_has_a_stem_that_is_looked_for_first() -> None:
    assert all(any(stem in word for stem in mentions._STEMS) for word in mentions._WORDS)
