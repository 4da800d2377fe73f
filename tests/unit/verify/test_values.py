"""Small pure functions of verify: modules, imports, tables."""

from __future__ import annotations

import pytest

from dataloader.verify.checks.sources import Import, module_name, parse_module
from dataloader.verify.tables import install_command, load_tables


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
