"""Which files of a prefix load: each opened in a fresh Python, and again after the import of its package."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dataloader.verify.imports import SourceIndex
from dataloader.verify.installed import InstalledPackage, normalise
from dataloader.verify.link_map import Failure, Result
from dataloader.verify.loader import Process
from dataloader.verify.python import Interpreter, extension_tag
from dataloader.verify.scan import ScannedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What dlopen of one file comes to."""

    path: str
    """Relative to the prefix."""
    package: InstalledPackage | None
    extension: bool
    """A Python extension module of this Python."""
    bare: bool
    """It loads in a Python that has imported nothing."""
    loads: bool
    """It loads after its package and what the package requires were imported."""
    failures: tuple[Failure, ...] = ()
    scope: tuple[str, ...] = ()
    """Paths of what is loaded with it, breadth-first."""
    driver: tuple[str, ...] = ()
    """Libraries of the NVIDIA driver that it needs: it loads where the driver is."""


@dataclass(slots=True)
class Judge:
    """Opens every library of a prefix in the model."""

    prefix: Path
    interpreter: Interpreter
    process: Process
    """Python, with nothing imported."""
    files: Mapping[str, ScannedFile]
    owners: Mapping[str, InstalledPackage]
    packages: Mapping[str, InstalledPackage]
    """Normalised name of a distribution -> package."""
    sources: SourceIndex
    _contexts: dict[str, Process] = field(default_factory=dict)
    _widened: set[str] = field(default_factory=set)
    _names: frozenset[str] | None = None
    """File names of all libraries, once they were asked for."""

    def judge(self) -> list[Verdict]:
        """One verdict for each library that this target's loader would take, sorted by path."""
        return [self._verdict(path) for path, file in sorted(self.files.items()) if self.is_candidate(path, file)]

    def is_candidate(self, path: str, file: ScannedFile) -> bool:
        """Whether the file is a library for this machine and, as an extension, for this Python."""
        facts, environment = file.facts, self.process.environment
        if facts is None or not facts.is_library:
            return False
        if (facts.machine, facts.bits) != (environment.machine, environment.bits):
            return False
        return self.interpreter.takes_extension(path.rsplit("/", 1)[-1])

    def is_extension(self, path: str) -> bool:
        """Whether an import of this Python would load the file."""
        facts = self.files[path].facts if path in self.files else None
        name = path.rsplit("/", 1)[-1]
        if extension_tag(name) is not None:
            return self.interpreter.takes_extension(name)
        return facts is not None and name.split(".", 1)[0] in facts.python_init

    def _verdict(self, path: str) -> Verdict:
        full = str(self.prefix / path)
        environment = self.process.environment
        bare = self.process.open(full, keep=False)
        result = bare
        package = self.owners.get(path)
        if not bare.loads and package is not None:
            result = self.context(package).open(full, keep=False)
            if self._may_lack_an_import(result) and self._import_what_sources_name(package):
                result = self.context(package).open(full, keep=False)
        return Verdict(
            path=path,
            package=package,
            extension=self.is_extension(path),
            bare=bare.loads,
            loads=result.loads,
            failures=tuple(result.failures),
            scope=tuple(each.path for each in result.scope if each.image),
            driver=tuple(each.path for each in result.scope if each.image is None and environment.assumed(each.path)),
        )

    def _may_lack_an_import(self, result: Result) -> bool:
        """Whether what is missing is there, so that the import of another package may bring it."""
        if self._names is None:
            self._names = frozenset(path.rsplit("/", 1)[-1] for path in self.files)
        return any(
            failure.kind == "undefined-symbol" or (failure.kind == "missing-library" and failure.name in self._names)
            for failure in result.failures
        )

    def context(self, package: InstalledPackage) -> Process:
        """Python after the import of what ``package`` requires, then of ``package`` itself.

        Requires-Dist is an order of import. Among the extension modules of one package the order is not known, so
        those that need another one's libraries are tried again after it.
        """
        known = self._contexts.get(package.path)
        if known is None:
            known = self.process.copy()
            for each in self._import_order(package):
                self._import(known, each)
            self._contexts[package.path] = known
        return known

    def _import_what_sources_name(self, package: InstalledPackage) -> bool:
        """Widen a package's context by what its sources import and its metadata does not require; say if it grew.

        Reading sources takes long, so it is done only for a package with a library that does not load otherwise.
        """
        if package.path in self._widened:
            return False
        self._widened.add(package.path)
        required = {each.path for each in self._import_order(package)}
        more = [
            owner
            for path in self.sources.imported_files(package)
            if (owner := self.owners.get(path)) is not None and owner.path not in required
        ]
        if not more:
            return False
        known = self.process.copy()
        for each in self._import_order(package, more):
            self._import(known, each)
        self._contexts[package.path] = known
        return True

    def _import_order(self, package: InstalledPackage, more: Sequence[InstalledPackage] = ()) -> list[InstalledPackage]:
        """``package`` after everything it requires and ``more``, depth first."""
        order: list[InstalledPackage] = []
        seen: set[str] = set()

        def visit(each: InstalledPackage) -> None:
            if each.path in seen:
                return
            seen.add(each.path)
            for name in required_names(each.requires):
                other = self.packages.get(name)
                if other is not None:
                    visit(other)
            order.append(each)

        for each in more:
            visit(each)
        visit(package)
        return order

    def _import(self, process: Process, package: InstalledPackage) -> None:
        present = [file.path for file in package.files if file.path in self.files]
        candidates = [path for path in present if self.is_candidate(path, self.files[path])]
        modules = [path for path in candidates if self.is_extension(path)]
        failed = self._open_until_none_helps(process, modules)
        if candidates and not modules:
            # Of no use without its libraries: its own code opens them, or that of the packages that require it.
            sources = self.sources.of(package)
            for path in self._found_by_pathfinder(sources.asks_pathfinder_for()):
                process.open(str(self.prefix / path))
            named = sources.constants()
            self._open_until_none_helps(process, [path for path in candidates if called(path) & named])
        for path in self._opened_by_name(package, failed):
            process.open(str(self.prefix / path))
        self._open_until_none_helps(process, failed)

    def _found_by_pathfinder(self, names: Collection[str]) -> list[str]:
        """Libraries of NVIDIA's wheels, by name without ``lib``."""
        wanted = {f"lib{name}" for name in names}
        return [
            path
            for path, file in self.files.items()
            if wanted and path.rsplit("/", 1)[-1].partition(".so")[0] in wanted and self.is_candidate(path, file)
        ]

    def _open_until_none_helps(self, process: Process, paths: Sequence[str]) -> list[str]:
        """Opens ``paths``, and again those that failed as long as another one's libraries may help them."""
        pending = list(paths)
        while pending:
            failed = [path for path in pending if not process.open(str(self.prefix / path)).loads]
            if len(failed) == len(pending):
                return failed
            pending = failed
        return []

    def _opened_by_name(self, package: InstalledPackage, modules: Sequence[str]) -> list[str]:
        """Libraries of ``package`` that its Python code opens before ``modules`` (ctypes, torch.ops.load_library)."""
        named: set[str] = set()
        for path in modules:
            module = self.sources.module(path)
            if module is not None:
                named |= self.sources.of(package).named_by_importers(module)
        libraries = [
            file.path for file in package.files if file.path in self.files and not self.is_extension(file.path)
        ]
        return [path for path in libraries if called(path) & named]


def called(path: str) -> set[str]:
    """How a library is named in code: with its file name, or that up to ``.so``."""
    name = path.rsplit("/", 1)[-1]
    return {name, name.partition(".so")[0], name.partition(".so")[0] + ".so"}


def required_names(requires: Iterable[str]) -> list[str]:
    """Normalised names of requirements, extras' ones included: they are installed or they are not.

    >>> required_names(["numpy<2,>=1.22", "Torch [cuda] ; extra == 'gpu'"])
    ['numpy', 'torch']
    """
    found = (re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text) for text in requires)
    return [normalise(match[1]) for match in found if match]


def unloadable(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that do not load even after their package."""
    return [verdict for verdict in verdicts if not verdict.loads]
