"""The code in the large: no folder is full, and no public class name means two things."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

CODE = Path(__file__).parents[2] / "dataloader"
MODULES = sorted(CODE.rglob("*.py"))
FULL_FOLDER = 20


def test_no_folder_is_full() -> None:
    folders = Counter(str(path.parent.relative_to(CODE)) for path in MODULES)

    assert {folder: count for folder, count in folders.items() if count > FULL_FOLDER} == {}


def test_a_public_class_name_means_one_thing() -> None:
    homes = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(CODE)))

    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_the_matrix_is_asked_with_the_users_rows() -> None:
    """`load_matrix()` has ours alone; whoever answers somebody goes through `matrix_with`."""
    users = [path for path in MODULES if "load_matrix" in path.read_text(encoding="utf-8")]

    assert [str(path.relative_to(CODE)) for path in users] == ["compat/matrix.py"]
