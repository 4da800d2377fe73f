"""``python tools/counts.py``: what the code is like in the large; ``--write`` says it in the page on the architecture.

Before: the code of 2026-11-27, counted by hand and by other means when the packages were drawn; empty where it was not.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from functools import cache
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CODE = ROOT / "dataloader"
PAGE = ROOT / "docs" / "development" / "architecture.md"
FOR_TIME = ("process/", "cli/quick.py", "cli/line/words.py", "verify/memory/", "prefix/unchanged.py", "elf/worker.py")
"""Where lines stand that would not be written if time were of no interest."""
LONG_MODULE, LONG_FUNCTION, FULL_FOLDER = 400, 50, 20
BEFORE = {
    "modules": "235",
    "lines": "31,800",
    "packages": "41",
    "modules loose at the top": "31",
    "arrows between packages": "172",
    "arrows that run upwards": "7",
    "class names that mean two things": "14",
    "file names that stand twice": "18",
    "imports in functions": "317",
    f"modules over {LONG_MODULE} lines": "0",
    "lines for time alone, at most": "1,850",
}
FAULTS = (
    "modules loose at the top",
    "arrows that run upwards",
    "pairs of packages that know each other",
    "circles of modules, imports in functions too",
    "class names that mean two things",
    "imports in functions that delay nothing",
    f"modules over {LONG_MODULE} lines",
    f"functions whose body is over {LONG_FUNCTION} lines",
    f"folders over {FULL_FOLDER} files",
)
"""Counts that a test holds; the others are sizes."""


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name -> syntax tree."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(CODE.rglob("*.py"))
    }


def package_of(module: str) -> str:
    """The first part below ``dataloader``; empty for ``__init__`` and ``__main__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 else ""


