"""Followed code in two modelled processes: in one happens what is certain, in the other what is likely too."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from dataloader.base.names import normalized
from dataloader.loader.model import Result
from dataloader.loader.process import Process
from dataloader.prefix.python import PrefixPython
from dataloader.prefix.records import InstalledPackage, InstalledPackages
from dataloader.prefix.walk import read_regular
from dataloader.verify.follow.builtin import BUILTINS
from dataloader.verify.follow.follower import Follower
from dataloader.verify.follow.library import make_library
from dataloader.verify.follow.surroundings import ParsedSource
from dataloader.verify.follow.values import Raised, TooMuch
from dataloader.verify.libraries import BareLoads

_MAX_SOURCE: Final = 4 << 20
"""Bytes of one source."""
_TRIES: Final = 8
"""How often more is opened for a file that may need what is not known to be open."""


class Trial(NamedTuple):
    """What the import of an extension module came to, when the code first asked for it."""

    sure: Result
    """With what is certainly open."""
    perhaps: Result
    """With what is perhaps open too."""
    helped: bool
    """It would load if what the code opens, and what is not known, were what it needs."""
    certain: bool
    """The code certainly asks for it."""
    process: Process
    """The process that it was asked in."""
    doubts: tuple[str, ...]
    """What is not known of what was opened before."""


class Packages(Protocol):
    """What is to be known of other packages."""

    def owner(self, path: str) -> InstalledPackage | None:
        """The package of a file, given relative to the prefix."""

    def is_followed(self, package: InstalledPackage) -> bool:
        """Whether its own code is worth following: it opens libraries, and there is not too much of it."""

    def order(self, package: InstalledPackage) -> Sequence[InstalledPackage]:
        """What it requires, then the package."""

    def extensions(self, package: InstalledPackage) -> Sequence[str]:
        """Its extension modules, relative to the prefix."""

    def roots(self, package: InstalledPackage) -> Sequence[str]:
        """Its top-level modules."""


class ImportedInProcess:
    """The surroundings of the code of one package, as :mod:`dataloader.verify.follow.surroundings` asks for them."""

    def __init__(
        self,
        installed: InstalledPackages,
        bare: BareLoads,
        packages: Packages,
        package: InstalledPackage,
        process: Process,
        *,
        split: bool,
        parsed: MutableMapping[str, ParsedSource],
    ) -> None:
        """``split``: what is certain and what is likely happen in two copies of ``process``; else all in that one."""
        self.parsed: MutableMapping[str, ParsedSource] = parsed
        self._bare, self._installed, self._packages, self._package = bare, installed, packages, package
        self.prefix = str(bare.prefix)
        self.sites: Sequence[str] = [f"{self.prefix}/{site}".rstrip("/") for site in installed.site_packages]
        self.version = _version(bare.interpreter.version)
        self.machine = bare.target.arch
        self.variables: Mapping[str, str] = bare.variables
        self.sure = process.copy() if split else process
        self.perhaps = process.copy() if split else process
        self.tried: dict[str, Trial] = {}
        self.asked: dict[str, bool] = {}
        """Library, relative to the prefix -> whether it could be opened, of those the code certainly opens."""
        self.doubts: list[str] = []
        """What is not known of what is opened."""
        self.unknown = False
        """Something is opened, and what is not known."""
        self._brought: set[str] = set()
        self._listings: dict[str, Sequence[str] | None] = {}
        self._by_name: dict[str, list[str]] | None = None

    def copy_of(self) -> tuple[Process, Process, int, bool]:
        """The state of the processes, to be taken up again by :meth:`go_back`."""
        return self.sure.copy(), self.perhaps.copy(), len(self.doubts), self.unknown

    def go_back(self, state: tuple[Process, Process, int, bool]) -> None:
        """Forget what was opened since."""
        self.sure, self.perhaps, doubts, self.unknown = state
        del self.doubts[doubts:]
        self._brought.clear()
        self.tried = {}

    def told(self) -> tuple[str, ...]:
        """What is not known so far, each once."""
        return tuple(dict.fromkeys(self.doubts))

    # -- files -------------------------------------------------------------------------------------------------------

    def _inside(self, path: str) -> str | None:
        """The path below the prefix, links not followed; ``None`` for what is elsewhere, which is not looked at."""
        clean = posixpath.normpath(path)
        return clean if clean == self.prefix or clean.startswith(f"{self.prefix}/") else None

    def listing(self, folder: str) -> Sequence[str] | None:
        clean = self._inside(folder)
        if clean is None:
            return None
        if clean not in self._listings:
            try:
                self._listings[clean] = sorted(os.listdir(clean))  # noqa: PTH208 - names, not paths
            except OSError:
                self._listings[clean] = None
        return self._listings[clean]

    def kind_of(self, path: str) -> str | None:
        clean = self._inside(path)
        if clean is None:
            return None
        if self.listing(clean) is not None:
            return "folder"
        return "file" if os.path.isfile(clean) else ""  # noqa: PTH113 - text

    def text(self, path: str) -> str | None:
        clean = self._inside(path)
        if clean is None:
            return None
        try:
            return read_regular(Path(clean), _MAX_SOURCE).decode("utf-8", "replace")
        except OSError:
            return None

    def takes_extension(self, file_name: str) -> bool:
        return self._bare.interpreter.takes_extension(file_name)

    def recorded(self, project: str) -> tuple[str, Sequence[str], str] | None:
        for package in self._installed.packages:
            if package.kind == "pypi" and package.name == normalized(project):
                site = package.path.rpartition("/")[0]
                inside = [posixpath.relpath(path, site or ".") for path in package.files.columns[0]]
                return f"{self.prefix}/{site}".rstrip("/"), inside, package.version
        return None

    def find_library(self, name: str) -> str | None:
        found = self._bare.process.environment.system.cached_like(re.compile(rf"lib{re.escape(name)}\.so(\.\d+)*"))
        return None if found is None else found

    def named_by_nvidia(self, name: str) -> Sequence[str]:
        return [f"{self.prefix}/{path}" for path in self._names().get(f"lib{name}", ())]

    def _names(self) -> dict[str, list[str]]:
        """File name, the same up to ``.so``, and soname -> libraries of the prefix."""
        if self._by_name is None:
            self._by_name = {}
            for path, file in self._bare.files.items():
                if file.facts is not None and path in self._bare.results:
                    name = path.rpartition("/")[2]
                    for alias in {name, name.partition(".so")[0], file.facts.soname or name}:
                        self._by_name.setdefault(alias, []).append(path)
        return self._by_name

    # -- other packages ----------------------------------------------------------------------------------------------

    def _relative(self, path: str) -> str:
        return posixpath.normpath(path).removeprefix(f"{self.prefix}/")

    def follows(self, path: str) -> bool:
        owner = self._packages.owner(self._relative(path))
        return owner is None or owner.path == self._package.path or self._packages.is_followed(owner)

    def bring(self, path: str, *, certain: bool) -> Sequence[str]:
        owner = self._packages.owner(self._relative(path))
        if owner is None:
            return ()
        modules: list[str] = []
        for package in self._packages.order(owner):
            if package.path in self._brought or package.path == self._package.path:
                continue
            self._brought.add(package.path)
            if self._packages.is_followed(package):
                modules += self._packages.roots(package)
                continue
            for process in self._processes(certain=certain):
                open_until_none_helps(
                    process, [f"{self.prefix}/{extension}" for extension in self._packages.extensions(package)]
                )
        return modules

    def _processes(self, *, certain: bool) -> Sequence[Process]:
        if self.sure is self.perhaps:
            return (self.sure,)
        return (self.sure, self.perhaps) if certain else (self.perhaps,)

    # -- what is opened ----------------------------------------------------------------------------------------------

    def open(self, path: str, *, certain: bool, everywhere: bool) -> bool | None:
        if "/" in path and not path.startswith("/"):
            self.open_unknown(f"{path}, which hangs on the working directory")
            return None
        if "/" not in path and self.sure.main is None and path in (self.listing(f"{self.prefix}/lib") or ()):
            path = f"{self.prefix}/lib/{path}"  # what the RPATH of conda's Python finds, where no Python is known
        results = [process.open(path, make_global=everywhere) for process in self._processes(certain=certain)]
        loads = [result.loads for result in results]
        if not certain and loads[-1]:
            self.doubts.append(f"whether {self._relative(path)} is opened first is not known")
        root = results[-1].root
        if certain and ("/" in path or root is not None):
            self.asked[self._relative(root.path if root is not None else path)] = loads[-1]
        if len(set(loads)) > 1 or (not loads[-1] and self.helped(path)):
            return None
        return loads[-1]

    def open_unknown(self, where: str) -> None:
        self.unknown = True
        self.doubts.append(f"{self._relative(where)} opens what is worked out when it runs")

    def import_extension(self, path: str, *, certain: bool, everywhere: bool) -> bool | None:
        sure = self.sure.open(path, make_global=everywhere, keep=certain)
        perhaps = self.perhaps.open(path, make_global=everywhere) if self.sure is not self.perhaps else sure
        helped = perhaps.loads or self.helped(path)
        relative, process = self._relative(path), self.sure if sure.loads else self.perhaps
        known = self.tried.get(relative)
        if known is None or (not known.sure.loads and not known.certain):
            self.tried[relative] = Trial(sure, perhaps, helped, certain, process.copy(), self.told())
        if sure.loads or not helped:
            return sure.loads
        return None

    def helped(self, path: str) -> bool:
        """Whether the file would load if what is not known opened all that it lacks and the prefix has."""
        if not self.unknown:
            return False
        process = self.perhaps.copy()
        for _ in range(_TRIES):
            result = process.open(path, keep=False)
            if result.loads:
                return True
            wanted = self._lacking(result)
            if any(failure.kind == "undefined-symbol" for failure in result.failures):
                own = self._package.files.columns[0]
                wanted += [
                    candidate
                    for candidate in own
                    if candidate in self._bare.results and not self._bare.is_extension(candidate)
                ]
            before = len(process.objects), len(process.global_scope)
            tried: set[str] = set()
            for library in wanted:  # grows by what those lack themselves
                if library not in tried:
                    tried.add(library)
                    wanted += self._lacking(process.open(f"{self.prefix}/{library}", make_global=True))
            if before == (len(process.objects), len(process.global_scope)):
                return False
        return False

    def _lacking(self, result: Result) -> list[str]:
        """Libraries of the prefix that are called as what is missing."""
        return [library for failure in result.failures for library in self._names().get(failure.name, ())]


class Story:
    """The import of a package's module, from its beginning, and what else may be imported after it."""

    def __init__(self, around: ImportedInProcess, root: str) -> None:
        self.around, self.root, self._follower = around, root, Follower(around, make_library, BUILTINS)
        self.failed = not self._run(root)
        """The import ends in an exception."""
        self.tried: Mapping[str, Trial] = dict(around.tried)

    def _run(self, module: str) -> bool:
        try:
            self._follower.import_module(module)
        except Raised:
            return False
        except (TooMuch, RecursionError):
            self.around.open_unknown(f"the import of {module}, which does more than is followed, perhaps")
        return True

    def after_all(self, path: str) -> Trial:
        """What dlopen of a library comes to after the import."""
        around = self.around
        full = f"{around.prefix}/{path}"
        sure, perhaps = around.sure.open(full, keep=False), around.perhaps.open(full, keep=False)
        helped = perhaps.loads or around.helped(full)
        return Trial(sure, perhaps, helped, False, around.sure if sure.loads else around.perhaps, around.told())

    def after(self, modules: Sequence[str], path: str) -> Trial | None:
        """What the import of an extension module comes to when these are imported next."""
        state, known = self.around.copy_of(), dict(self._follower.modules)
        try:
            for module in modules:
                self._run(module)
            return self.around.tried.get(path)
        finally:
            self.around.go_back(state)
            self._follower.modules = known


def with_ctypes(process: Process, interpreter: PrefixPython) -> Process:
    """The process with ``_ctypes`` loaded, which is who opens what code names."""
    program, version = interpreter.program, interpreter.version
    if program is not None and version is not None:
        found = sorted(program.parent.parent.glob(f"lib/python{version}/lib-dynload/_ctypes.*.so"))
        result = process.open(str(found[0])) if found else None
        process.caller = result.root if result is not None and result.loads else None
    return process


def open_until_none_helps(process: Process, paths: Sequence[str]) -> list[str]:
    """Opens ``paths``, and again those that failed as long as another one's libraries may help them; gives the rest."""
    pending = list(paths)
    while pending:
        failed = [path for path in pending if not process.open(path).loads]
        if len(failed) == len(pending):
            return failed
        pending = failed
    return []


def _version(text: str | None) -> tuple[int, int] | None:
    major, _, minor = (text or "").partition(".")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else None
