"""Unit tests mirror the packages: each folder is one of them, and what is in it tests that one."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

UNIT = Path(__file__).parent
PACKAGES = {path.name for path in (UNIT.parents[1] / "dataloader").iterdir() if (path / "__init__.py").exists()}
OF_THE_WHOLE = {"test_counts.py", "test_docs.py", "test_house.py", "test_messages.py", "test_mirror.py"}
ELSEWHERE = {"abi": "test_abi.py", "bundle": "test_bundle.py", "dataset": "test_dataset.py"}
"""Packages whose whole is quick to test, and the functional test that does."""

FILES = sorted(UNIT.glob("*/test_*.py"))


def packages_of(path: Path) -> Iterator[str]:
    """The packages that a test imports from."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dataloader"):
            parts = (node.module or "").split(".")
            yield from parts[1:2] or (alias.name for alias in node.names)


def test_each_package_has_its_tests() -> None:
    folders = {path.parent.name for path in FILES}

    assert folders | ELSEWHERE.keys() == PACKAGES
    assert all((UNIT.parent / "functional" / name).exists() for name in ELSEWHERE.values())


def test_only_what_is_of_the_whole_lies_loose() -> None:
    assert {path.name for path in UNIT.glob("test_*.py")} == OF_THE_WHOLE


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(UNIT)))
def test_a_unit_test_is_of_its_package(path: Path) -> None:
    assert path.parent.name in set(packages_of(path))
