"""How much it matters that a library cannot load: does an import break, or an optional part?

Popular wheels are full of parts that load only on some machines: numba's tbbpool, a codec, a provider for another CUDA.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dataloader.verify.findings import Severity
from dataloader.verify.imports import SourceIndex
from dataloader.verify.installed import InstalledPackage
from dataloader.verify.loads import Verdict
from dataloader.verify.tables import load_tables


class Importance:
    """Severity of a library that cannot load, judged by the Python sources of its package."""

    def __init__(self, sources: SourceIndex, is_extension: Callable[[str], bool]) -> None:
        self._sources = sources
        self._is_extension = is_extension

    def __call__(self, verdict: Verdict) -> Severity:
        """``error`` for what breaks an import, ``warning`` for an optional part."""
        package = verdict.package
        if package is None:
            return "warning"
        if not verdict.extension:
            return "error" if self._is_the_library(package, verdict.path) else "warning"
        module = self._sources.module(verdict.path)
        if module is None:
            return "warning"
        sources = self._sources.of(package)
        if module in sources.reached():
            return "error"
        uses = sources.uses(module)
        optional = bool(uses) and (all(uses) or _lacks_cuda_only(verdict))
        return "warning" if optional or _has_alternatives(package, verdict.path) else "error"

    def _is_the_library(self, package: InstalledPackage, path: str) -> bool:
        """Whether a package without extension modules loads this library itself (ctypes, cffi): its sources name it."""
        if any(self._is_extension(file.path) for file in package.files):
            return False
        return path.rsplit("/", 1)[-1] in self._sources.of(package).constants()


def _has_alternatives(package: InstalledPackage, path: str) -> bool:
    """Whether the module is one of several that differ in a number (``_ffmpeg4.so``, ``_ffmpeg5.so``)."""
    folder, _, name = path.rpartition("/")
    stem, _, rest = name.partition(".")
    if not stem[-1:].isdigit():
        return False
    family = re.compile(re.escape(f"{folder}/{stem.rstrip('0123456789')}") + r"\d+" + re.escape(f".{rest}"))
    return sum(1 for file in package.files if family.fullmatch(file.path)) > 1


def _lacks_cuda_only(verdict: Verdict) -> bool:
    """What is missing is a part of CUDA, for a module that the package's own import does without."""
    providers = load_tables().providers
    return all(
        failure.kind == "missing-library" and failure.name in providers and bool(providers[failure.name].cuda_majors)
        for failure in verdict.failures
    )
