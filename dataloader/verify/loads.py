"""Which libraries of a prefix load, after the import of their package where it takes that."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from dataloader.loader.model import Failure, Result
from dataloader.loader.process import Process
from dataloader.prefix.records import InstalledPackage, Owners, required_names
from dataloader.verify.checks.sources import SourceIndex
from dataloader.verify.libraries import BareLoads


class Verdict(NamedTuple):
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


class Judge:
    """Opens every library of a prefix in the model, after the import of its package where it takes that.

    Args:
        packages: Normalised name of a distribution -> package.
    """

    def __init__(
        self,
        bare: BareLoads,
        owners: Owners,
        packages: Mapping[str, InstalledPackage],
        sources: SourceIndex,
    ) -> None:
        self.bare, self._owners, self._packages, self._sources = bare, owners, packages, sources
        self._contexts: dict[str, Process] = {}
        self._widened: set[str] = set()
        self._file_names: frozenset[str] | None = None
        """File names of all libraries, once they were asked for."""

    def judge(self) -> list[Verdict]:
        """One verdict for each library that this target's loader would take, sorted by path."""
        return [self._verdict(path, bare) for path, bare in self.bare.results.items()]

    def _verdict(self, path: str, bare: Result) -> Verdict:
        result = bare
        package = self._owners.get(path)
        if not bare.loads and package is not None:
            full = str(self.bare.prefix / path)
            result = self.context(package).open(full, keep=False)
            if self._may_lack_an_import(result) and self._import_what_sources_name(package):
                result = self.context(package).open(full, keep=False)
        assumed = self.bare.process.environment.assumed
        return Verdict(
            path=path,
            package=package,
            extension=self.bare.is_extension(path),
            bare=bare.loads,
            loads=result.loads,
            failures=tuple(result.failures),
            scope=tuple(each.path for each in result.scope if each.image),
            driver=tuple(each.path for each in result.scope if each.image is None and assumed(each.path)),
        )

    def process_of(self, verdict: Verdict) -> Process:
        """Python as it is when the library is opened as its users open it."""
        if verdict.bare or verdict.package is None:
            return self.bare.process
        return self.context(verdict.package)

    def after_users_of(self, package: InstalledPackage, name: str) -> Iterator[Process]:
        """Python with each package that requires ``package`` imported, and the libraries that it calls ``name`` open.

        Those that require the least come first: the others import them.
        """
        found = [path for path in self.bare.files if path.endswith(f"/{name}") and self.bare.is_candidate(path)]
        orders = sorted(map(self._import_order, self._packages.values()), key=len) if found else []
        for *required, user in orders:
            if package in required and self._names(user, name):
                process = self.context(user).copy()
                for path in found:
                    process.open(str(self.bare.prefix / path))
                yield process

    def _names(self, package: InstalledPackage, name: str) -> bool:
        """Whether the sources of ``package`` name a library, as it is or by a glob pattern."""
        constants = self._sources.of(package).constants_about(name.partition(".so")[0])
        return bool(constants & called(name)) or any(fnmatch.fnmatchcase(name, each) for each in constants)

    def _may_lack_an_import(self, result: Result) -> bool:
        """Whether what is missing is there, so that the import of another package may bring it."""
        if self._file_names is None:
            self._file_names = frozenset(path.rsplit("/", 1)[-1] for path in self.bare.files)
        return any(
            failure.kind == "undefined-symbol"
            or (failure.kind == "missing-library" and failure.name in self._file_names)
            for failure in result.failures
        )

    def context(self, package: InstalledPackage) -> Process:
        """Python after the import of what ``package`` requires, then of ``package`` itself.

        Requires-Dist is an order of import. Among the extension modules of one package the order is not known, so
        those that need another one's libraries are tried again after it.
        """
        known = self._contexts.get(package.path)
        if known is None:
            known = self.bare.process.copy()
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
            for path in self._sources.imported_files(package)
            if (owner := self._owners.get(path)) is not None and owner.path not in required
        ]
        if not more:
            return False
        known = self.bare.process.copy()
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
                other = self._packages.get(name)
                if other is not None:
                    visit(other)
            order.append(each)

        for each in more:
            visit(each)
        visit(package)
        return order

    def _import(self, process: Process, package: InstalledPackage) -> None:
        present = [path for path in self._owners.recorded_by(package) if path in self.bare.files]
        candidates = [path for path in present if self.bare.is_candidate(path)]
        modules = [path for path in candidates if self.bare.is_extension(path)]
        failed = self._open_until_none_helps(process, modules)
        if candidates and not modules:
            # Of no use without its libraries: its own code opens them, or that of the packages that require it.
            sources = self._sources.of(package)
            for path in self._found_by_pathfinder(sources.asks_pathfinder_for()):
                process.open(str(self.bare.prefix / path))
            named = sources.constants()
            self._open_until_none_helps(process, [path for path in candidates if called(path) & named])
        for path in self._opened_by_name(package, failed):
            process.open(str(self.bare.prefix / path))
        self._open_until_none_helps(process, failed)

    def _found_by_pathfinder(self, names: Collection[str]) -> list[str]:
        """Libraries of NVIDIA's wheels, by name without ``lib``."""
        wanted = {f"lib{name}" for name in names}
        return [
            path
            for path in self.bare.files
            if wanted and path.rsplit("/", 1)[-1].partition(".so")[0] in wanted and self.bare.is_candidate(path)
        ]

    def _open_until_none_helps(self, process: Process, paths: Sequence[str]) -> list[str]:
        """Opens ``paths``, and again those that failed as long as another one's libraries may help them."""
        pending = list(paths)
        while pending:
            failed = [path for path in pending if not process.open(str(self.bare.prefix / path)).loads]
            if len(failed) == len(pending):
                return failed
            pending = failed
        return []

    def _opened_by_name(self, package: InstalledPackage, modules: Sequence[str]) -> list[str]:
        """Libraries of ``package`` that its Python code opens before ``modules`` (ctypes, torch.ops.load_library)."""
        named: set[str] = set()
        for path in modules:
            module = self._sources.module(path)
            if module is not None:
                named |= self._sources.of(package).named_by_importers(module)
        present = (path for path in self._owners.recorded_by(package) if path in self.bare.files)
        return [path for path in present if not self.bare.is_extension(path) and called(path) & named]


def called(path: str) -> set[str]:
    """How a library is named in code: with its file name, or that up to ``.so``."""
    name = path.rsplit("/", 1)[-1]
    return {name, name.partition(".so")[0], name.partition(".so")[0] + ".so"}


def unloadable(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that do not load even after their package."""
    return [verdict for verdict in verdicts if not verdict.loads]
