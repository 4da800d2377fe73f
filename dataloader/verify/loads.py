"""Which libraries of a prefix load, after the import of their package where it takes that."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from dataloader.loader.model import Failure, Result
from dataloader.loader.process import Process
from dataloader.prefix.records import InstalledPackage, InstalledPackages, Owners, required_names
from dataloader.verify.checks.sources import SourceIndex
from dataloader.verify.follow.process import ImportedInProcess, Story, Trial, open_until_none_helps, with_ctypes
from dataloader.verify.follow.surroundings import ParsedSource
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
    doubts: tuple[str, ...] = ()
    """It loads if the code of its package does something that is not known: what that is."""


_NONE: Final[tuple[str, ...]] = ()
_IMPORTERS: Final = 6
"""Modules that import an extension module, each tried as the way to it."""
_ROOTS: Final = 6
"""Top-level modules of one package whose import is followed."""


class Judge:
    """Opens every library of a prefix in the model, after what the code of its package does where it takes that.

    Args:
        packages: Normalised name of a distribution -> package.
    """

    def __init__(
        self,
        bare: BareLoads,
        owners: Owners,
        packages: Mapping[str, InstalledPackage],
        sources: SourceIndex,
        installed: InstalledPackages,
    ) -> None:
        self.bare, self._owners, self.packages, self.sources = bare, owners, packages, sources
        self._installed = installed
        self._contexts: dict[str, Process] = {}
        self._stories: dict[tuple[str, str], Story] = {}
        self._followed: dict[str, bool] = {}
        self._parsed: dict[str, ParsedSource] = {}
        self._loaded_in: dict[str, Process] = {}
        self._python: Process | None = None
        self._file_names: frozenset[str] | None = None
        """File names of all libraries, once they were asked for."""

    def judge(self) -> list[Verdict]:
        """One verdict for each library that this target's loader would take, sorted by path."""
        return [self._verdict(path, bare) for path, bare in self.bare.results.items()]

    def _verdict(self, path: str, bare: Result) -> Verdict:
        result, doubts = bare, _NONE
        package = self._owners.get(path)
        if not bare.loads and package is not None:
            result, doubts = self._after_its_code(path, package)
        assumed = self.bare.process.environment.assumed
        return Verdict(
            path=path,
            package=package,
            extension=self.bare.is_extension(path),
            bare=bare.loads,
            loads=result.loads or bool(doubts),
            failures=() if doubts else tuple(result.failures),
            scope=tuple(loaded.path for loaded in result.scope if loaded.image),
            driver=tuple(loaded.path for loaded in result.scope if loaded.image is None and assumed(loaded.path)),
            doubts=doubts,
        )

    # -- what code does ----------------------------------------------------------------------------------------------

    def _after_its_code(self, path: str, package: InstalledPackage) -> tuple[Result, tuple[str, ...]]:
        """What dlopen comes to when the package's code has run as far as it does; and what is not known of that."""
        module = self.sources.module(path) if self.bare.is_extension(path) else None
        if not self._may_lack_an_import(self.bare.results[path]):
            return self.bare.results[path], _NONE
        if module is None and (result := self.context(package).open(str(self.bare.prefix / path), keep=False)).loads:
            self._loaded_in[path] = self.context(package)
            return result, _NONE  # after the modules of its package, whatever else its code does
        stories = self.stories(package, module)
        trials = [(story, trial) for story in stories if (trial := self._trial(story, path, package, module))]
        for story, trial in trials:
            if trial.sure.loads:
                self._loaded_in[path] = trial.process
                return trial.sure, ()
            if trial.helped:
                self._loaded_in[path] = trial.process
                return trial.perhaps, tuple(dict.fromkeys(story.around.doubts)) or (
                    "what is opened first is not known",
                )
        certain = any(trial.certain and path in story.tried for story, trial in trials)
        if certain and len(self._followed_roots(package)) == 1:
            return trials[0][1].perhaps, ()  # its own package imports it, and fails
        process = self.context(package)
        result = process.open(str(self.bare.prefix / path), keep=False)
        if result.loads:
            self._loaded_in[path] = process
        elif certain:
            return trials[0][1].perhaps, ()
        # Of a distribution with several modules at the top (torch, nvfuser), users import the main one first.
        return result, ()

    def _may_lack_an_import(self, result: Result) -> bool:
        """Whether what is missing may be there, so that an import may bring it: else no code needs to be followed."""
        if self._file_names is None:
            self._file_names = frozenset(path.rsplit("/", 1)[-1] for path in self.bare.files)
        return any(
            failure.kind != "missing-library" or failure.name.rpartition("/")[2] in self._file_names
            for failure in result.failures
        )

    def _trial(self, story: Story, path: str, package: InstalledPackage, module: str | None) -> Trial | None:
        """The best that importing an extension module, or opening a library after the import, comes to."""
        if path in story.tried:
            return story.tried[path]
        if module is None:
            return story.after_all(path)
        importers = sorted(self.sources.of(package).importers(module))
        trials = [story.after([importer], path) for importer in (module, *importers[:_IMPORTERS])]
        found = [trial for trial in trials if trial is not None]
        return max(found, key=lambda trial: (trial.sure.loads, trial.helped), default=None)

    def stories(self, package: InstalledPackage, module: str | None = None) -> list[Story]:
        """The imports of a package's top-level modules: of all, or of the one that a module is in."""
        roots = self._followed_roots(package)
        if module is not None:
            roots = [root for root in roots if f"{module}.".startswith(f"{root}.")]
        return [self._story(package, root) for root in roots]

    def _story(self, package: InstalledPackage, root: str) -> Story:
        which = package.path, root
        if which not in self._stories:
            self._stories[which] = Story(self._surroundings(package), root)
        return self._stories[which]

    def _followed_roots(self, package: InstalledPackage) -> Sequence[str]:
        return self.roots(package)[:_ROOTS]

    def _surroundings(self, package: InstalledPackage, process: Process | None = None) -> ImportedInProcess:
        if self._python is None:
            self._python = with_ctypes(self.bare.process.copy(), self.bare.interpreter)
        around = process or self._python
        return ImportedInProcess(
            self._installed, self.bare, self, package, around, split=not process, parsed=self._parsed
        )

    def asked_by_import(self, package: InstalledPackage, path: str) -> bool:
        """Whether the import of a package asks for a library, and does not get by with another one."""
        for story in self.stories(package):
            asked = story.around.asked
            trial = story.tried.get(path)
            if path in asked or (trial is not None and trial.certain):
                return story.failed or not any(asked.values())
        return False

    # -- what the code asks of packages (see follow.process.Packages) --------------------------------------------------

    def owner(self, path: str) -> InstalledPackage | None:
        return self._owners.get(path)

    def is_followed(self, package: InstalledPackage) -> bool:
        if package.path not in self._followed:
            self._followed[package.path] = self.sources.of(package).opens_libraries()
        return self._followed[package.path]

    def order(self, package: InstalledPackage) -> Sequence[InstalledPackage]:
        return self._import_order(package)

    def extensions(self, package: InstalledPackage) -> Sequence[str]:
        paths = (path for path in self._owners.recorded_by(package) if path in self.bare.files)
        return [path for path in paths if self.bare.is_candidate(path) and self.bare.is_extension(path)]

    def roots(self, package: InstalledPackage) -> Sequence[str]:
        return self.sources.of(package).roots()

    # -- processes ---------------------------------------------------------------------------------------------------

    def process_of(self, verdict: Verdict) -> Process:
        """Python as it is when the library is opened as its users open it."""
        if verdict.bare or verdict.package is None:
            return self.bare.process
        return self._loaded_in.get(verdict.path) or self.context(verdict.package)

    def after_users_of(self, package: InstalledPackage, name: str) -> Iterator[Process]:
        """Python with each package that requires ``package`` imported, and the libraries that it calls ``name`` open.

        Those that require the least come first: the others import them.
        """
        found = [path for path in self.bare.files if path.endswith(f"/{name}") and self.bare.is_candidate(path)]
        orders = sorted(map(self._import_order, self.packages.values()), key=len) if found else []
        for *required, user in orders:
            if package in required and self._names(user, name):
                process = self.context(user).copy()
                for path in found:
                    process.open(str(self.bare.prefix / path))
                yield process

    def _names(self, package: InstalledPackage, name: str) -> bool:
        """Whether the sources of ``package`` name a library, as it is or by a glob pattern."""
        constants = self.sources.of(package).constants_about(name.partition(".so")[0])
        return bool(constants & called(name)) or any(fnmatch.fnmatchcase(name, pattern) for pattern in constants)

    def context(self, package: InstalledPackage) -> Process:
        """Python after the import of what ``package`` requires, then of ``package`` itself.

        Requires-Dist is an order of import. Among the extension modules of one package the order is not known, so
        those that need another one's libraries are tried again after it.
        """
        known = self._contexts.get(package.path)
        if known is None:
            known = self.bare.process.copy()
            for imported in self._import_order(package):
                self._import(known, imported)
            self._contexts[package.path] = known
        return known

    def _import_order(self, package: InstalledPackage) -> list[InstalledPackage]:
        """``package`` after everything it requires, depth first."""
        order: list[InstalledPackage] = []
        seen: set[str] = set()

        def visit(package: InstalledPackage) -> None:
            if package.path in seen:
                return
            seen.add(package.path)
            for name in required_names(package.requires):
                other = self.packages.get(name)
                if other is not None:
                    visit(other)
            order.append(package)

        visit(package)
        return order

    def _import(self, process: Process, package: InstalledPackage) -> None:
        modules = self.extensions(package)
        open_until_none_helps(process, [str(self.bare.prefix / path) for path in modules])
        if not modules and self.is_followed(package):  # of no use without the libraries that its code opens
            around = self._surroundings(package, process)
            for root in self._followed_roots(package):
                Story(around, root)


def called(path: str) -> set[str]:
    """How a library is named in code: with its file name, or that up to ``.so``."""
    name = path.rsplit("/", 1)[-1]
    return {name, name.partition(".so")[0], name.partition(".so")[0] + ".so"}
