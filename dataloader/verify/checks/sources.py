"""Which modules the import of a package brings, read from its sources without running them.

An import is *plain* when it runs whenever its module is imported; it is *guarded* inside a function, under a condition,
or in a ``try`` whose handlers go on without it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dataloader.base.names import normalized
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.prefix.walk import read_regular
from dataloader.verify.follow.mentions import may_open

_MAX_SOURCE = 4 << 20
"""Bytes; generated modules larger than this are not read."""

_MODULE: Final = (".py", ".so")
_NO_MODULES: Final = frozenset({"tests", "test", "setup", "conftest", "docs", "examples", "benchmarks"})
_MAX_MODULES: Final = 400


class Import(NamedTuple):
    """One import statement's target."""

    module: str
    """Absolute dotted name; for ``from a import b`` both ``a`` and ``a.b`` are named."""
    guarded: bool


def module_name(path: str, site_packages: str) -> str | None:
    """Dotted module of a file below ``site_packages``; ``None`` for what is no module.

    >>> module_name("lib/python3.11/site-packages/a/_b.abi3.so", "lib/python3.11/site-packages")
    'a._b'
    >>> module_name("lib/python3.11/site-packages/a/__init__.py", "lib/python3.11/site-packages")
    'a'
    """
    base = site_packages + "/" if site_packages else ""
    if not path.endswith(_MODULE) or not path.startswith(base):
        return None
    *folders, name = path[len(base) :].split("/")
    parts = [*folders, name.split(".", 1)[0]]
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else None


def modules_of(paths: Iterable[str], sites: Sequence[str]) -> dict[str, str]:
    """Dotted module -> path, of those files that :func:`module_name` has a name for below one of these folders."""
    found: dict[str, str] = {}
    packages: dict[str, str | None] = {}  # what is before a module's own name, by folder: there are far fewer
    for path in paths:
        folder, _, file = path.rpartition("/")
        if folder not in packages:
            names = (module_name(f"{folder}/_.py" if folder else "_.py", site) for site in sites)
            packages[folder] = next((name[:-1] for name in names if name), None)
        package, stem = packages[folder], file.split(".", 1)[0]
        if package is not None and stem.isidentifier():
            module = package + stem if stem != "__init__" else package[:-1]
            if module:
                found[module] = path
    return found


def imports_of(tree: ast.Module, module: str, *, is_package: bool) -> tuple[Import, ...]:
    """The imports of a source. Statements alone are looked through: they are a tenth of a tree."""
    found: list[Import] = []
    pending: list[tuple[ast.AST, bool]] = [(tree, False)]
    while pending:
        node, guarded = pending.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [Import(name, guarded) for name in _targets(node, module, is_package=is_package)]
            continue
        guarded = guarded or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.If)
        goes_on = isinstance(node, ast.Try) and bool(node.handlers) and not _raises_again(node)
        pending += [(inner, guarded or (goes_on and name == "body")) for name in _BODIES for inner in _body(node, name)]
    return tuple(found)


_BODIES: Final = ("body", "orelse", "finalbody", "handlers", "cases")


def _body(node: ast.AST, name: str) -> list[ast.AST]:
    """Statements, handlers or cases in a node; an expression has one body, which is no list."""
    body = getattr(node, name, ())
    return body if isinstance(body, list) else []


def constants_of(tree: ast.AST) -> frozenset[str]:
    """The string constants of a source: names of libraries that it opens are among them."""
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return frozenset(node.value for node in nodes if isinstance(node.value, str))


def _raises_again(node: ast.Try) -> bool:
    return any(isinstance(statement, ast.Raise) for handler in node.handlers for statement in handler.body)