def imports_of(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """What a module imports of ours, and whether for types alone."""
    for_types = {id(inner) for node in ast.walk(tree) if _is_for_types(node) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dataloader"):
            yield node.module or "", id(node) in for_types


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


@cache
def needless() -> list[tuple[str, int]]:
    """Imports in functions that delay nothing, as module and line: what they bring is there once the module is."""
    known = {name.removesuffix(".__init__"): tree for name, tree in modules().items()}
    at_once, later = {}, {}
    for name, tree in known.items():
        found = list(_statements(tree.body, in_function=False))
        at_once[name] = {target for node, inside in found if not inside for target in _targets(node, known)}
        later[name] = [node for node, inside in found if inside]
    return [
        (name, node.lineno)
        for name, nodes in later.items()
        if nodes
        for brought in [_brought(name, at_once)]
        for node in nodes
        if set(_targets(node, known)) <= brought
    ]


def _statements(body: list[ast.stmt], *, in_function: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node, in_function
        elif not _is_for_types(node):
            inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []), in_function=inside)
            for part in ("handlers", "cases"):
                for arm in getattr(node, part, []):
                    yield from _statements(arm.body, in_function=inside)


def _targets(node: ast.Import | ast.ImportFrom, known: Container[str]) -> Iterator[str]:
    for alias in node.names:
        inner = f"{getattr(node, 'module', '')}.{alias.name}"
        yield alias.name if isinstance(node, ast.Import) else inner if inner in known else node.module or ""


def _brought(name: str, at_once: dict[str, set[str]]) -> set[str]:
    """All that is imported when a module is."""
    found: set[str] = set()
    todo = [name]
    while todo:
        for target in at_once.get(todo.pop(), ()):
            parts = target.split(".")
            new = {".".join(parts[: end + 1]) for end in range(len(parts))} - found
            found |= new
            todo += new
    return found - {name}


def floors() -> dict[str, int]:
    """Package -> its floor, by the contract of import-linter."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (layers,) = (c["layers"] for c in contracts if c["type"] == "layers" and "containers" not in c)
    return {
        name.strip().removeprefix("dataloader."): len(layers) - number
        for number, row in enumerate(layers)
        for name in re.split(r"[|:]", row)
    }


def circles(arrows: dict[str, set[str]]) -> int:
    """Pairs of packages that reach each other."""
    reach = {start: _reached(start, arrows) for start in arrows}
    return sum(1 for a in reach for b in reach[a] if a < b and a in reach.get(b, set()))


def _reached(start: str, arrows: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        for other in arrows.get(todo.pop(), set()) - found:
            found.add(other)
            todo.append(other)
    return found


def module_circles() -> int:
    """Groups of modules that reach each other when all their functions run; what is imported for types is left out."""
    known = {name.removesuffix(".__init__"): tree for name, tree in modules().items()}
    arrows = {
        name: {target for node, _ in _statements(tree.body, in_function=False) for target in _targets(node, known)}
        & known.keys() - {name}
        for name, tree in known.items()
    }
    reach = {name: _reached(name, arrows) for name in arrows}
    return len(
        {
            frozenset({name, *(other for other in reach[name] if name in reach[other])})
            for name in reach
            if name in reach[name]
        }
    )


def lines_of(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of a module, methods too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def size_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body; parameters, which for a command are its options, and docstring are no part of it."""
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1


def counts() -> dict[str, int]:
    """What is counted -> how much there is of it."""
    trees = modules()
    arrows: dict[str, set[str]] = defaultdict(set)
    for name, tree in trees.items():
        for target, for_types in imports_of(tree):
            start, end = package_of(name), package_of(f"{target}.x")
            if start and end and start != end and not for_types:
                arrows[start].add(end)
    floor = floors()
    classes = Counter(
        node.name
        for tree in trees.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    files = Counter(name.rpartition(".")[2] for name in trees)
    in_functions = {
        id(node)
        for tree in trees.values()
        for function in functions(tree)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    lengths = {path: lines_of(path) for path in CODE.rglob("*.py")}
    sizes = [size_of(function) for tree in trees.values() for function in functions(tree)]
    folders = Counter(path.parent for path in lengths)
    return {
        "modules": len(trees),
        "lines": sum(lengths.values()),
        "packages": len({package_of(name) for name in trees} - {""}),
        "modules loose at the top": len([path for path in CODE.glob("*.py") if not path.name.startswith("__")]),
        "arrows between packages": sum(map(len, arrows.values())),
        "arrows that run upwards": sum(floor[b] > floor[a] for a in arrows for b in arrows[a]),
        "pairs of packages that know each other": circles(arrows),
        "circles of modules, imports in functions too": module_circles(),
        "class names that mean two things": sum(count > 1 for count in classes.values()),
        "file names that stand twice": sum(count > 1 for name, count in files.items() if not name.startswith("__")),
        "imports in functions": len(in_functions),
        "imports in functions that delay nothing": len(needless()),
        f"modules over {LONG_MODULE} lines": sum(count > LONG_MODULE for count in lengths.values()),
        f"functions whose body is over {LONG_FUNCTION} lines": sum(size > LONG_FUNCTION for size in sizes),
        f"folders over {FULL_FOLDER} files": sum(count > FULL_FOLDER for count in folders.values()),
        "lines for time alone, at most": sum(
            count for path, count in lengths.items() if str(path.relative_to(CODE)).startswith(FOR_TIME)
        ),
    }


def table() -> str:
    """The counts before and now, as rows of a page."""
    rows = [f"| {what} | {BEFORE.get(what, '')} | {count:,} |" for what, count in counts().items()]
    return "\n".join(["| what is counted | before | now |", "| --- | --- | --- |", *rows])


def main(arguments: list[str]) -> int:
    """Print the counts, or write them where they stand."""
    if arguments != ["--write"]:
        print(table())
        return 0
    text = PAGE.read_text(encoding="utf-8")
    old = re.search(r"^\| what is counted \|.*?(?=\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert old, f"{PAGE} has no table of counts"
    PAGE.write_text(text.replace(old[0].rstrip(), table()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
