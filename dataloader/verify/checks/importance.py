"""How much it matters that a library cannot load: does an import break, or an optional part?

Popular wheels are full of parts that load only on some machines: numba's tbbpool, a codec, a provider for another CUDA.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dataloader.elf.frameworks import distributions_of, framework_of
from dataloader.prefix.python import extension_tag
from dataloader.prefix.records import InstalledPackage, InstalledPackages, required_names
from dataloader.verify.checks.sources import SourceIndex
from dataloader.verify.findings import Severity
from dataloader.verify.libraries import BareLoads
from dataloader.verify.loads import Verdict
from dataloader.verify.tables import load_tables


class Importance:
    """Severity of a library that cannot load, judged by the Python sources of its package."""

    def __init__(
        self,
        installed: InstalledPackages,
        sources: SourceIndex,
        bare: BareLoads,
        asked_by_import: Callable[[InstalledPackage, str], bool],
    ) -> None:
        """``asked_by_import``: see :meth:`dataloader.verify.loads.Judge.asked_by_import`."""
        self._asked_by_import = asked_by_import
        self._installed = installed
        self._names: frozenset[str] | None = None
        self._sources = sources
        self._bare = bare

    def __call__(self, verdict: Verdict) -> Severity:
        """``error`` for what breaks an import, ``warning`` for an optional part."""
        package = verdict.package
        if package is None:
            return "warning"
        if not verdict.extension:
            return "error" if self._is_opened_by_import(package, verdict) else "warning"
        module = self._sources.module(verdict.path)
        if module is None:
            return "warning"
        sources = self._sources.of(package)
        if module in sources.reached():
            return "error"
        uses = sources.uses(module)
        optional = bool(uses) and (all(uses) or _lacks_cuda_only(verdict))
        optional |= not uses and self._is_bridge(package, verdict)
        optional |= _differs_in_a_number(package, verdict.path) or self._one_of_kin_serves(package, verdict.path)
        return "warning" if optional else "error"

    def _is_opened_by_import(self, package: InstalledPackage, verdict: Verdict) -> bool:
        """Whether the package's import opens this library (ctypes, cffi, torch.ops.load_library).

        A package without extension modules is of no use without its library. One that has some goes on without a
        library whose needs the machine does not meet (a codec), but not without one that was built for other packages
        than those installed.
        """
        if not self._asked_by_import(package, verdict.path):
            return False
        if not any(self._bare.is_extension(path) for path in package.files.columns[0]):
            return True
        return all(
            failure.kind in ("undefined-symbol", "version-not-provided")
            or (failure.kind == "missing-library" and failure.name in self._recorded_names())
            for failure in verdict.failures
        )

    def _is_bridge(self, package: InstalledPackage, verdict: Verdict) -> bool:
        """Whether all that is missing are symbols of a framework that the package does without: a bridge to it.

        Either the framework is not installed, or the package neither requires nor imports it, and opens its libraries
        for this module when it is asked to (cuda.core's tensors of torch).
        """
        installed = {package.name for package in self._installed.packages}
        required = set(required_names(package.requires))
        for failure in verdict.failures:
            project = framework_of(failure.name) if failure.kind == "undefined-symbol" else None
            if project is None:
                return False
            names = distributions_of(project)
            absent = installed.isdisjoint(names)
            if not absent and (not required.isdisjoint(names) or self._sources.imports_project(package, project)):
                return False
        return True

    def _one_of_kin_serves(self, package: InstalledPackage, path: str) -> bool:
        """Whether the package picks one of several files for the module, and can take one of them.

        Python itself would import none of them (``MPI.mpich.cpython-312-x86_64-linux-gnu.so``), so whoever picks one
        may open what it needs before, wherever in the environment that is.
        """
        kin = _variants(path)
        files = (path for path in package.files.columns[0] if kin and kin.fullmatch(path))
        results = (self._bare.results[file] for file in files if file in self._bare.results)
        return any(
            all(
                failure.kind == "missing-library" and failure.name in self._recorded_names()
                for failure in result.failures
            )
            for result in results
        )

    def _recorded_names(self) -> frozenset[str]:
        if self._names is None:
            files = (path for package in self._installed.packages for path in package.files.columns[0])
            self._names = frozenset(path.rsplit("/", 1)[-1] for path in files)
        return self._names


def _variants(path: str) -> re.Pattern[str] | None:
    """What the files match of which a package's own finder picks one for a module: they differ before the tag."""
    folder, _, name = path.rpartition("/")
    parts = name.split(".")
    if len(parts) != 4 or extension_tag(name) or extension_tag(".".join((parts[0], *parts[2:]))) is None:
        return None
    return re.compile(re.escape(f"{folder}/{parts[0]}.") + r"[^./]+" + re.escape("." + ".".join(parts[2:])))


def _differs_in_a_number(package: InstalledPackage, path: str) -> bool:
    """Whether the module is one of several that differ in a number (``_ffmpeg4.so``, ``_ffmpeg5.so``)."""
    folder, _, name = path.rpartition("/")
    stem, _, rest = name.partition(".")
    if not stem[-1:].isdigit():
        return False
    family = re.compile(re.escape(f"{folder}/{stem.rstrip('0123456789')}") + r"\d+" + re.escape(f".{rest}"))
    return sum(1 for path in package.files.columns[0] if family.fullmatch(path)) > 1


def _lacks_cuda_only(verdict: Verdict) -> bool:
    """What is missing is a part of CUDA, for a module that the package's own import does without."""
    providers = load_tables().providers
    return all(
        failure.kind == "missing-library" and failure.name in providers and bool(providers[failure.name].cuda_majors)
        for failure in verdict.failures
    )