def _targets(node: ast.Import | ast.ImportFrom, module: str, *, is_package: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        parts = parts[: len(parts) - node.level + (1 if is_package else 0)]
        base = ".".join([*parts, base] if base else parts)
    if base:
        yield base
        yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


class PackageModules:
    """The modules of one distribution."""

    def __init__(self, prefix: Path, modules: Mapping[str, str]) -> None:
        """``modules``: dotted name -> path relative to ``prefix``, extension modules included."""
        self._prefix = str(prefix)
        self._modules = modules
        self._imports: dict[str, tuple[Import, ...]] = {}
        self._reached: frozenset[str] | None = None

    def imports_in(self, module: str) -> tuple[Import, ...]:
        """What one module imports; nothing where it is an extension module, or cannot be parsed."""
        if module not in self._imports:
            path, tree = self._modules[module], self._tree(module)
            is_package = path.endswith("/__init__.py")
            self._imports[module] = imports_of(tree, module, is_package=is_package) if tree else ()
        return self._imports[module]

    def _tree(self, module: str) -> ast.Module | None:
        path = self._modules[module]
        try:
            return ast.parse(self._read(path).decode("utf-8", "replace")) if path.endswith(".py") else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def reached(self) -> frozenset[str]:
        """Modules that plain imports reach from the top-level packages."""
        if self._reached is None:
            self._reached = self._find_reached()
        return self._reached

    def roots(self) -> list[str]:
        """Top-level modules and packages, sorted; tests and files that run on their own left out."""
        found = [name for name, path in self._modules.items() if self._is_root(name, path)]
        return sorted(name for name in found if name.partition(".")[0] not in _NO_MODULES)

    def opens_libraries(self) -> bool:
        """Whether its code may open libraries, and is not too much to be looked through."""
        sources = [path for path in self._modules.values() if path.endswith(".py") and "/tests/" not in path]
        return len(sources) <= _MAX_MODULES and any(may_open(self._read(path)) for path in sources)

    def _read(self, path: str) -> bytes:
        """A source file; empty where it is gone, unreadable or too large to be read."""
        try:
            return read_regular(f"{self._prefix}/{path}", _MAX_SOURCE)
        except OSError:
            return b""  # reported as a missing file

    def _find_reached(self) -> frozenset[str]:
        pending = [name for name, path in self._modules.items() if self._is_root(name, path)]
        found = set(pending)
        while pending:
            for imported in self.imports_in(pending.pop()):
                if imported.guarded:
                    continue
                parts = imported.module.split(".")
                for length in range(1, len(parts) + 1):
                    name = ".".join(parts[:length])
                    if name in self._modules and name not in found:
                        found.add(name)
                        pending.append(name)
        return frozenset(found)

    def _is_root(self, name: str, path: str) -> bool:
        """A top-level module, or a package in a namespace that several distributions share (``nvidia.libnvcomp``)."""
        if "." not in name:
            return True
        parts = name.split(".")
        above = (".".join(parts[:length]) for length in range(1, len(parts)))
        return path.endswith("/__init__.py") and not any(package in self._modules for package in above)

    def uses(self, module: str) -> list[bool]:
        """For each import of ``module`` anywhere in the distribution, tests left out: whether it is guarded."""
        return [
            imported.guarded
            for name in self._mentioning(_last(module))
            for imported in self.imports_in(name)
            if imported.module == module
        ]

    def _mentioning(self, text: str) -> Iterator[str]:
        for name, path in self._modules.items():
            if path.endswith(".py") and "/tests/" not in path and text.encode() in self._read(path):
                yield name

    def constants_about(self, text: str) -> frozenset[str]:
        """String constants that hold ``text``, anywhere in the distribution, tests left out."""
        trees = (self._tree(name) for name in self._mentioning(text))
        found = (constants_of(tree) for tree in trees if tree)
        return frozenset(constant for constants in found for constant in constants if text in constant)

    def importers(self, module: str) -> frozenset[str]:
        """The modules that import ``module``, tests left out."""
        return frozenset(
            name
            for name in self._mentioning(_last(module))
            if any(imported.module == module for imported in self.imports_in(name))
        )

    def imports(self, top_level: str) -> bool:
        """Whether the import of the distribution plainly imports that top-level module."""
        return top_level in self.top_levels()

    def top_levels(self) -> frozenset[str]:
        """Top-level modules that the import of the distribution plainly imports."""
        imports = (imported for name in self.reached() for imported in self.imports_in(name))
        return frozenset(imported.module.partition(".")[0] for imported in imports if not imported.guarded)


def _last(module: str) -> str:
    return module.rsplit(".", 1)[-1]


class SourceIndex:
    """The modules of every distribution of a prefix, found when they are asked for."""

    def __init__(self, prefix: Path, installed: InstalledPackages) -> None:
        self._prefix = prefix
        self._sites = installed.site_packages
        self._sources: dict[str, PackageModules] = {}

    def module(self, path: str) -> str | None:
        """Dotted name of the module at ``path``."""
        names = (module_name(path, site) for site in self._sites)
        return next((name for name in names if name), None)

    def of(self, package: InstalledPackage) -> PackageModules:
        """The modules of one package."""
        if package.path not in self._sources:
            modules = [path for path in package.files.columns[0] if path.endswith(_MODULE)]  # of 10,000 files, 2,000
            self._sources[package.path] = PackageModules(self._prefix, modules_of(modules, self._sites))
        return self._sources[package.path]

    def imports_project(self, package: InstalledPackage, project: str) -> bool:
        """Whether importing ``package`` imports the module that ``project`` is usually called by."""
        return self.of(package).imports(normalized(project).replace("-", "_"))
