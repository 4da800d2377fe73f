"""The code in the large: no folder is full, and no public class name means two things."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

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


VAGUE = {
    "each",
    "every",
    "item",
    "these",
    "those",
    "its",
    "thing",
    "things",
    "stuff",
    "obj",
    "elem",
    "tmp",
    "foo",
    "it",
    "one",
}
"""Names that say nothing of what is held."""


def named(function: ast.AST) -> Iterator[tuple[str, int, ast.expr | None]]:
    """Variables and parameters that are bound in a function or module: name, line, annotation."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            yield node.arg, node.lineno, node.annotation
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno, None
        elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.ExceptHandler) and node.name:
            yield node.name, node.lineno, None


def vague(tree: ast.Module) -> set[tuple[str, int]]:
    """Vague names and their lines; the two of a pair may be ``one`` and ``other``, and a bool may be ``every``."""
    found = {(name, line) for name, line, _ in named(tree) if name in VAGUE}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = list(named(node))
            flags = {name for name, _, said in inside if said is not None and "bool" in ast.unparse(said)}
            allowed = {"every"} & flags | ({"one"} if any(name == "other" for name, _, _ in inside) else set())
            found -= {(name, line) for name, line, _ in inside if name in allowed}
    return found


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("for each in found: pass", {"each"}),
        ("def f(one): return one", {"one"}),
        ("def same(one, other): return one == other", set()),
        ("def f(every: bool): return every", set()),
        ("def f(every): return every", {"every"}),
        ("[item for item in found]", {"item"}),
        ("match f():\n case [it, *_]: pass", {"it"}),
    ],
)
def test_a_vague_name_is_seen(code: str, names: set[str]) -> None:
    assert {name for name, _ in vague(ast.parse(code))} == names


def test_a_variable_is_named_for_what_it_holds() -> None:
    found = {
        f"{path.relative_to(CODE)}:{line} {name}"
        for path in MODULES
        for name, line in vague(ast.parse(path.read_text(encoding="utf-8")))
    }

    assert found == set()
