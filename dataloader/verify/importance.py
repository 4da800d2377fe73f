"""How much it matters that a library cannot load: does an import break, or an optional part?

Popular wheels are full of parts that load only on some machines (numba's tbbpool, a codec, a GUI plugin). Such a part
is imported inside ``try`` or inside a function; what is imported plainly, or by nobody we can see, is needed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from dataloader.verify.findings import Severity
from dataloader.verify.installed import Installed, InstalledPackage
from dataloader.verify.loads import Verdict

_MAX_SOURCE = 4 << 20
"""Bytes; generated modules larger than this are not read."""


class Importance:
    """Severity of a library that cannot load, judged by the Python sources of its package."""

    def __init__(self, prefix: Path, installed: Installed) -> None:
        self._prefix = prefix
        self._installed = installed
        self._modules: dict[str, bool] = {}

    def __call__(self, verdict: Verdict) -> Severity:
        """``error`` for what breaks an import, ``warning`` for an optional part."""
        if verdict.package is None or not verdict.extension:
            return "warning"
        name = verdict.path.rsplit("/", 1)[-1].split(".", 1)[0]
        key = f"{verdict.package.path}\n{name}"
        if key not in self._modules:
            self._modules[key] = self._is_optional(verdict.package, name)
        return "warning" if self._modules[key] else "error"

    def _is_optional(self, package: InstalledPackage, module: str) -> bool:
        """Whether the sources import the module, and only where a failure is caught or an import may never run."""
        uses = [guarded for source in self._sources(package, module) for guarded in iter_imports(source, module)]
        return bool(uses) and all(uses)

    def _sources(self, package: InstalledPackage, module: str) -> Iterator[str]:
        needle = module.encode()
        for file in package.files:
            if not file.path.endswith(".py") or "tests/" in file.path:
                continue
            path = self._prefix / file.path
            try:
                if path.stat().st_size > _MAX_SOURCE:
                    continue
                data = path.read_bytes()
            except OSError:
                continue  # reported as a missing file
            if needle in data:
                yield data.decode("utf-8", errors="replace")


def iter_imports(source: str, module: str) -> Iterator[bool]:
    """For each import of a module whose last part is ``module``: whether it is guarded.

    Guarded is what stands in a function, in the body of a ``try`` that catches something, or under ``TYPE_CHECKING``.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, guarded = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom) and _names(node, module):
            yield guarded
        inner = guarded or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(node, ast.Try) and node.handlers:
            pending += [(child, True) for child in node.body]
            rest = [*node.handlers, *node.orelse, *node.finalbody]
            pending += [(child, inner) for child in rest]
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += [(child, True) for child in node.body]
            pending += [(child, inner) for child in node.orelse]
        else:
            pending += [(child, inner) for child in ast.iter_child_nodes(node)]


def _names(node: ast.Import | ast.ImportFrom, module: str) -> bool:
    if isinstance(node, ast.ImportFrom) and (node.module or "").rsplit(".", 1)[-1] == module:
        return True
    return any(alias.name.rsplit(".", 1)[-1] == module for alias in node.names)
