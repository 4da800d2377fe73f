"""``python tools/counts.py``: what the code is like in the large, as a table for docs/development/architecture.md."""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
CODE = ROOT / "dataloader"
FOR_TIME = ("process/", "cli/quick.py", "cli/line/words.py", "verify/memory/", "prefix/unchanged.py", "elf/worker.py")
"""Where lines stand that would not be written if time were of no interest."""
LONG_MODULE, LONG_FUNCTION, FULL_FOLDER = 400, 50, 20


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
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dataloader"):
            yield node.module or "", id(node) in for_types


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


def lines_of(path: Path) -> int:
    """Lines of a file."""
    return len(path.read_text(encoding="utf-8").splitlines())


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of a module, methods too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


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
    sizes = [
        (function.end_lineno or 0) - function.lineno + 1 for tree in trees.values() for function in functions(tree)
    ]
    folders = Counter(path.parent for path in lengths)
    return {
        "modules": len(trees),
        "lines": sum(lengths.values()),
        "packages": len({package_of(name) for name in trees} - {""}),
        "modules loose at the top": len([path for path in CODE.glob("*.py") if not path.name.startswith("__")]),
        "arrows between packages": sum(map(len, arrows.values())),
        "arrows that run upwards": sum(floor[b] > floor[a] for a in arrows for b in arrows[a]),
        "pairs of packages that know each other": circles(arrows),
        "class names that mean two things": sum(count > 1 for count in classes.values()),
        "file names that stand twice": sum(count > 1 for name, count in files.items() if not name.startswith("__")),
        "imports in functions": len(in_functions),
        f"modules over {LONG_MODULE} lines": sum(count > LONG_MODULE for count in lengths.values()),
        f"functions over {LONG_FUNCTION} lines": sum(size > LONG_FUNCTION for size in sizes),
        f"folders over {FULL_FOLDER} files": sum(count > FULL_FOLDER for count in folders.values()),
        "lines for time alone, at most": sum(
            count for path, count in lengths.items() if str(path.relative_to(CODE)).startswith(FOR_TIME)
        ),
    }


def main() -> int:
    """Print the counts."""
    for what, count in counts().items():
        print(f"| {what} | {count:,} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
